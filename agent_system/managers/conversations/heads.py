"""The ends of conversations: the current one, and those that have names as branches have in version control."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.conversations.comparison import BranchComparer, Comparison
from agent_system.managers.conversations.message_history import MessageHistory
from agent_system.managers.conversations.message_log import revision_conflict
from agent_system.managers.core.base import Manager
from agent_system.managers.core.store import RowStore
from agent_system.models import Conversation, ConversationHead, Message

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping
    from uuid import UUID

    from agent_system.database.executor import Executor

__all__ = ["ConversationHeads"]


class ConversationHeads(Manager[Conversation]):
    """The branches of conversations.

    A conversation has a current branch, which ends with its head. A named head is the end of a branch by name:
    `switch` makes its branch the current one, and from then on it moves with every append, until another branch becomes
    the current one.
    """

    entity = Conversation

    async def move_head(
        self,
        id: UUID,  # noqa: A002
        message_id: int,
        *,
        expected_revision: int | None = None,
    ) -> Conversation:
        """Make a message of the conversation its last one: what is appended now begins another branch there.

        Named heads stay where they are.

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
            return self._move(executor, before, message_id, None)

        return self.plans.hydrate.build(await self.run(work))

    async def switch(self, id: UUID, name: str, *, expected_revision: int | None = None) -> Conversation:  # noqa: A002
        """Go on with the branch of a named head, which moves with what is appended from now on.

        Raises:
            NotFoundError: There is no such conversation, or no such head.
            ConflictError: It is at another revision.
        """
        key = self.store.keys.existing(id)

        def work(executor: Executor) -> dict[str, Any]:
            before = self._locked(executor, key, expected_revision)
            return self._move(executor, before, self._named(executor, before, name), name)

        return self.plans.hydrate.build(await self.run(work))

    async def set_head(self, id: UUID, name: str, message_id: int | None = None) -> ConversationHead:  # noqa: A002
        """Give the end of a branch a name; one that is there moves, and takes the current branch along if that has it.

        Args:
            id: Key of the conversation.
            name: The name, unique in the conversation.
            message_id: The message; None is the last one of the current branch.

        Raises:
            NotFoundError: There is no such conversation, or no such message in it.
            ValidationError: The conversation has no message yet, or the name is no text.
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
            if name == conversation["current_head"]:
                self._move(executor, conversation, target, name)
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
        key = self.store.keys.possible(id)
        if key is None:
            return []
        statement = self._heads.query().where(columns["conversation_id"] == key["id"])
        return await self._heads.select(statement.order_by(columns["name"]))

    async def delete_head(self, id: UUID, name: str) -> bool:  # noqa: A002
        """Forget a named head; False when there is none. No message is lost, and the current branch stays the same."""
        key = self.store.keys.possible(id)

        def work(executor: Executor) -> bool:
            before = None if key is None else self.store.get(executor, key, lock=True)
            if before is None:
                return False
            if before["current_head"] == name:
                self.store.change(executor, {"id": before["id"]}, {"current_head": None})
            return self._heads.store.remove(executor, {"conversation_id": before["id"], "name": name})

        return await self.run(work)

    async def compare(
        self,
        id: UUID,  # noqa: A002
        left: str | int | None = None,
        right: str | int | None = None,
        *,
        other_id: UUID | None = None,
    ) -> Comparison:
        """Compare two branches: their last common message, and what each of them has said since.

        Args:
            id: Key of the conversation.
            left: The end of the one branch: a named head, the id of a message, or None for the current branch.
            right: The end of the other one.
            other_id: Another conversation, to which `right` belongs, such as one that was forked off this one.

        Raises:
            NotFoundError: There is no such conversation, no such head, or no such message in it.
        """
        keys = [self.store.keys.existing(id), self.store.keys.existing(id if other_id is None else other_id)]

        def work(executor: Executor) -> Comparison:
            ends = [self._end(executor, key, end) for key, end in zip(keys, (left, right), strict=True)]
            return self._comparer.compare(executor, *ends)

        return await self._db.read(work)

    # What forks and heads have in common.

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

    def _named(self, executor: Executor, conversation: Mapping[str, Any], name: str) -> int:
        head = self._heads.store.get(executor, {"conversation_id": conversation["id"], "name": name})
        if head is None:
            raise NotFoundError(self._heads.store.name, (conversation["id"], name))
        return int(head["message_id"])

    def _end(self, executor: Executor, key: Mapping[str, Any], end: str | int | None) -> int | None:
        found = self.store.get(executor, key)
        if found is None:
            raise NotFoundError(self.store.name, key["id"])
        if isinstance(end, str):
            return self._named(executor, found, end)
        if end is not None and not self._history.contains(executor, found["id"], end):
            raise NotFoundError(self._messages.name, end)
        return found["head_message_id"] if end is None else end

    def _move(self, executor: Executor, before: Mapping[str, Any], message_id: int, name: str | None) -> dict[str, Any]:
        changes: dict[str, Any] = {} if before["current_head"] == name else {"current_head": name}
        if before["head_message_id"] != message_id:
            # Messages beyond the new head are no longer a part of the history: it has to be walked from now on.
            moved = {"head_message_id": message_id, "is_forked": True, "revision": before["revision"] + 1}
            changes |= moved
        return self.store.change(executor, {"id": before["id"]}, changes) if changes else dict(before)

    @cached_property
    def _heads(self) -> Manager[ConversationHead]:
        return _HeadManager(self._db, clock=self._clock)

    @cached_property
    def _messages(self) -> RowStore[Message]:
        return RowStore(Message, self._db.dialect, self._clock)

    @cached_property
    def _history(self) -> MessageHistory:
        return MessageHistory(self._messages.plans, self.plans.table, self._db.dialect)

    @cached_property
    def _comparer(self) -> BranchComparer:
        return BranchComparer(self._messages.plans)


class _HeadManager(Manager[ConversationHead]):
    entity = ConversationHead
