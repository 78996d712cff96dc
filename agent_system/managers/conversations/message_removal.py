"""Deleting single messages: what refers to one that goes refers to the one before it from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from agent_system.managers.conversations.message_log import Ends

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.conversations.message_log import MessageLog
    from agent_system.managers.core.store import RowStore
    from agent_system.models import Conversation, Message

__all__ = ["MessageRemoval"]


class MessageRemoval:
    """Makes the units of work that delete messages."""

    def __init__(self, messages: RowStore[Message], conversations: RowStore[Conversation], log: MessageLog) -> None:
        self._messages = messages
        self._conversations = conversations.plans.table
        self._log = log

    def remove(self, id_: int) -> Work[bool]:
        """What deletes a message; those that followed it follow the one before it, and so does a head."""

        def work(executor: Executor) -> bool:
            key = {"id": id_}
            found = self._messages.get(executor, key)
            if found is None:
                return False
            if found["conversation_id"] is None:
                return self._messages.remove(executor, key)
            conversation_id = found["conversation_id"]
            ends = self._log.lock(executor, conversation_id)
            # Read again now that nobody else can change the conversation.
            found = self._messages.get(executor, key)
            if found is None:
                return False
            self._relink(executor, found)
            self._messages.remove(executor, key)
            head = found["parent_id"] if ends.head == id_ else ends.head
            self._log.go_on(executor, conversation_id, -1, None, Ends(head, ends.is_forked, ends.name))
            self._find_last_moment(executor, conversation_id)
            return True

        return work

    def _relink(self, executor: Executor, message: Mapping[str, Any]) -> None:
        """Put the message before it in the place of one that goes: as a parent, as a named head, as a point of fork."""
        messages = self._messages.plans.table
        heads, forks = messages.metadata.tables["conversation_heads"].c, self._conversations.c
        gone, parent = message["id"], message["parent_id"]
        executor.execute(update(messages).where(messages.c.parent_id == gone).values(parent_id=parent))
        if parent is not None:
            executor.execute(update(heads.name.table).where(heads.message_id == gone).values(message_id=parent))
        # A fork without messages of its own has the point of fork as its head.
        empty = update(self._conversations).where(forks.fork_message_id == gone, forks.head_message_id == gone)
        executor.execute(empty.values(head_message_id=parent))
        executor.execute(
            update(self._conversations).where(forks.fork_message_id == gone).values(fork_message_id=parent)
        )

    def _find_last_moment(self, executor: Executor, conversation_id: UUID) -> None:
        messages, conversations = self._messages.plans.table, self._conversations
        last = select(func.max(messages.c.created_at)).where(messages.c.conversation_id == conversation_id)
        moment = func.coalesce(last.scalar_subquery(), conversations.c.created_at)
        statement = update(conversations).where(conversations.c.id == conversation_id)
        executor.execute(statement.values(last_message_at=moment))
