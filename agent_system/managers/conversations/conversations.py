"""Conversations: courses of messages that can be listed, archived, branched and forked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.conversations.heads import ConversationHeads
from agent_system.managers.core.store import differing
from agent_system.types import ConversationStatus

if TYPE_CHECKING:
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.managers.core.pagination import Page
    from agent_system.models import Conversation

__all__ = ["ConversationManager"]

DEFAULT_PAGE = 50
# What a fork has of the conversation that it comes from, unless it is told otherwise.
INHERITED = ("user_id", "agent_id", "project_id", "workspace_id", "title")


class ConversationManager(ConversationHeads):
    """Conversations: courses of messages.

    A row knows how many messages there are and when the last one was said, so that lists load none. `revision` counts
    appends and moves of the head; what is decided on its ground names it as `expected_revision`.

    Example:
        >>> conversation = await em.conversations.create({"title": "Plans", "agent_id": agent.id})
        >>> message = await em.messages.append(conversation.id, {"role": "user", "content": "Hello"})
        >>> other = await em.conversations.fork(conversation.id, message.id)
        >>> page = await em.conversations.recent(agent_id=agent.id)
    """

    kept = frozenset(
        {"head_message_id", "current_head", "is_forked", "revision", "message_count", "last_message_at", "archived_at"}
    )
    fixed = frozenset({"parent_conversation_id", "fork_message_id"})

    def fill_in(self, values: dict[str, Any]) -> None:
        """Begin a fork at its point of fork, and date the archiving of what is archived from the start.

        Raises:
            ValidationError: The conversation is to be forked from itself.
        """
        if values["parent_conversation_id"] is not None and values["parent_conversation_id"] == values["id"]:
            message = "conversations.parent_conversation_id: a conversation cannot be forked from itself"
            raise ValidationError(message, field="parent_conversation_id", entity=self.store.name)
        values["head_message_id"] = values["fork_message_id"]
        values["last_message_at"] = values["created_at"]
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
        """Return one page of conversations without their messages, the one with the newest message first.

        One without messages is as recent as its making. The pages are read along an index, wherever they begin.

        Args:
            limit: At most so many, from 1.
            after: The `next_cursor` of the page before.
            include_archived: Whether archived ones count.
            values: Columns that must have a value: user_id, agent_id, project_id, status, workspace_id ...

        Raises:
            ValidationError: A column does not exist, or the limit is below 1.
            CursorError: The cursor belongs to another list.
        """
        where = dict(values) if include_archived else {"status": ConversationStatus.ACTIVE, **values}
        return await self.list(where, "-last_message_at", limit, after)

    async def rename(self, id: UUID, title: str) -> Conversation:  # noqa: A002
        """Give the conversation another title.

        Raises:
            NotFoundError: There is no such conversation.
            ValidationError: The title is no text.
        """
        return await self.update(id, {"title": title})

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

    async def fork(
        self,
        id: UUID,  # noqa: A002
        message_id: int | None = None,
        *,
        expected_revision: int | None = None,
        **data: Any,
    ) -> Conversation:
        """Make a conversation that shares everything up to a message with this one and goes on by itself.

        No message is copied, however many there are. The fork's own `message_count` begins with 0.

        Args:
            id: Key of the conversation.
            message_id: The last message that both have, on any branch; None is the last one of the current branch.
            expected_revision: Fork only if the conversation is still at this revision.
            data: Values of the new conversation; owner, agent, project, workspace and title are the old one's.

        Raises:
            NotFoundError: There is no such conversation, or no such message in it.
            ConflictError: It is at another revision.
            ValidationError: The data were refused, or nothing has been said yet.
        """
        key = self.store.keys.existing(id)
        template = self.new_values({**data, "parent_conversation_id": key["id"]})
        inherited = [name for name in INHERITED if name not in data]

        def work(executor: Executor) -> dict[str, Any]:
            before = self._locked(executor, key, expected_revision)
            point = before["head_message_id"] if message_id is None else message_id
            if point is None:
                message = "nothing has been said in the conversation that a fork could go on from"
                raise ValidationError(message, field="message_id", entity=self.store.name)
            if message_id is not None and not self._history.contains(executor, before["id"], message_id):
                raise NotFoundError(self._messages.name, message_id)
            values = template | {name: before[name] for name in inherited}
            values |= {"fork_message_id": point, "head_message_id": point}
            self.insertion(values)(executor)
            return values

        return self.plans.hydrate.build(await self.run(work))
