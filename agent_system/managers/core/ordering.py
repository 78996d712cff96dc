"""Orders of rows: by one column, then by the primary key, so that no two rows stand at one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, or_, tuple_

from agent_system.managers.core.where import attribute, refuse_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select

    from agent_system.database.plans import TablePlans

__all__ = ["Order", "parse_order"]


@dataclass(frozen=True, slots=True)
class Order:
    """An order by one column, with the primary key as the tie-break."""

    key: str
    descending: bool
    column: Any
    nullable: bool
    primary: tuple[Any, ...]
    primary_keys: tuple[str, ...]

    @property
    def name(self) -> str:
        """How a caller writes it."""
        return f"-{self.key}" if self.descending else self.key

    def apply(self, statement: Select[Any]) -> Select[Any]:
        """Add the order to a statement."""
        columns = [self.column, *(column for column in self.primary if column is not self.column)]
        directed = [column.desc() if self.descending else column.asc() for column in columns]
        if self.nullable:
            directed.insert(0, self.column.is_(None).asc())
        return statement.order_by(*directed)

    def after(self, place: Sequence[Any]) -> ColumnElement[bool]:
        """The condition that a row comes behind this place: the column's value, then the primary key's."""
        value, *key = place
        if self.primary == (self.column,):
            return self._beyond((self.column,), (value,))
        behind_key = self._beyond(self.primary, key)
        if value is None:
            return and_(self.column.is_(None), behind_key)
        beyond = self._beyond((self.column, *self.primary), (value, *key))
        return or_(beyond, self.column.is_(None)) if self.nullable else beyond

    def _beyond(self, columns: Sequence[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        if len(columns) == 1:
            condition: ColumnElement[bool] = columns[0] < values[0] if self.descending else columns[0] > values[0]
            return condition
        left = tuple_(*columns)
        right = tuple_(*values, types=[column.type for column in columns])
        return left < right if self.descending else left > right


def parse_order(plans: TablePlans[Any], order_by: str | None) -> Order:
    """Read `column` or `-column`; None is the primary key.

    Raises:
        ValidationError: There is no such column, or it holds JSON.
    """
    text = order_by or plans.primary_key[0]
    key = attribute(plans, text.removeprefix("-"))
    refuse_json(plans, plans.columns[key], key)
    return Order(
        key=key,
        descending=text.startswith("-"),
        column=plans.columns[key],
        nullable=bool(plans.columns[key].nullable),
        primary=tuple(plans.columns[name] for name in plans.primary_key),
        primary_keys=plans.primary_key,
    )
