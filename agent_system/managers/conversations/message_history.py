"""Reading a conversation: its last messages, and the pages before and after one.

A conversation that was never forked is a line: a range of its messages. One that was forked off another goes on in that
one, up to the point of fork. Where a conversation has branches of its own, two messages share a parent, and the history
is the way from its head up. So a history is read by ranges as far as there are lines, and from the first conversation
with branches on by walking up, which leads through all that lie above it.

The ids of messages rise along every branch, so that an id is a place in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Integer, bindparam, case, exists, literal_column, null, select

from agent_system.database.plans import compile_plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Dialect, Select

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan, TablePlans
    from agent_system.models import Message

__all__ = ["EVERYTHING", "MessageHistory", "Span"]

Side = Literal["end", "before", "after"]
EVERYTHING = 2**63 - 1
"""A limit that no conversation reaches, and an id that no message has."""


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a history that lies in one conversation."""

    conversation_id: UUID
    last: int
    """Its last message, which may belong to a conversation further up."""
    is_line: bool
    """Whether all messages of the conversation up to it are one line."""


class MessageHistory:
    """Makes the units of work that read one branch of a conversation."""

    def __init__(self, plans: TablePlans[Message], conversations: Any, dialect: Dialect) -> None:
        self._plans = plans
        self._table = plans.table
        self._conversations = conversations
        self._dialect = dialect
        self._decode_id: Any = plans.hydrate.processor("conversation_id")
        self._compiled: dict[str, Plan] = {}

    def read(
        self,
        executor: Executor,
        conversation_id: UUID,
        limit: int,
        side: Side = "end",
        message_id: int = 0,
        *,
        head: int | None = None,
    ) -> list[Message]:
        """Read up to `limit` messages, the oldest first.

        Args:
            executor: Runs the statements.
            conversation_id: The conversation.
            limit: At most so many.
            side: `end` for the last ones, `before` or `after` for those next to a place.
            message_id: That place.
            head: The last message of the branch; None is that of the current branch.
        """
        if head is None:
            # Whether it is a line stands in the statement itself, so that one read sees one state.
            plan = self._line(side)
            values = {"conversation_id": conversation_id, "limit": limit, "message_id": message_id}
            rows = executor.fetch(plan, plan.encode(values))
            if rows:
                return self._plans.hydrate.all(rows if side == "after" else reversed(rows))
        return self.walk(executor, conversation_id, limit, side, message_id, head=head)

    def walk(
        self,
        executor: Executor,
        conversation_id: UUID,
        limit: int,
        side: Side = "end",
        message_id: int = 0,
        *,
        head: int | None = None,
    ) -> list[Message]:
        """Read as `read` does a conversation that is no line, or has no messages on that side."""
        spans = self._spans(executor, conversation_id, head)
        if side == "after":
            return self._plans.hydrate.all(self._down(executor, spans, limit, message_id))
        below = message_id if side == "before" else EVERYTHING
        return self._plans.hydrate.all(reversed(self._up(executor, spans, limit, below)))

    def line(self, conversation_id: UUID, limit: int) -> tuple[Plan, tuple[Any, ...]]:
        """The plan for the end of a conversation that is a line, newest first, and its parameters."""
        plan = self._line("end")
        return plan, plan.encode({"conversation_id": conversation_id, "limit": limit})

    def contains(self, executor: Executor, conversation_id: UUID, message_id: int) -> bool:
        """Whether a message is of the conversation, on any branch, or of what it shares with those above it."""
        plan = self._plans.get()
        rows = executor.fetch(plan, plan.encode({"id": message_id}))
        if not rows:
            return False
        owner = self._plans.hydrate.decode(rows[0])["conversation_id"]
        for span in self._spans(executor, conversation_id, EVERYTHING):
            if span.conversation_id != owner:
                continue
            if span.last == EVERYTHING:
                return True
            if message_id > span.last or span.is_line:
                return message_id <= span.last
            way = self._walk_down(executor, span.last, message_id - 1, EVERYTHING)
            return bool(way) and self._plans.hydrate.decode(way[0])["id"] == message_id
        return False

    def _spans(self, executor: Executor, conversation_id: UUID, head: int | None) -> list[Span]:
        """The parts of a history, from the conversation itself upwards."""
        plan = self._compiled.get("spans") or self._compile("spans", self._select_spans())
        rows = executor.fetch(plan, plan.encode({"conversation_id": conversation_id}))
        spans: list[Span] = []
        last = head
        for id_, shared, is_forked in rows:
            if spans or last is None:
                last = shared if last is None else min(last, shared)
            if last is None:
                # Nothing has been said.
                break
            spans.append(Span(self._decode_id(id_), last, not is_forked))
        return spans

    def _up(self, executor: Executor, spans: Sequence[Span], limit: int, below: int) -> list[Any]:
        """The nearest messages before a place, the newest first."""
        rows: list[Any] = []
        for span in spans:
            remaining = limit - len(rows)
            if remaining <= 0:
                break
            if not span.is_line:
                return rows + self._walk_up(executor, span, remaining, below)
            plan = self._compiled.get("up") or self._compile("up", self._range(descending=True))
            bounds = {"above": 0, "upper": min(span.last, below - 1), "limit": remaining}
            rows += executor.fetch(plan, plan.encode({"conversation_id": span.conversation_id, **bounds}))
        return rows

    def _down(self, executor: Executor, spans: Sequence[Span], limit: int, above: int) -> list[Any]:
        """The nearest messages after a place, the oldest first."""
        forked = next((position for position, span in enumerate(spans) if not span.is_line), len(spans))
        rows: list[Any] = []
        for span in reversed(spans[: forked + 1]):
            remaining = limit - len(rows)
            if remaining <= 0:
                break
            if span.last <= above:
                continue
            if not span.is_line:
                rows = self._walk_down(executor, span.last, above, remaining)
                continue
            plan = self._compiled.get("down") or self._compile("down", self._range(descending=False))
            bounds = {"above": above, "upper": span.last, "limit": remaining}
            rows += executor.fetch(plan, plan.encode({"conversation_id": span.conversation_id, **bounds}))
        return rows

    def _walk_up(self, executor: Executor, span: Span, limit: int, below: int) -> list[Any]:
        start = span.last
        if below <= start:
            plan = self._plans.get()
            rows = executor.fetch(plan, plan.encode({"id": below}))
            found = self._plans.hydrate.decode(rows[0]) if rows else None
            if found is not None and found["conversation_id"] == span.conversation_id:
                # The way up from a message of whatever branch; nothing has to be passed over.
                if found["parent_id"] is None:
                    return []
                start = found["parent_id"]
        plan = self._compiled.get("walk up") or self._compile("walk up", self._way_up())
        return executor.fetch(plan, plan.encode({"start": start, "below": below, "limit": limit}))

    def _walk_down(self, executor: Executor, start: int, above: int, limit: int) -> list[Any]:
        plan = self._compiled.get("walk down") or self._compile("walk down", self._way_down())
        return executor.fetch(plan, plan.encode({"start": start, "above": above, "limit": limit}))

    # Statements.

    def _line(self, side: Side) -> Plan:
        plan = self._compiled.get(side)
        return self._compile(side, self._select_line(side)) if plan is None else plan

    def _compile(self, name: str, statement: Any) -> Plan:
        plan = self._compiled[name] = compile_plan(statement, self._dialect)
        return plan

    def _select_line(self, side: Side) -> Select[Any]:
        messages, conversations = self._table.c, self._conversations.c
        is_line = exists().where(
            conversations.id == self._bind("conversation_id"),
            conversations.is_forked.is_(False),
            conversations.parent_conversation_id.is_(None),
        )
        statement = select(self._table).where(messages.conversation_id == self._bind("conversation_id"), is_line)
        if side == "before":
            statement = statement.where(messages.id < self._bind("message_id"))
        if side == "after":
            statement = statement.where(messages.id > self._bind("message_id"))
        order = messages.id.asc() if side == "after" else messages.id.desc()
        return statement.order_by(order).limit(self._bind("limit"))

    def _range(self, *, descending: bool) -> Select[Any]:
        messages = self._table.c
        bounds = (messages.id > self._bind("above"), messages.id <= self._bind("upper"))
        statement = select(self._table).where(messages.conversation_id == self._bind("conversation_id"), *bounds)
        return statement.order_by(messages.id.desc() if descending else messages.id.asc()).limit(self._bind("limit"))

    def _select_spans(self) -> Select[Any]:
        conversations = self._conversations
        above = (conversations.c.parent_conversation_id, conversations.c.fork_message_id)
        depth = literal_column("0", Integer()).label("depth")
        wanted = (conversations.c.id, conversations.c.head_message_id.label("last_id"), conversations.c.is_forked)
        start = select(*wanted, *above, depth).where(conversations.c.id == self._bind("conversation_id"))
        line = start.cte("line", recursive=True)
        shared = (conversations.c.id, line.c.fork_message_id, conversations.c.is_forked, *above, line.c.depth + 1)
        step = select(*shared).join_from(line, conversations, conversations.c.id == line.c.parent_conversation_id)
        line = line.union_all(step.where(line.c.fork_message_id.is_not(null())))
        return select(line.c.id, line.c.last_id, line.c.is_forked).order_by(line.c.depth)

    def _way_up(self) -> Select[Any]:
        messages, below = self._table.c, self._bind("below")
        is_wanted = case((messages.id < below, literal_column("1", Integer())), else_=literal_column("0", Integer()))
        start = select(messages.id, messages.parent_id, is_wanted.label("depth"))
        way = start.where(messages.id == self._bind("start")).cte("way", recursive=True)
        step = select(messages.id, messages.parent_id, way.c.depth + is_wanted)
        step = step.join_from(way, self._table, messages.id == way.c.parent_id)
        way = way.union_all(step.where(way.c.depth < self._bind("limit")))
        statement = select(self._table).join_from(way, self._table, messages.id == way.c.id).where(way.c.id < below)
        return statement.order_by(way.c.depth)

    def _way_down(self) -> Select[Any]:
        messages, above = self._table.c, self._bind("above")
        depth = literal_column("1", Integer()).label("depth")
        start = select(messages.id, messages.parent_id, depth)
        way = start.where(messages.id == self._bind("start"), messages.id > above).cte("way", recursive=True)
        step = select(messages.id, messages.parent_id, way.c.depth + 1)
        step = step.join_from(way, self._table, messages.id == way.c.parent_id)
        way = way.union_all(step.where(messages.id > above))
        statement = select(self._table).join_from(way, self._table, messages.id == way.c.id)
        # The first of the way is the nearest to the head: the farthest up is the oldest.
        return statement.order_by(way.c.depth.desc()).limit(self._bind("limit"))

    def _bind(self, name: str) -> Any:
        messages = self._table.c
        return bindparam(name, type_=messages.conversation_id.type if name == "conversation_id" else messages.id.type)
