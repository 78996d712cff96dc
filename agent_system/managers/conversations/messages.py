"""Messages: what was said, in a conversation or outside of any."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.errors import ForeignKeyError, NotFoundError, TransitionError, ValidationError
from agent_system.managers.conversations.message_log import MessageLog
from agent_system.managers.conversations.message_reading import DEFAULT_LAST, MessageReader, check_limit
from agent_system.managers.conversations.message_removal import MessageRemoval
from agent_system.managers.conversations.message_stream import (
    FLUSH_CHARACTERS,
    FLUSH_SECONDS,
    FlushLimits,
    opened_stream,
)
from agent_system.managers.conversations.streaming import StreamStates
from agent_system.managers.core.steps import in_steps
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.models import Message
from agent_system.types import MessageRole, StreamingState

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.conversations.message_stream import MessageStream

__all__ = ["MessageManager"]

Data = Mapping[str, Any] | Message
MOST_FAMILIAR = 10_000
STALE = timedelta(minutes=1)
# The author of a message without one; no identity has this id, because it would be empty.
NOBODY = ""


class MessageManager(MessageReader):
    """Messages: what was said, in a conversation or outside of any.

    A new message of a conversation follows its head and becomes the head, in one unit of work with the conversation's
    counts. Written again under the same `uid` it is not written again: the stored row comes back. An author who was not
    seen before gets an identity in the same transaction.

    Example:
        >>> await em.messages.append(conversation.id, {"role": "user", "content": "Hello"})
        >>> history = await em.messages.last(conversation.id, 50)
    """

    fixed = frozenset({"uid", "conversation_id", "parent_id", "streaming_state"})

    # Writing.

    async def create(self, data: Data) -> Message:
        """Write one message; one whose `uid` is stored already is not written again.

        Raises:
            ValidationError: The data were refused; the error names the field.
            IntegrityError: They break a rule of the schema, such as a missing conversation.
            ConflictError: The `uid` belongs to a message of another conversation.
        """
        author = self._familiar_author(data)
        if author is not None:
            # What most messages outside of conversations are: one insert, by somebody whose identity is there.
            values = self.new_values(data)
            try:
                await self.run(self.store.prepare_insert(values), values)
            except ForeignKeyError:
                self._familiar.discard(author)
            else:
                return self.plans.hydrate.build(values)
        (message,) = await self.create_many([data])
        return message

    async def create_many(self, rows: Iterable[Data]) -> builtins.list[Message]:
        """Write many messages, all or none, and return them in order; see `create`."""
        return await self._write(list(rows))

    async def append(
        self, conversation_id: UUID, data: Data, *, expected_revision: int | None = None, head: str | None = None
    ) -> Message:
        """Write the next message of a conversation.

        Args:
            conversation_id: The conversation.
            data: The message. With its `uid`, an append can be repeated until it succeeds.
            expected_revision: Write only if the conversation is still at this revision.
            head: The named head to append to, which moves; None is the current branch. So several can write to
                branches of their own at once.

        Raises:
            NotFoundError: There is no such conversation, or no such head.
            ConflictError: It is at another revision, or the `uid` belongs to a message of another conversation.
            ValidationError: The data were refused; the error names the field.
        """
        (message,) = await self.append_many(conversation_id, [data], expected_revision=expected_revision, head=head)
        return message

    async def append_many(
        self,
        conversation_id: UUID,
        rows: Iterable[Data],
        *,
        expected_revision: int | None = None,
        head: str | None = None,
    ) -> builtins.list[Message]:
        """Write the next messages of a conversation, all or none, and return them in order; see `append`."""
        many = [_in_conversation(conversation_id, data) for data in rows]
        try:
            return await self._write(many, expected_revision, head)
        except ForeignKeyError as exc:
            raise _about_conversation(exc, conversation_id) from exc

    async def append_and_read(
        self, conversation_id: UUID, data: Data, n: int = DEFAULT_LAST, *, expected_revision: int | None = None
    ) -> builtins.list[Message]:
        """Write the next message of a conversation and return its last `n`, the new one among them: a turn in one hop.

        Raises:
            NotFoundError: There is no such conversation.
            ConflictError: See `append`.
            ValidationError: The data were refused; the error names the field.
        """
        check_limit(n)
        values, write = await self._prepare([_in_conversation(conversation_id, data)], expected_revision)

        def work(executor: Executor) -> builtins.list[Message]:
            write(executor)
            return self._history.read(executor, conversation_id, n)

        try:
            return await self.run_racing(work, values)
        except ForeignKeyError as exc:
            raise _about_conversation(exc, conversation_id) from exc

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:  # noqa: ARG002
        """Write the message with its conversation's row."""
        return self._log.append([values], [self._log.prepare(values)], [values["uid"]])

    def removal(self, key: Mapping[str, Any]) -> Work[bool]:
        """Delete the message; in its conversation those that followed it follow the one before it."""
        return MessageRemoval(self.store, self._conversations, self._log).remove(key["id"])

    async def _write(
        self, rows: Sequence[Data], expected_revision: int | None = None, head: str | None = None
    ) -> builtins.list[Message]:
        values, write = await self._prepare(rows, expected_revision, head)
        if values:
            await self.run_racing(write, values)
            self._remember_authors(values)
        return await in_steps(self.plans.hydrate.build, values)

    async def _prepare(
        self, rows: Sequence[Data], expected_revision: int | None, head: str | None = None
    ) -> tuple[builtins.list[dict[str, Any]], Work[None]]:
        values = await in_steps(self.new_values, rows)
        if head is not None and any(each["parent_id"] is not None for each in values):
            message = "messages.parent_id: the parent of what is appended to a named head is the message that it names"
            raise ValidationError(message, field="parent_id", entity=self.store.name)
        inserts = await in_steps(self._log.prepare, values)
        given = [each["uid"] for each, data in zip(values, rows, strict=True) if "uid" in _keys(data)]
        return values, self._log.append(values, inserts, given, expected_revision, head)

    # Streaming.

    def stream(
        self,
        conversation_id: UUID | None,
        data: Data | None = None,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        flush_characters: int = FLUSH_CHARACTERS,
        expected_revision: int | None = None,
        head: str | None = None,
    ) -> AbstractAsyncContextManager[MessageStream]:
        """Begin a message and give a `MessageStream` for its text; at the end of the block the message is complete.

        With an error or a cancellation it is interrupted and keeps what was written. A crash costs no text that is
        older than `flush_seconds`.

        Args:
            conversation_id: The conversation; None is a message outside of any.
            data: The message; None is one of the assistant.
            flush_seconds: How long text may wait before it is written.
            flush_characters: How much text may wait before it is written.
            expected_revision: As for `append`.
            head: As for `append`.

        Raises:
            TransactionError: A transaction is open.
            NotFoundError: There is no such conversation, or no such head.
            ValidationError: The data were refused.

        Example:
            >>> async with em.messages.stream(conversation.id) as stream:
            ...     async for text in model:
            ...         if not await stream.write(text):
            ...             break
        """

        async def begin() -> Message:
            return await self.begin(conversation_id, data, expected_revision=expected_revision, head=head)

        limits = FlushLimits(flush_seconds, flush_characters)
        return opened_stream(self._db, self._streams, begin, limits)

    async def begin(
        self,
        conversation_id: UUID | None,
        data: Data | None = None,
        *,
        expected_revision: int | None = None,
        head: str | None = None,
    ) -> Message:
        """Write a message whose text is to come, by `append_chunk`; see `append` and `create`."""
        given = _in_conversation(conversation_id, {"role": MessageRole.ASSISTANT} if data is None else data)
        streamed = {"updated_at": self._clock(), **given, "streaming_state": StreamingState.STREAMING}
        if conversation_id is None:
            return await self.create(streamed)
        return await self.append(conversation_id, streamed, expected_revision=expected_revision, head=head)

    async def append_chunk(self, id: int, text: str) -> bool:  # noqa: A002
        """Add text to a message that is streamed, at once; False when it has ended, and then nothing was written.

        Raises:
            NotFoundError: There is no such message.
            ValidationError: The text is none.
        """
        return await self._streams.append(id, text)

    async def finish(self, id: int, text: str = "", **changes: Any) -> Message:  # noqa: A002
        """Complete a message that is streamed; one that is complete already stays as it is.

        Args:
            id: Key of the message.
            text: What still comes.
            changes: Other columns to set: output_tokens, tool_calls, response_time_ms ...

        Raises:
            NotFoundError: There is no such message.
            TransitionError: It was stopped or interrupted, or never streamed; nothing was written.
            ValidationError: A value was refused.
        """
        return await self._streams.end(id, StreamingState.COMPLETE, text, changes)

    async def stop(self, id: int) -> Message:  # noqa: A002
        """Let a message be as it is now: whatever comes of it later is not written. One that has ended stays as it is.

        Raises:
            NotFoundError: There is no such message.
        """
        try:
            return await self._streams.end(id, StreamingState.STOPPED, "", {})
        except TransitionError:
            return await self.require(id)

    async def recover_streams(self, older_than: timedelta = STALE) -> builtins.list[Message]:
        """Mark as interrupted what is being streamed and has not grown for so long; return it.

        To be called when a runtime starts. A `MessageStream` that waits for its model says every ten seconds that it is
        alive, so that after a minute its process is gone.

        Args:
            older_than: For how long nothing was written; `timedelta(0)` where no other process streams.
        """
        return await self._streams.recover(older_than)

    def _familiar_author(self, data: Data) -> str | None:
        """The author of a message that stands alone, when their identity was seen; None when more has to be written."""
        if not isinstance(data, Mapping) or "uid" in data or data.get("conversation_id") is not None:
            return None
        author = data.get("user_id")
        if author is None:
            return NOBODY
        return author if isinstance(author, str) and author in self._familiar else None

    def _remember_authors(self, rows: builtins.list[dict[str, Any]]) -> None:
        if len(self._familiar) > MOST_FAMILIAR:
            self._familiar.clear()
        self._familiar.update(author for values in rows if (author := values["user_id"]) is not None)

    @cached_property
    def _familiar(self) -> set[str]:
        # Only a hint: an identity that has been deleted since is a ForeignKeyError, and is then made again.
        return set()

    @cached_property
    def _streams(self) -> StreamStates:
        return StreamStates(self.store, self.run, self._clock)

    @cached_property
    def _log(self) -> MessageLog:
        identities = identity_writer(self._db.dialect, self._clock)
        return MessageLog(self.store, self._conversations, identities, self._clock)


def _keys(data: Data) -> Iterable[str]:
    return data if isinstance(data, Mapping) else vars(data)


def _in_conversation(conversation_id: UUID | None, data: Data) -> Mapping[str, Any]:
    if isinstance(data, Mapping):
        return {**data, "conversation_id": conversation_id}
    given = {key: value for key in Message.model_fields if (value := getattr(data, key)) is not None}
    return {**given, "conversation_id": conversation_id}


def _about_conversation(exc: ForeignKeyError, conversation_id: UUID) -> Exception:
    return NotFoundError("Conversation", conversation_id) if exc.field == "conversation_id" else exc
