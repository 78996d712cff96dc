"""Chat states: how far each chat has been read, when the agent was there, and what was said while it was not."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, insert, literal, or_, update

from agent_system.clock import utc_now
from agent_system.database.statements import UnlessThere
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.queue.queue import QueueManager
from agent_system.models import ChatState
from agent_system.types import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.pagination import Page
    from agent_system.models import Job

__all__ = ["MISSED_MESSAGE", "ChatStateManager"]

MISSED_MESSAGE = "missed_message"
"""The type of the jobs for messages that were said while the agent was not there."""


class ChatStateManager(Manager[ChatState]):
    """Chat states: how far each chat has been read, when the agent was there, and what it missed.

    Every verb makes the state of its chat when there is none. Nothing goes back: of two that say until when, the later
    moment stays, in whatever order they come.

    Example:
        >>> await em.chat_states.see(chat_id, message_id=17, at=said_at)
        >>> await em.chat_states.mark_offline(chat_id)
        >>> await em.chat_states.queue_missed(chat_id, 18, "Are you there?", sender="ada")
    """

    entity = ChatState

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(db, clock=clock)
        self._queue = QueueManager(db, clock=clock)

    @cached_property
    def _columns(self) -> dict[str, Any]:
        return dict(self.plans.columns)

    async def get_by_chat(self, chat_id: int) -> ChatState | None:
        """Return the state of a chat, or None."""
        return await self.find_one(chat_id=chat_id)

    async def see(self, chat_id: int, message_id: int, at: datetime | None = None, *, messages: int = 1) -> ChatState:
        """Say that a message was read.

        Args:
            message_id: The message; an older one than the last that was read counts, and changes nothing else.
            at: When it was said; None is now.
            messages: How many were read with this one, itself among them.

        Raises:
            ValidationError: A value is refused.
        """
        moment = self._moment(at)
        given = {"last_seen_message_id": message_id, "last_seen_at": moment, "total_messages_scanned": messages}
        values, columns = self.new_values({"chat_id": chat_id, **given}), self._columns
        last = columns["last_seen_message_id"]
        is_newer = or_(last.is_(None), last < literal(values["last_seen_message_id"], last.type))
        changes = {key: case((is_newer, literal(values[key], columns[key].type)), else_=columns[key]) for key in given}
        changes["total_messages_scanned"] = columns["total_messages_scanned"] + values["total_messages_scanned"]
        return await self._set(chat_id, changes)

    async def mark_scan_completed(self, chat_id: int, at: datetime | None = None) -> ChatState:
        """Say that a chat was read to its end; `at` None is now."""
        return await self._set_latest(chat_id, "scan_completed_at", at)

    async def mark_online(self, chat_id: int, at: datetime | None = None) -> ChatState:
        """Say that the agent came; `at` None is now."""
        return await self._set_latest(chat_id, "bot_last_online_at", at)

    async def mark_offline(self, chat_id: int, at: datetime | None = None) -> ChatState:
        """Say that the agent left; `at` None is now."""
        return await self._set_latest(chat_id, "bot_last_offline_at", at)

    async def _set_latest(self, chat_id: int, key: str, at: datetime | None) -> ChatState:
        moment, column = self._moment(at), self._columns[key]
        return await self._set(chat_id, {key: case((column > moment, column), else_=literal(moment, column.type))})

    async def _set(self, chat_id: int, changes: dict[str, Any]) -> ChatState:
        """Make the state of a chat unless it is there, and change it: two statements of one unit of work."""
        values, columns = self.new_values({"chat_id": chat_id}), self._columns
        row = {columns[key].name: value for key, value in values.items() if key in columns}
        table = self.plans.table
        make = insert(table).values(row).ext(UnlessThere()).inline()
        change = update(table).where(columns["chat_id"] == values["chat_id"])
        change = change.values(**changes, updated_at=values["updated_at"]).returning(*table.columns)

        def work(executor: Executor) -> Any:
            found = executor.execute(change).first()
            if found is None:
                executor.execute(make)
                found = executor.execute(change).one()
            return found

        row_values = await self.run(work, values)
        return self.plans.hydrate.build(dict(zip(self.plans.hydrate.keys, row_values, strict=True)))

    def _moment(self, at: datetime | None) -> datetime:
        return self._clock() if at is None else aware(at, "at")

    # What was missed.

    async def queue_missed(
        self,
        chat_id: int,
        message_id: int,
        text: str,
        *,
        sender: str | None = None,
        sent_at: datetime | None = None,
        **fields: Any,
    ) -> Job:
        """Put a message into the queue that was said while the agent was not there, and return its job.

        Of one message there is one such job that is not over, however often it is found.

        Args:
            chat_id: The chat.
            message_id: The message.
            text: What was said.
            sender: Who said it, in the platform's words.
            sent_at: When; None: not known.
            fields: See `em.queue.enqueue`: priority, user_id, metadata and so on.

        Raises:
            ValidationError: A value was refused.
        """
        payload = {
            "chat_id": chat_id,
            "message_id": message_id,
            "text": text,
            "sender": sender,
            "sent_at": None if sent_at is None else aware(sent_at, "sent_at").isoformat(),
        }
        key = f"{MISSED_MESSAGE}:{chat_id}:{message_id}"
        return await self._queue.enqueue(MISSED_MESSAGE, payload, chat_id=chat_id, dedupe_key=key, **fields)

    async def pending_missed(
        self, chat_id: int | None = None, *, limit: int = 100, after: str | None = None
    ) -> Page[Job]:
        """Return one page of the missed messages that nobody has looked at, the oldest first.

        Args:
            chat_id: Only of this chat, which may be 0; None is all.
        """
        chat = {} if chat_id is None else {"chat_id": chat_id}
        where = {"task_type": MISSED_MESSAGE, "status": JobStatus.PENDING, **chat}
        return await self._queue.list(where, None, limit, after)
