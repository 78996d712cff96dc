"""Whole rows of a table by a filter: a statement is compiled once for each set of columns, order and kind of place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import ClauseElement, Integer, bindparam, select
from sqlmodel import SQLModel

from agent_system.managers.core.ordering import parse_order
from agent_system.managers.core.where import check_equal, conditions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.executor import Executor, Work
    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.ordering import Order
    from agent_system.managers.core.where import Where

__all__ = ["Selection"]

Row = TypeVar("Row", bound=SQLModel)


class Selection(Generic[Row]):
    """The rows that a filter means.

    Args:
        plans: The table.
        where: The filter.

    Raises:
        ValidationError: A column does not exist or cannot have the value.
    """

    def __init__(self, plans: TablePlans[Row], where: Where) -> None:
        self._plans = plans
        self._where = where
        self._values = _equal_values(plans, where)
        if self._values is None:
            # Refused here and not when it is read; a filter by equality has been checked without its SQL.
            _ = self.conditions

    @cached_property
    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter as SQL, with its values."""
        return conditions(self._plans, self._where)

    def reading(
        self, order: Order | None = None, limit: int | None = None, place: Sequence[Any] | None = None
    ) -> Work[list[Row]]:
        """The unit of work that reads the rows.

        Args:
            order: Their order; None is that of the ids.
            limit: At most so many; None: all.
            place: Only those behind this place of the order.
        """
        order = order or parse_order(self._plans, None)
        if self._values is None:
            statement = self._statement(self.conditions, order, limit, place)
            return lambda executor: self._read_once(executor, statement)
        plans, values = self._plans, self._values
        kind = None if place is None else place[0] is None
        shape = ("rows", *((key, value is None) for key, value in values.items()), order.name, limit is None, kind)
        plan = plans.remembered(shape, lambda: self._template(values, order, limit, place))
        given = {f"where_{key}": value for key, value in values.items()} | {"most": limit}
        given |= {f"after_{number}": value for number, value in enumerate(place or ())}
        parameters = plan.encode(given)
        return lambda executor: plans.hydrate.all(executor.fetch(plan, parameters))

    def _read_once(self, executor: Executor, statement: Select[Any]) -> list[Row]:
        keys, build = self._plans.hydrate.keys, self._plans.hydrate.adopt
        return [build(dict(zip(keys, row, strict=True))) for row in executor.execute(statement)]

    def _template(
        self, values: Mapping[str, Any], order: Order, limit: int | None, place: Sequence[Any] | None
    ) -> Select[Any]:
        columns = self._plans.columns
        wanted = [
            columns[key].is_(None)
            if value is None
            else columns[key] == bindparam(f"where_{key}", type_=columns[key].type)
            for key, value in values.items()
        ]
        marks = place and [
            None if value is None else bindparam(f"after_{number}", type_=column.type)
            for number, (value, column) in enumerate(zip(place, (order.column, *order.primary), strict=True))
        ]
        most = None if limit is None else bindparam("most", type_=Integer())
        return self._statement(wanted, order, most, marks)

    def _statement(
        self, wanted: Sequence[ColumnElement[bool]], order: Order, limit: Any, place: Sequence[Any] | None
    ) -> Select[Any]:
        statement = order.apply(select(*self._plans.table.columns).where(*wanted))
        if limit is not None:
            statement = statement.limit(limit)
        return statement if place is None else statement.where(order.after(place))


def _equal_values(plans: TablePlans[Any], where: Where) -> dict[str, Any] | None:
    """The values by attribute of a filter by equality; None when it is another one."""
    if where is None:
        return {}
    if not isinstance(where, Mapping) or any(isinstance(value, ClauseElement) for value in where.values()):
        return None
    return {check_equal(plans, key, value): value for key, value in where.items()}
