"""Conversations: courses of messages, each with a head and, if it branches, with named ones."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.conversations.message_log import revision_conflict
from agent_system.managers.core.base import Manager
from agent_system.managers.core.store import RowStore, differing
from agent_system.models import Conversation, ConversationHead, Message
from agent_system.types import ConversationStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.managers.core.pagination import Page

__all__ = ["ConversationManager"]

DEFAULT_PAGE = 50


class ConversationManager(Manager[Conversation]):
    """Conversations: courses of messages.

    A row knows how many messages there are and when the last one was said, so that lists load none. `revision` counts
    appends and moves of the head; what is decided on its ground names it as `expected_revision`.

    Example:
        >>> conversation = await em.conversations.create({"title": "Plans", "agent_id": agent.id})
        >>> await em.messages.append(conversation.id, {"role": "user", "content": "Hello"})
        >>> page = await em.conversations.recent(agent_id=agent.id)
    """

    entity = Conversation
    kept = frozenset({"head_message_id", "is_forked", "revision", "message_count", "last_message_at", "archived_at"})
    fixed = frozenset({"parent_conversation_id", "fork_message_id"})

    def fill_in(self, values: dict[str, Any]) -> None:
        """Begin a fork at its point of fork, and date the archiving of what is archived from the start."""
        values["head_message_id"] = values["fork_message_id"]
        if values["status"] is ConversationStatus.ARCHIVED:
            values["archived_at"] = values["created_at"]

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:  # noqa: ARG002
        """Date the archiving."""
        status = changes.get("status", before["status"])
        if status != before["status"]:
            changes["archived_at"] = self._clock() if status is ConversationStatus.ARCHIVED else None

    async def recent(
        self, limit: int = DEFAULT_PAGE, after: str | None = None, *, include_archived: bool = False, **values: Any
    ) -> Page[Conversation]:
        """Return one page of conversations, the one with the newest message first; those without any come last.

        Args:
            limit: At most so many, from 1.
            after: The `next_cursor` of the page before.
            include_archived: Whether archived ones count.
            values: Columns that must have a value: user_id, agent_id, project_id, workspace_id ...

        Raises:
            ValidationError: A column does not exist, or the limit is below 1.
        """
        where = dict(values) if include_archived else {"status": ConversationStatus.ACTIVE, **values}
        return await self.list(where, "-last_message_at", limit, after)

    async def archive(self, id: UUID) -> Conversation:  # noqa: A002
        """Hide the conversation from lists; nothing of it is lost.

        Raises:
            NotFoundError: There is no such conversation.
        """
        return await self.revise(id, lambda row: differing(row, status=ConversationStatus.ARCHIVED))

    async def restore(self, id: UUID) -> Conversation:  # noqa: A002
        """Show an archived conversation again.

        Raises:
            NotFoundError: There is no such conversation.
        """
        return await self.revise(id, lambda row: differing(row, status=ConversationStatus.ACTIVE))

    # Heads.

    async def move_head(
        self,
        id: UUID,  # noqa: A002
        message_id: int,
        *,
        expected_revision: int | None = None,
    ) -> Conversation:
        """Make a message of the conversation its last one: what is appended now begins another branch there.

        Args:
            id: Key of the conversation.
            message_id: The message.
            expected_revision: Move only if the conversation is still at this revision.

        Raises:
            NotFoundError: There is no such conversation, or no such message in it.
            ConflictError: It is at another revision.
        """
        key = self.store.keys.existing(id)

        def work(executor: Executor) -> dict[str, Any]:
            before = self._locked(executor, key, expected_revision)
            self._check_message(executor, before, message_id)
            return self._move(executor, before, message_id)

        return self.plans.hydrate.build(await self.run(work))

    async def switch(self, id: UUID, name: str, *, expected_revision: int | None = None) -> Conversation:  # noqa: A002
        """Make the message of a named head the conversation's last one; see `move_head`.

        Raises:
            NotFoundError: There is no such conversation, or no such head.
            ConflictError: It is at another revision.
        """
        key = self.store.keys.existing(id)

        def work(executor: Executor) -> dict[str, Any]:
            before = self._locked(executor, key, expected_revision)
            head = self._heads.store.get(executor, {"conversation_id": before["id"], "name": name})
            if head is None:
                raise NotFoundError(self._heads.store.name, (id, name))
            return self._move(executor, before, head["message_id"])

        return self.plans.hydrate.build(await self.run(work))

    async def set_head(self, id: UUID, name: str, message_id: int | None = None) -> ConversationHead:  # noqa: A002
        """Give a message a name by which `switch` finds it; a name that is there moves.

        Args:
            id: Key of the conversation.
            name: The name, unique in the conversation.
            message_id: The message; None is the last one of the current branch.

        Raises:
            NotFoundError: There is no such conversation, or no such message in it.
            ValidationError: The conversation has no message yet.
        """
        key = self.store.keys.existing(id)
        template = self._heads.new_values({"conversation_id": key["id"], "name": name, "message_id": 0})

        def work(executor: Executor) -> dict[str, Any]:
            conversation = self._locked(executor, key, None)
            target = conversation["head_message_id"] if message_id is None else message_id
            if target is None:
                message = "the conversation has no message that a head could stand at"
                raise ValidationError(message, field="message_id", entity="ConversationHead")
            if message_id is not None:
                self._check_message(executor, conversation, message_id)
            values = template | {"message_id": target}
            head_key = {"conversation_id": key["id"], "name": name}
            if self._heads.store.get(executor, head_key) is not None:
                return self._heads.store.change(executor, head_key, {"message_id": target})
            self._heads.insertion(values)(executor)
            return values

        return self._heads.plans.hydrate.build(await self.run(work))

    async def heads(self, id: UUID) -> builtins.list[ConversationHead]:  # noqa: A002
        """Return the named heads of a conversation, by name."""
        columns = self._heads.plans.columns
        statement = self._heads.query().where(columns["conversation_id"] == id)
        return await self._heads.select(statement.order_by(columns["name"]))

    async def delete_head(self, id: UUID, name: str) -> bool:  # noqa: A002
        """Forget a named head; False when there is none. No message is lost."""
        return await self._heads.delete((id, name))

    def _locked(self, executor: Executor, key: Mapping[str, Any], expected_revision: int | None) -> dict[str, Any]:
        found = self.store.get(executor, key, lock=True)
        if found is None:
            raise NotFoundError(self.store.name, key["id"])
        if expected_revision is not None and found["revision"] != expected_revision:
            raise revision_conflict(key["id"], expected_revision, found["revision"])
        return found

    def _check_message(self, executor: Executor, conversation: Mapping[str, Any], message_id: int) -> None:
        found = self._messages.get(executor, {"id": message_id})
        is_point_of_fork = message_id == conversation["fork_message_id"]
        if found is None or (found["conversation_id"] != conversation["id"] and not is_point_of_fork):
            raise NotFoundError(self._messages.name, message_id)

    def _move(self, executor: Executor, before: Mapping[str, Any], message_id: int) -> dict[str, Any]:
        if before["head_message_id"] == message_id:
            return dict(before)
        # Messages beyond the new head are no longer a part of the history: it has to be walked from now on.
        changes = {"head_message_id": message_id, "is_forked": True, "revision": before["revision"] + 1}
        return self.store.change(executor, {"id": before["id"]}, changes)

    @cached_property
    def _heads(self) -> Manager[ConversationHead]:
        return _HeadManager(self._db, clock=self._clock)

    @cached_property
    def _messages(self) -> RowStore[Message]:
        return RowStore(Message, self._db.dialect, self._clock)


class _HeadManager(Manager[ConversationHead]):
    entity = ConversationHead
