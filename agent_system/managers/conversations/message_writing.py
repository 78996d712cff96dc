"""`MessageWriter`: from data as callers give them to messages that are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from agent_system.database.inline_writes import Brief, size_of
from agent_system.errors import ForeignKeyError, NotFoundError, ValidationError
from agent_system.managers.conversations.message_log import MessageLog
from agent_system.managers.core.steps import in_steps
from agent_system.managers.users.familiar import FamiliarIdentities
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.models import Conversation, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.conversations.message_history import MessageHistory
    from agent_system.managers.conversations.plain_messages import PlainMessages
    from agent_system.managers.core.base import Manager
    from agent_system.managers.core.store import RowStore

__all__ = ["Data", "MessageWriter", "in_conversation"]

Data = Mapping[str, Any] | Message


class MessageWriter:
    """Validates messages, has them written with what belongs to them, and returns them as they are stored."""

    def __init__(
        self,
        manager: Manager[Message],
        conversations: RowStore[Conversation],
        clock: Callable[[], datetime],
        plain: PlainMessages,
    ) -> None:
        self._manager = manager
        self._plain = plain
        identities = identity_writer(manager.plans.dialect, clock)
        self.log = MessageLog(manager.store, conversations, identities, clock)
        self._authors = FamiliarIdentities()

    async def create(self, data: Data) -> Message:
        """Write one message, by a single insert if it stands alone and its author is known."""
        manager = self._manager
        if _stands_alone(data) and self._authors.knows(data.get("user_id")):
            # What most messages outside of conversations are: one insert, by somebody whose identity is there.
            values, insert = self._alone(data)
            try:
                await manager.run(insert, values)
            except ForeignKeyError:
                self._authors.forget(values["user_id"])
            else:
                return manager.plans.hydrate.adopt(values)
        (message,) = await self.write([data])
        return message

    def _alone(self, data: Mapping[str, Any]) -> tuple[dict[str, Any], Callable[[Executor], None]]:
        """The values of a message that stands alone, and what writes it."""
        insert = self._plain.prepare(data)
        if insert is not None:
            return insert.values, insert
        values = self._manager.new_values(data)
        return values, self._manager.store.prepare_insert(values)

    async def write(
        self, rows: Sequence[Data], expected_revision: int | None = None, head: str | None = None
    ) -> list[Message]:
        """Write many messages, all or none, and return them in order."""
        values, write = await self._prepare(rows, expected_revision, head)
        if values:
            await self._manager.run_racing(write, values)
            self._authors.remember(values)
        return await in_steps(self._manager.plans.hydrate.build, values)

    async def append(
        self, conversation_id: UUID, rows: Iterable[Data], expected_revision: int | None, head: str | None
    ) -> list[Message]:
        """Write the next messages of a conversation, all or none, and return them in order."""
        many = [in_conversation(conversation_id, data) for data in rows]
        try:
            return await self.write(many, expected_revision, head)
        except ForeignKeyError as exc:
            raise _about_conversation(exc, conversation_id) from exc

    async def append_and_read(
        self, conversation_id: UUID, data: Data, n: int, expected_revision: int | None, history: MessageHistory
    ) -> list[Message]:
        """Write the next message of a conversation and return its last `n`, in one unit of work."""
        values, write = await self._prepare([in_conversation(conversation_id, data)], expected_revision, None)

        def work(executor: Executor) -> list[Message]:
            write(executor)
            return history.read(executor, conversation_id, n)

        try:
            return await self._manager.run_racing(work, values)
        except ForeignKeyError as exc:
            raise _about_conversation(exc, conversation_id) from exc

    async def _prepare(
        self, rows: Sequence[Data], expected_revision: int | None, head: str | None
    ) -> tuple[list[dict[str, Any]], Work[None]]:
        values = await in_steps(self._manager.new_values, rows)
        if head is not None and any(each["parent_id"] is not None for each in values):
            message = "messages.parent_id: the parent of what is appended to a named head is the message that it names"
            raise ValidationError(message, field="parent_id", entity=Message.__name__)
        inserts = await in_steps(self.log.prepare, values)
        given = [each["uid"] for each, data in zip(values, rows, strict=True) if "uid" in _keys(data)]
        write = self.log.append(values, inserts, given, expected_revision, head)
        # With the rows of its conversation and its author a message is a few statements.
        return values, Brief(write, size_of(inserts[0])) if len(inserts) == 1 else write


def in_conversation(conversation_id: UUID | None, data: Data) -> Mapping[str, Any]:
    """The data of a message as a mapping that names its conversation."""
    if isinstance(data, Mapping):
        return {**data, "conversation_id": conversation_id}
    given = {key: value for key in Message.model_fields if (value := getattr(data, key)) is not None}
    return {**given, "conversation_id": conversation_id}


def _stands_alone(data: Data) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(data, Mapping) and "uid" not in data and data.get("conversation_id") is None


def _keys(data: Data) -> Iterable[str]:
    return data if isinstance(data, Mapping) else vars(data)


def _about_conversation(exc: ForeignKeyError, conversation_id: UUID) -> Exception:
    return NotFoundError(Conversation.__name__, conversation_id) if exc.field == "conversation_id" else exc
