"""Comparing two branches: where they parted, and what each has said since."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, case, func, literal_column, select

from agent_system.database.plans import compile_plan

if TYPE_CHECKING:
    from sqlalchemy import CTE, ColumnElement, Select

    from agent_system.database.executor import Executor
    from agent_system.database.plans import TablePlans
    from agent_system.models import Message

__all__ = ["BranchComparer", "Comparison"]

# What stands for the parent of a first message: no message has this id.
NOTHING = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two branches side by side."""

    ancestor: Message | None
    """The last message that both have; None when they have none in common."""
    left: list[Message] = field(default_factory=list)
    """What follows it on the one branch, the oldest first."""
    right: list[Message] = field(default_factory=list)
    """What follows it on the other branch, the oldest first."""


class BranchComparer:
    """Compares branches by one statement, which reads only what they do not have in common.

    The ids of messages rise along every branch, so of two messages the one with the higher id is not above the other
    one: going up from it again and again, both ways meet in their last common message.
    """

    def __init__(self, plans: TablePlans[Message]) -> None:
        self._plans = plans
        self._plan = compile_plan(self._select(), plans.dialect)

    def compare(self, executor: Executor, left: int | None, right: int | None) -> Comparison:
        """Compare the branches that end with two messages; None is a branch without any."""
        values = {"left_id": left or NOTHING, "right_id": right or NOTHING}
        ancestor: Message | None = None
        tails: tuple[list[Message], list[Message]] = ([], [])
        for side, *row in executor.fetch(self._plan, self._plan.encode(values)):
            message = self._plans.hydrate(row)
            if side:
                tails[side < 0].append(message)
            else:
                ancestor = message
        return Comparison(ancestor=ancestor, left=tails[0][::-1], right=tails[1][::-1])

    def _select(self) -> Select[Any]:
        messages = self._plans.table
        key = messages.c.id.type
        start = select(
            bindparam("left_id", type_=key).label("left_id"),
            bindparam("right_id", type_=key).label("right_id"),
            literal_column("0", Integer()).label("step"),
        )
        pair = start.cte("pair", recursive=True)
        left, right = pair.c.left_id, pair.c.right_id
        parent = func.coalesce(messages.c.parent_id, literal_column(str(NOTHING), key))
        up = select(
            case((left > right, parent), else_=left), case((right > left, parent), else_=right), pair.c.step + 1
        )
        met = up.join_from(pair, messages, messages.c.id == _lower(pair)).where(left != right)
        pair = pair.union_all(met)
        sides = [(pair.c.left_id > pair.c.right_id, "1"), (pair.c.left_id < pair.c.right_id, "-1")]
        side = case(*((is_lower, literal_column(sign)) for is_lower, sign in sides), else_=literal_column("0"))
        statement = select(side, *messages.columns).join_from(pair, messages, messages.c.id == _lower(pair))
        return statement.order_by(pair.c.step)


def _lower(pair: CTE) -> ColumnElement[int]:
    """Of two messages the one that was said later, from which the way up goes on."""
    return case((pair.c.left_id > pair.c.right_id, pair.c.left_id), else_=pair.c.right_id)
