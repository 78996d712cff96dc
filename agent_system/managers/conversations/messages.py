"""Messages: what was said, in a conversation or outside of any."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.errors import TransitionError
from agent_system.managers.conversations.inbox import Inbox
from agent_system.managers.conversations.message_reading import DEFAULT_LAST, MessageReader, check_limit
from agent_system.managers.conversations.message_removal import MessageRemoval
from agent_system.managers.conversations.message_stream import (
    FLUSH_CHARACTERS,
    FLUSH_SECONDS,
    FlushLimits,
    opened_stream,
)
from agent_system.managers.conversations.message_writing import MessageWriter, in_conversation
from agent_system.managers.conversations.plain_messages import PlainMessages
from agent_system.managers.conversations.repair import repaired
from agent_system.managers.conversations.replay import replayed
from agent_system.managers.conversations.streaming import StreamStates
from agent_system.models import Message
from agent_system.search.text import extra_terms
from agent_system.types import MessageRole, StreamingState

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.conversations.message_stream import MessageStream
    from agent_system.managers.conversations.message_writing import Data
    from agent_system.managers.conversations.repair import Repair
    from agent_system.models import Message

__all__ = ["MessageManager"]

STALE = timedelta(minutes=1)


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
    kept = frozenset({"extra_terms"})

    def normalise(self, values: dict[str, Any]) -> None:
        """Say what the full-text index would not find in the content."""
        if "content" in values:
            values["extra_terms"] = extra_terms(values["content"])

    # Writing.

    async def create(self, data: Data) -> Message:
        """Write one message; one whose `uid` is stored already is not written again.

        Raises:
            ValidationError: The data were refused; the error names the field.
            IntegrityError: They break a rule of the schema, such as a missing conversation.
            ConflictError: The `uid` belongs to a message of another conversation.
        """
        return await self._writer.create(data)

    async def create_many(self, rows: Iterable[Data]) -> builtins.list[Message]:
        """Write many messages, all or none, and return them in order; see `create`."""
        return await self._writer.write(list(rows))

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
        return await self._writer.append(conversation_id, rows, expected_revision, head)

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
        return await self._writer.append_and_read(conversation_id, data, n, expected_revision, self._history)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:  # noqa: ARG002
        """Write the message with its conversation's row."""
        return self._writer.log.append([values], [self._writer.log.prepare(values)], [values["uid"]])

    def insertions(self, rows: Sequence[dict[str, Any]]) -> Callable[[Executor], None]:
        """Write many messages (complete values) with their conversations' rows, each conversation's in order."""
        log = self._writer.log
        return log.append(rows, [log.prepare(values) for values in rows], [values["uid"] for values in rows])

    def removal(self, key: Mapping[str, Any]) -> Work[bool]:
        """Delete the message; in its conversation those that followed it follow the one before it."""
        return MessageRemoval(self.store, self._conversations, self._writer.log).remove(key["id"])

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
        given = in_conversation(conversation_id, {"role": MessageRole.ASSISTANT} if data is None else data)
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

    # Tool calls, answers, and what was said elsewhere.

    async def append_history(
        self, conversation_id: UUID, rows: Iterable[Data], *, start: int = 0, head: str | None = None
    ) -> builtins.list[Message]:
        """Write what is new of a history that is sent whole, as runtimes do with every turn; return it.

        A message with a `uid` is known by that. One without is known by its place: it has to say the same (role,
        content, parts, tool calls) as the stored message there, and what lies beyond the stored ones is new. However
        often and by however many a history is sent, each of its messages is written once.

        Args:
            conversation_id: The conversation.
            rows: The history, the oldest message first.
            start: The place of its first message, where the beginning is not sent.
            head: The branch that ends with this named head; None is the current one.

        Raises:
            NotFoundError: There is no such conversation, or no such head.
            ConflictError: A message says something else than the stored one at its place; nothing was written.
            ValidationError: The data were refused.
        """
        return await replayed(
            self, conversation_id, [in_conversation(conversation_id, row) for row in rows], start, head
        )

    async def repair(self, conversation_id: UUID, *, head: str | None = None, delete_orphans: bool = False) -> Repair:
        """Give every tool call of a branch that has no result one that says that it was interrupted.

        To be called when nothing runs, such as after a crash. The results are appended; `history(for_model=True)` has
        them behind their calls, and a real result that comes later in their place. Repairing again changes nothing.

        Args:
            conversation_id: The conversation.
            head: The branch that ends with this named head; None is the current one.
            delete_orphans: Whether messages are deleted that are nothing but results without a call.

        Raises:
            NotFoundError: There is no such conversation, or no such head.
        """
        return await repaired(self, conversation_id, head, delete_orphans=delete_orphans)

    async def mark_read(self, ids: Iterable[int]) -> int:
        """Date the reading of messages; returns how many of them were unread. The first reading counts."""
        return await self.run(self._inbox.mark_read(ids))

    async def respond(self, id: int, data: Mapping[str, Any] | str) -> Message:  # noqa: A002
        """Write the answer to a message and link the two, once: of many answers at the same time one is written.

        It is of the same conversation or channel, person and task as the message, unless the data say otherwise.

        Args:
            id: The message that is answered, which counts as read.
            data: The answer, or its text. With a `uid` it can be repeated until it succeeds. Who answers a user is the
                assistant, who answers somebody else is the user, unless a role is given.

        Raises:
            NotFoundError: There is no such message.
            ConflictError: It was answered already.
            ValidationError: The data were refused.
        """
        given = {"content": data} if isinstance(data, str) else dict(data)
        template = self.new_values({"role": MessageRole.USER, **given})
        return self.plans.hydrate.build(await self.run_racing(self._inbox.answer(id, template, given.keys()), template))

    @cached_property
    def _inbox(self) -> Inbox:
        return Inbox(self.store, self._writer.log, self._clock)

    @cached_property
    def _streams(self) -> StreamStates:
        return StreamStates(self.store, self.run, self._clock)

    @cached_property
    def _writer(self) -> MessageWriter:
        plain = PlainMessages(self._db, self.store, self._clock)
        return MessageWriter(self, self._conversations, self._clock, plain)
