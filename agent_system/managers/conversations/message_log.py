"""Writing messages: an append locks its conversation's row first, then inserts, then updates the row.

The lock makes the keys of a conversation's messages rise in the order of the commits on both engines, so that nobody
who reads "after this key" misses one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sqlalchemy import Integer, bindparam, case, literal_column, or_, select, update

from agent_system.database.plans import compile_plan
from agent_system.errors import ConflictError, ForeignKeyError, NotFoundError, ValidationError
from agent_system.managers.core.insertion import write_all
from agent_system.models import ConversationHead, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from agent_system.database.executor import Executor, Work
    from agent_system.database.plans import Plan
    from agent_system.managers.core.store import RowStore
    from agent_system.managers.users.identity_writer import IdentityWriter
    from agent_system.models import Conversation, Message

__all__ = ["Ends", "MessageLog", "revision_conflict"]

CHUNK = 10_000

# The values of a new message, and what inserts it.
_New: TypeAlias = "tuple[dict[str, Any], Callable[[Executor], None]]"

_heads = metadata.tables["conversation_heads"].c


class Ends(NamedTuple):
    """Where a locked conversation goes on."""

    head: int | None
    """Its last message; None while there is none."""
    is_forked: bool
    """Whether its messages are more than one line."""
    name: str | None
    """The named head that moves with the last message; None when the branch has no name."""


class MessageLog:
    """Makes the units of work that add messages."""

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
        self._decode_name = conversations.plans.hydrate.processor("current_head")
        self._lock_plan = self._compile_lock()
        self._update_plan = self._compile_update()
        dialect = conversations.plans.dialect
        named = (_heads.conversation_id == bindparam("conversation_id"), _heads.name == bindparam("head_name"))
        self._find_head = compile_plan(select(_heads.message_id).where(*named), dialect)
        moved: dict[Any, Any] = {_heads.message_id: bindparam("message"), _heads.updated_at: bindparam("now")}
        self._move_head = compile_plan(update(_heads.name.table).where(*named).values(moved), dialect)

    def prepare(self, values: dict[str, Any]) -> Callable[[Executor], None]:
        """Encode a new message; returns what inserts it behind the parent that it has by then."""
        late = () if values["conversation_id"] is None else ("parent_id",)
        return self._messages.prepare_insert(values, late=late)

    def append(
        self,
        rows: Sequence[dict[str, Any]],
        inserts: Sequence[Callable[[Executor], None]],
        given_uids: Collection[UUID] = (),
        expected_revision: int | None = None,
        branch: str | None = None,
    ) -> Work[None]:
        """What writes new messages, in order; `rows` become the rows as they are stored.

        Args:
            rows: Complete values; of messages in a conversation `parent_id` None means the end of the branch.
            inserts: What inserts each of them, from `prepare`.
            given_uids: The callers' own uids, under which the messages may be stored already.
            expected_revision: Write only if the (one) conversation is still at this revision.
            branch: The named head to append to; None is the current branch.
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
                    write_all(executor, [inserts[position] for position in positions])
                else:
                    new = [(rows[position], inserts[position]) for position in positions]
                    self._append(executor, conversation_id, new, expected_revision, branch)
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
        new: Sequence[_New],
        expected_revision: int | None,
        branch: str | None,
    ) -> None:
        ends = self.lock(executor, conversation_id, expected_revision)
        head, is_forked, name = ends
        is_elsewhere = branch is not None and branch != name
        if branch is not None and is_elsewhere:
            head, is_forked, name = self._named(executor, conversation_id, branch), True, branch
        if executor.counts_on and len(new) > 1 and all(values["parent_id"] is None for values, _ in new):
            head = _write_line(executor, new, head)
        else:
            for values, insert in new:
                if values["parent_id"] is None:
                    values["parent_id"] = head
                elif values["parent_id"] != head:
                    self._check_parent(executor, values)
                    # The named head stays at the branch that is left here.
                    is_forked, name = True, None
                insert(executor)
                head = values["id"]
        if name is not None:
            values = {"conversation_id": conversation_id, "head_name": name, "message": head, "now": self._clock()}
            if not executor.change(self._move_head, self._move_head.encode(values)):
                # Its last message was deleted, and it with that.
                name = None
        if is_elsewhere:
            head, name = ends.head, ends.name
        said_at = max(values["created_at"] for values, _ in new)
        self.go_on(executor, conversation_id, len(new), said_at, Ends(head, is_forked, name))

    def lock(self, executor: Executor, conversation_id: UUID, expected_revision: int | None = None) -> Ends:
        """Keep others from changing the conversation; return where it goes on.

        Raises:
            ForeignKeyError: There is no such conversation.
            ConflictError: It is at another revision.
        """
        rows = executor.fetch(self._lock_plan, self._lock_plan.encode({"id": conversation_id}))
        if not rows:
            message = f"messages.conversation_id: there is no conversations row {conversation_id}; nothing was written"
            raise ForeignKeyError(message, table="messages", fields=("conversation_id",))
        head, fork, is_forked, revision, name = rows[0]
        if expected_revision is not None and revision != expected_revision:
            raise revision_conflict(conversation_id, expected_revision, revision)
        if head is not None and head == fork and self._messages.get(executor, {"id": head}) is None:
            # The conversation that this one was forked from is gone.
            head = None
        if name is not None and self._decode_name is not None:
            name = self._decode_name(name)
        return Ends(head, bool(is_forked), name)

    def go_on(
        self, executor: Executor, conversation_id: UUID, count: int, said_at: datetime | None, ends: Ends
    ) -> None:
        """Count messages of a locked conversation, of which the last one was said at a moment, and set its ends."""
        plan = self._update_plan
        values = {"id": conversation_id, "now": self._clock(), "count": count, "said_at": said_at}
        ends_values = {"head": ends.head, "is_forked": ends.is_forked, "head_name": ends.name}
        executor.change(plan, plan.encode(values | ends_values))

    def _named(self, executor: Executor, conversation_id: UUID, name: str) -> int:
        plan = self._find_head
        rows = executor.fetch(plan, plan.encode({"conversation_id": conversation_id, "head_name": name}))
        if not rows:
            raise NotFoundError(ConversationHead.__name__, (conversation_id, name))
        return int(rows[0][0])

    def _check_parent(self, executor: Executor, values: dict[str, Any]) -> None:
        found = self._messages.get(executor, {"id": values["parent_id"]})
        if found is None:
            message = f"messages.parent_id: there is no messages row {values['parent_id']}; nothing was written"
            raise ForeignKeyError(message, table="messages", fields=("parent_id",))
        if found["conversation_id"] != values["conversation_id"]:
            message = "messages.parent_id is a message of another conversation"
            raise ValidationError(message, field="parent_id", entity="Message")

    def _compile_lock(self) -> Plan:
        plans = self._conversations.plans
        columns = plans.columns
        wanted = [
            columns[key] for key in ("head_message_id", "fork_message_id", "is_forked", "revision", "current_head")
        ]
        statement = select(*wanted).where(columns["id"] == bindparam("id", type_=columns["id"].type))
        return compile_plan(statement.with_for_update(), plans.dialect)

    def _compile_update(self) -> Plan:
        plans = self._conversations.plans
        columns = plans.columns
        moment, count = columns["last_message_at"], columns["message_count"]
        said_at = bindparam("said_at", type_=moment.type)
        # While there are no messages, the moment is that of the conversation's making.
        is_later = or_(moment < said_at, count == literal_column("0"))
        statement = update(plans.table).where(columns["id"] == bindparam("id", type_=columns["id"].type))
        statement = statement.values(
            message_count=count + bindparam("count", type_=Integer()),
            revision=columns["revision"] + 1,
            last_message_at=case((is_later, said_at), else_=moment),
            head_message_id=bindparam("head", type_=columns["head_message_id"].type),
            current_head=bindparam("head_name", type_=columns["current_head"].type),
            is_forked=bindparam("is_forked", type_=columns["is_forked"].type),
            updated_at=bindparam("now", type_=columns["updated_at"].type),
        )
        plan = compile_plan(statement, plans.dialect, writes=plans.table.name)
        return replace(plan, key_position=plan.parameters.index("id"))


def _write_line(executor: Executor, new: Sequence[_New], head: int | None) -> int:
    """Write messages of which each follows the one before it; the key of the first tells those of the others."""
    (values, insert), *others = new
    values["parent_id"] = head
    insert(executor)
    for key, (follower, _) in enumerate(others, values["id"]):
        follower["parent_id"] = key
    write_all(executor, [insert for _, insert in others], are_complete=True)
    last: int = new[-1][0]["id"]
    return last


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
