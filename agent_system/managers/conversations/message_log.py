"""Writing messages: an append locks its conversation's row first, then inserts, then updates the row.

The lock makes the keys of a conversation's messages rise in the order of the commits on both engines, so that nobody
who reads "after this key" misses one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, case, func, or_, select, update

from agent_system.database.plans import compile_plan
from agent_system.errors import ConflictError, ForeignKeyError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from agent_system.database.executor import Executor, Work
    from agent_system.database.plans import Plan
    from agent_system.managers.core.store import RowStore
    from agent_system.managers.users.identities import IdentityWriter
    from agent_system.models import Conversation, Message

__all__ = ["MessageLog", "revision_conflict"]

CHUNK = 10_000


class MessageLog:
    """Makes the units of work that add and remove messages."""

    def __init__(
        self,
        messages: RowStore[Message],
        conversations: RowStore[Conversation],
        identities: IdentityWriter,
        clock: Callable[[], datetime],
    ) -> None:
        self._messages = messages
        self._conversations = conversations
        self._identities = identities
        self._clock = clock
        self._lock_plan = self._compile_lock()
        self._update_plan = self._compile_update()

    def prepare(self, values: dict[str, Any]) -> Callable[[Executor], None]:
        """Encode a new message; returns what inserts it behind the parent that it has by then."""
        return self._messages.prepare_insert(values, late=("parent_id",))

    def append(
        self,
        rows: Sequence[dict[str, Any]],
        inserts: Sequence[Callable[[Executor], None]],
        given_uids: Collection[UUID] = (),
        expected_revision: int | None = None,
    ) -> Work[None]:
        """What writes new messages, in order; `rows` become the rows as they are stored.

        Args:
            rows: Complete values; of messages in a conversation `parent_id` None means the conversation's head.
            inserts: What inserts each of them, from `prepare`.
            given_uids: The callers' own uids, under which the messages may be stored already.
            expected_revision: Write only if the (one) conversation is still at this revision.
        """
        parents = [values["parent_id"] for values in rows]
        authors = list(dict.fromkeys(values["user_id"] for values in rows if values["user_id"] is not None))

        def work(executor: Executor) -> None:
            stored = self._stored(executor, given_uids)
            for author in authors:
                self._identities.ensure(executor, author)
            appends: dict[UUID | None, list[int]] = {}
            repeated: list[tuple[dict[str, Any], dict[str, Any]]] = []
            for position, values in enumerate(rows):
                values["parent_id"] = parents[position]
                if values["uid"] in stored:
                    _check_repetition(values, stored[values["uid"]])
                    repeated.append((values, stored[values["uid"]]))
                else:
                    stored[values["uid"]] = values
                    appends.setdefault(values["conversation_id"], []).append(position)
            # In the order of the keys, so that two who write to the same conversations do not wait for each other.
            for conversation_id, positions in sorted(appends.items(), key=lambda item: str(item[0])):
                if conversation_id is None:
                    for position in positions:
                        inserts[position](executor)
                else:
                    new = [(rows[position], inserts[position]) for position in positions]
                    self._append(executor, conversation_id, new, expected_revision)
            # Only now does the first of two that came together have what the database made for it.
            for values, first in repeated:
                values.update(first)

        return work

    def _stored(self, executor: Executor, uids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
        if not uids:
            return {}
        plans = self._messages.plans
        wanted = list(uids)
        stored: dict[UUID, dict[str, Any]] = {}
        for start in range(0, len(wanted), CHUNK):
            part = plans.columns["uid"].in_(wanted[start : start + CHUNK])
            for row in executor.execute(select(plans.table).where(part)):
                values = dict(zip(plans.hydrate.keys, row, strict=True))
                stored[values["uid"]] = values
        return stored

    def _append(
        self,
        executor: Executor,
        conversation_id: UUID,
        new: Sequence[tuple[dict[str, Any], Callable[[Executor], None]]],
        expected_revision: int | None,
    ) -> None:
        head, is_forked = self._lock(executor, conversation_id, expected_revision)
        for values, insert in new:
            if values["parent_id"] is None:
                values["parent_id"] = head
            elif values["parent_id"] != head:
                self._check_parent(executor, values)
                is_forked = True
            insert(executor)
            head = values["id"]
        said_at = max(values["created_at"] for values, _ in new)
        self._go_on(executor, conversation_id, count=len(new), said_at=said_at, head=head, is_forked=is_forked)

    def _lock(
        self, executor: Executor, conversation_id: UUID, expected_revision: int | None
    ) -> tuple[int | None, bool]:
        """Keep others from changing the conversation; return its head and whether it is forked."""
        rows = executor.fetch(self._lock_plan, self._lock_plan.encode({"id": conversation_id}))
        if not rows:
            message = f"messages.conversation_id: there is no conversations row {conversation_id}; nothing was written"
            raise ForeignKeyError(message, table="messages", fields=("conversation_id",))
        head, fork, is_forked, revision = rows[0]
        if expected_revision is not None and revision != expected_revision:
            raise revision_conflict(conversation_id, expected_revision, revision)
        if head is not None and head == fork and self._messages.get(executor, {"id": head}) is None:
            # The conversation that this one was forked from is gone.
            head = None
        return head, bool(is_forked)

    def _go_on(self, executor: Executor, conversation_id: UUID, **values: Any) -> None:
        """Count messages, of which the last one was said at a moment, and set the head."""
        plan = self._update_plan
        executor.change(plan, plan.encode({"id": conversation_id, "now": self._clock(), **values}))

    def _check_parent(self, executor: Executor, values: dict[str, Any]) -> None:
        found = self._messages.get(executor, {"id": values["parent_id"]})
        if found is None:
            message = f"messages.parent_id: there is no messages row {values['parent_id']}; nothing was written"
            raise ForeignKeyError(message, table="messages", fields=("parent_id",))
        if found["conversation_id"] != values["conversation_id"]:
            message = "messages.parent_id is a message of another conversation"
            raise ValidationError(message, field="parent_id", entity="Message")

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
            head, is_forked = self._lock(executor, conversation_id, None)
            # Read again now that nobody else can change the conversation.
            found = self._messages.get(executor, key)
            if found is None:
                return False
            self._relink(executor, found)
            self._messages.remove(executor, key)
            head = found["parent_id"] if head == id_ else head
            self._go_on(executor, conversation_id, count=-1, said_at=None, head=head, is_forked=is_forked)
            self._find_last_moment(executor, conversation_id)
            return True

        return work

    def _relink(self, executor: Executor, message: Mapping[str, Any]) -> None:
        """Put the message before it in the place of one that goes: as a parent, as a named head, as a point of fork."""
        messages = self._messages.plans.table
        tables = messages.metadata.tables
        heads, forks = tables["conversation_heads"], tables["conversations"]
        gone, parent = message["id"], message["parent_id"]
        executor.execute(update(messages).where(messages.c.parent_id == gone).values(parent_id=parent))
        if parent is not None:
            executor.execute(update(heads).where(heads.c.message_id == gone).values(message_id=parent))
        of_this = forks.c.parent_conversation_id == message["conversation_id"]
        for column in (forks.c.fork_message_id, forks.c.head_message_id):
            executor.execute(update(forks).where(of_this, column == gone).values({column: parent}))

    def _find_last_moment(self, executor: Executor, conversation_id: UUID) -> None:
        messages, conversations = self._messages.plans.table, self._conversations.plans.table
        last = select(func.max(messages.c.created_at)).where(messages.c.conversation_id == conversation_id)
        statement = update(conversations).where(conversations.c.id == conversation_id)
        executor.execute(statement.values(last_message_at=last.scalar_subquery()))

    def _compile_lock(self) -> Plan:
        plans = self._conversations.plans
        columns = plans.columns
        wanted = [columns[key] for key in ("head_message_id", "fork_message_id", "is_forked", "revision")]
        statement = select(*wanted).where(columns["id"] == bindparam("id", type_=columns["id"].type))
        return compile_plan(statement.with_for_update(), plans.dialect)

    def _compile_update(self) -> Plan:
        plans = self._conversations.plans
        columns = plans.columns
        moment = columns["last_message_at"]
        said_at = bindparam("said_at", type_=moment.type)
        is_later = or_(moment.is_(None), moment < said_at)
        statement = update(plans.table).where(columns["id"] == bindparam("id", type_=columns["id"].type))
        statement = statement.values(
            message_count=columns["message_count"] + bindparam("count", type_=Integer()),
            revision=columns["revision"] + 1,
            last_message_at=case((is_later, said_at), else_=moment),
            head_message_id=bindparam("head", type_=columns["head_message_id"].type),
            is_forked=bindparam("is_forked", type_=columns["is_forked"].type),
            updated_at=bindparam("now", type_=columns["updated_at"].type),
        )
        plan = compile_plan(statement, plans.dialect, writes=plans.table.name)
        return replace(plan, key_position=plan.parameters.index("id"))


def revision_conflict(conversation_id: UUID, expected: int | None, actual: int) -> ConflictError:
    """The error for a conversation that has gone on since it was read."""
    message = f"Conversation {conversation_id} is at revision {actual}, not {expected}: read it again"
    return ConflictError(
        message,
        entity="Conversation",
        entity_id=conversation_id,
        expected_version=expected,
        actual_version=actual,
    )


def _check_repetition(values: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    if values["conversation_id"] != stored["conversation_id"]:
        message = f"messages.uid: {values['uid']} is a message of another conversation"
        raise ConflictError(message, entity="Message", entity_id=stored.get("id"))
