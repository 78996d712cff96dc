"""`ConditionPlans`: statements over the conditions of filters, compiled once for all calls with the same filters.

SQLAlchemy compiles a statement once too, but walks through its execution contexts at every call: 270 µs for reading the
keys of a hundred rows, which the driver does in 65. Here the key under which SQLAlchemy remembers a condition leads to
a plan, and the values of the call are taken from the condition. In the plan they are parameters with names of their
own, so that a scope that rewrites it (`managers/isolation`) never takes the values of one call for those of another.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, bindparam
from sqlalchemy.sql.visitors import replacement_traverse

from agent_system.database.plans import compile_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from sqlalchemy import ColumnElement, CompoundSelect, Dialect, Select

    from agent_system.database.plans import Plan

    Rows = Select[Any] | CompoundSelect[Any]

__all__ = ["Bound", "ConditionPlans", "bind"]

# What people filter by has few forms; a program that makes up new ones all the time shall not fill the memory.
MOST_PLANS = 512
PREFIX = "of_condition_"


@dataclass(frozen=True, slots=True)
class Bound:
    """A condition of which it is known how it is compiled."""

    form: Hashable
    """The same for conditions that differ in their values alone."""
    condition: ColumnElement[bool]
    binds: tuple[BindParameter[Any], ...]
    given: tuple[Any, ...] | None = None
    """The values of this call, where they are others than those of the condition."""

    @property
    def values(self) -> dict[str, Any]:
        """The values of this call, by the names that they have in plans."""
        return {f"{PREFIX}{number}": value for number, value in enumerate(self.given or self.own)}

    @property
    def own(self) -> tuple[Any, ...]:
        """The values of the condition, in its order."""
        return tuple([one.effective_value for one in self.binds])

    def named(self) -> ColumnElement[bool]:
        """The condition with named parameters instead of its values."""
        names = {id(one): bindparam(f"{PREFIX}{at}", type_=one.type) for at, one in enumerate(self.binds)}

        def replace(element: Any, **_: Any) -> Any:
            return names.get(id(element)) if isinstance(element, BindParameter) else None

        named: ColumnElement[bool] = replacement_traverse(self.condition, {}, replace)
        return named


def bind(condition: ColumnElement[bool]) -> Bound | None:
    """Look at a condition; None when it has another SQL for other values."""
    key = condition._generate_cache_key()  # noqa: SLF001 (`tests/unit/test_private_api.py` tells when it changes)
    if key is None or any(one.expanding for one in key.bindparams):
        return None
    return Bound(key.key, condition, tuple(key.bindparams))


class ConditionPlans:
    """The plans of one table.

    Args:
        dialect: What to compile for.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._plans: OrderedDict[Hashable, Plan] = OrderedDict()

    def plan(
        self, kind: Hashable, bound: Bound, build: Callable[[ColumnElement[bool]], Rows], **others: Any
    ) -> tuple[Plan, tuple[Any, ...]]:
        """A plan and its parameters.

        Args:
            kind: What is read.
            bound: Of which rows.
            build: Makes the statement when it is asked for the first time; its other parameters are named.
            others: Their values.
        """
        key = (kind, bound.form)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = compile_plan(build(bound.named()), self._dialect)
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        return plan, plan.encode_once({**bound.values, **others})
