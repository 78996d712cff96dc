"""Reading a conversation: its last messages, and the pages before and after one.

A conversation that was never forked is a range of its messages. In a forked one two messages may share a parent, so its
history is the way from the head up to the first message, which may lead into the conversation that it was forked from.
Which of the two it is stands in the statement itself, so that one read sees one state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Integer, and_, bindparam, exists, literal_column, select

from agent_system.database.plans import compile_plan

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import CTE, Dialect, Select

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan, TablePlans
    from agent_system.models import Message

__all__ = ["MessageHistory"]

Side = Literal["end", "before", "after"]


class MessageHistory:
    """Makes the units of work that read the current branch of a conversation."""

    def __init__(self, plans: TablePlans[Message], conversations: Any, dialect: Dialect) -> None:
        self._plans = plans
        self._table = plans.table
        self._conversations = conversations
        self._dialect = dialect
        self._compiled: dict[tuple[Side, bool], Plan] = {}

    def read(
        self, executor: Executor, conversation_id: UUID, limit: int, side: Side = "end", message_id: int | None = None
    ) -> list[Message]:
        """Read up to `limit` messages, the oldest first.

        Args:
            executor: Runs the statements.
            conversation_id: The conversation.
            limit: At most so many.
            side: `end` for the last ones, `before` or `after` for those next to a message.
            message_id: That message.
        """
        values = {"conversation_id": conversation_id, "limit": limit, "message_id": message_id}
        for is_forked in (False, True):
            plan = self._plan(side, is_forked=is_forked)
            rows = executor.fetch(plan, plan.encode(values))
            if rows:
                # A range is read from the near end; a way up comes in order.
                newest_first = not is_forked and side != "after"
                return self._plans.hydrate.all(reversed(rows) if newest_first else rows)
        return []

    def line(self, conversation_id: UUID, limit: int) -> tuple[Plan, tuple[Any, ...]]:
        """The plan for the end of a conversation that was never forked, newest first, and its parameters."""
        plan = self._plan("end", is_forked=False)
        return plan, plan.encode({"conversation_id": conversation_id, "limit": limit})

    def _plan(self, side: Side, *, is_forked: bool) -> Plan:
        plan = self._compiled.get((side, is_forked))
        if plan is None:
            statement = self._way(side) if is_forked else self._range(side)
            plan = self._compiled[side, is_forked] = compile_plan(statement, self._dialect)
        return plan

    def _range(self, side: Side) -> Select[Any]:
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

    def _way(self, side: Side) -> Select[Any]:
        way = self._way_up(side)
        statement = select(self._table).join_from(way, self._table, self._table.c.id == way.c.id)
        # The first of the way is the nearest: the farthest up is the oldest.
        return statement.order_by(way.c.depth.desc()).limit(self._bind("limit"))

    def _way_up(self, side: Side) -> CTE:
        messages, conversations = self._table.c, self._conversations.c
        depth = literal_column("1", Integer()).label("depth")
        start = select(messages.id, messages.parent_id, depth)
        if side == "before":
            follower = self._table.alias("follower")
            start = start.join_from(self._table, follower, follower.c.parent_id == messages.id)
            start = start.where(follower.c.id == self._bind("message_id"))
        else:
            head = and_(conversations.head_message_id == messages.id, conversations.id == self._bind("conversation_id"))
            start = start.join_from(self._table, self._conversations, head)
        if side == "after":
            start = start.where(messages.id > self._bind("message_id"))
        way = start.cte("way", recursive=True)
        step = select(messages.id, messages.parent_id, way.c.depth + 1)
        step = step.join_from(way, self._table, messages.id == way.c.parent_id)
        is_near = messages.id > self._bind("message_id") if side == "after" else way.c.depth < self._bind("limit")
        return way.union_all(step.where(is_near))

    def _bind(self, name: str) -> Any:
        messages = self._table.c
        types = {"conversation_id": messages.conversation_id.type, "message_id": messages.id.type, "limit": Integer()}
        return bindparam(name, type_=types[name])
