"""Filters, orders and cursors: what `list`, `find` and `iter` make of their arguments.

A page ends with a cursor that carries the order, a digest of the filter and the last row's place in that order, so that
rows that come and go in between neither repeat nor hide others. Rows without a value in the ordering column come last.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import ClauseElement, ColumnElement, and_, or_, tuple_

from agent_system.errors import CursorError, ValidationError
from agent_system.models.columns import Json

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Select

    from agent_system.database.plans import TablePlans

__all__ = ["Order", "Page", "PageRequest", "Where", "conditions", "equals", "parse_order"]

Row = TypeVar("Row")
Where: TypeAlias = "Mapping[str, Any] | ColumnElement[bool] | bool | Sequence[ColumnElement[bool] | bool] | None"


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a longer list."""

    items: list[Row] = field(default_factory=list)
    """The rows, in the order that was asked for."""
    next_cursor: str | None = None
    """What to pass as `after` for the next page; None at the end."""


def conditions(plans: TablePlans[Any], where: Where) -> list[ColumnElement[bool]]:
    """Turn a filter into SQL conditions.

    Raises:
        ValidationError: A key is no column of the table, or the filter is of an unknown kind.
    """
    if where is None:
        return []
    if isinstance(where, Mapping):
        return [equals(plans, key, value) for key, value in where.items()]
    many = where if isinstance(where, (list, tuple)) else [where]
    return [_expression(plans, one) for one in many]


def _expression(plans: TablePlans[Any], one: Any) -> ColumnElement[bool]:
    # `Agent.status == "idle"` is an expression at run time, though its static type is bool.
    element: Any = one.__clause_element__() if hasattr(one, "__clause_element__") else one
    if isinstance(element, ColumnElement):
        return element
    message = f"{plans.table.name}: a filter is a mapping of column to value or SQLAlchemy expressions, not {one!r}"
    raise ValidationError(message, field="where", entity=plans.table.name)


def equals(plans: TablePlans[Any], key: str, value: Any) -> ColumnElement[bool]:
    """The condition that a column has a value; None means that it has none.

    Raises:
        ValidationError: There is no such column, the value is of another type, or the column holds JSON, which has
            many spellings of one value.
    """
    column = plans.columns[attribute(plans, key)]
    if value is not None:
        _refuse_json(plans, column, key)
        _check_type(plans, column, key, value)
    condition: ColumnElement[bool] = column.is_(None) if value is None else column == value
    return condition


def _check_type(plans: TablePlans[Any], column: Any, key: str, value: Any) -> None:
    """Refuse a value that no row can have: SQLite would find nothing, PostgreSQL's driver would fail."""
    if not isinstance(value, ClauseElement) and not _fits(column, value):
        kind = column.type.python_type.__name__
        message = f"{plans.table.name}.{key}: {value!r} is no {kind} that the column could hold"
        raise ValidationError(message, field=key, entity=plans.table.name)


def _fits(column: Any, value: Any) -> bool:
    kind = column.type.python_type
    # An enumeration's column may hold texts that the enumeration does not know.
    return _FITS[str if issubclass(kind, str) else kind](value)


def _is_uuid(value: Any) -> bool:
    if isinstance(value, str):
        try:
            UUID(value)
        except ValueError:
            return False
        return True
    return isinstance(value, UUID)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


_FITS: Mapping[type, Callable[[Any], bool]] = {
    bool: lambda value: isinstance(value, bool),
    datetime: lambda value: isinstance(value, datetime) and value.utcoffset() is not None,
    float: lambda value: isinstance(value, float) or _is_int(value),
    int: _is_int,
    str: lambda value: isinstance(value, str),
    UUID: _is_uuid,
}


def _refuse_json(plans: TablePlans[Any], column: Any, key: str) -> None:
    if isinstance(column.type, Json):
        message = f"{plans.table.name}.{key} holds JSON, which is neither compared as a whole nor ordered"
        raise ValidationError(message, field=key, entity=plans.table.name)


def attribute(plans: TablePlans[Any], key: str) -> str:
    """The attribute that a caller's key means; both `metadata` and `meta` are accepted."""
    name = plans.attributes.get(key, key)
    if name not in plans.columns:
        message = f"{plans.table.name}.{key}: unknown field"
        raise ValidationError(message, field=key, entity=plans.table.name)
    return name


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
    _refuse_json(plans, plans.columns[key], key)
    return Order(
        key=key,
        descending=text.startswith("-"),
        column=plans.columns[key],
        nullable=bool(plans.columns[key].nullable),
        primary=tuple(plans.columns[name] for name in plans.primary_key),
        primary_keys=plans.primary_key,
    )


class PageRequest(Generic[Row]):
    """One page of a filtered and ordered list.

    Args:
        plans: The table's statements.
        where: A mapping of column to value, or SQLAlchemy expressions.
        order_by: A column, `-column` for descending; None is the primary key.
        limit: At most so many rows, from 1.

    Raises:
        ValidationError: A column does not exist or cannot be ordered, or the limit is below 1.
    """

    def __init__(self, plans: TablePlans[Row], where: Where, order_by: str | None, limit: int) -> None:
        if limit < 1:
            message = f"limit must be at least 1, not {limit}"
            raise ValidationError(message, field="limit", entity=plans.table.name)
        self._limit = limit
        self._wanted = conditions(plans, where)
        self._order = parse_order(plans, order_by)
        self._digest = _filter_digest(self._wanted, plans.dialect)

    def apply(self, statement: Select[Any], after: str | None) -> Select[Any]:
        """Add filter, order and place to a statement for whole rows; one row more is read to know whether there is one.

        Raises:
            CursorError: `after` is no cursor, or belongs to another order or filter.
        """
        statement = self._order.apply(statement.where(*self._wanted)).limit(self._limit + 1)
        if after is None:
            return statement
        return statement.where(self._order.after(_decode_cursor(after, self._order, self._digest)))

    def page(self, rows: list[Row]) -> Page[Row]:
        """Make a page of what the statement found."""
        if len(rows) <= self._limit:
            return Page(rows)
        del rows[self._limit :]
        return Page(rows, _encode_cursor(self._order, self._digest, rows[-1]))


def _filter_digest(wanted: Sequence[ColumnElement[bool]], dialect: Dialect) -> str:
    """A short digest of a filter with its values, so that a cursor cannot be used with another one."""
    if not wanted:
        return ""
    compiled = and_(*wanted).compile(dialect=dialect)
    text = f"{compiled}\0{sorted(compiled.params.items(), key=lambda item: item[0])!r}"
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def _encode_cursor(order: Order, digest: str, row: Any) -> str:
    """The cursor behind this row."""
    place = [getattr(row, key) for key in (order.key, *order.primary_keys)]
    text = json.dumps([order.name, digest, place], default=_jsonable, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, order: Order, digest: str) -> list[Any]:
    """The place that a cursor names.

    Raises:
        CursorError: It is no cursor, or belongs to another order or filter.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        name, wanted, place = json.loads(base64.urlsafe_b64decode(padded.encode()))
        values = [_restore(column, value) for column, value in zip((order.column, *order.primary), place, strict=True)]
    except (ValueError, TypeError, AttributeError) as exc:
        raise CursorError(field="after") from exc
    if (name, wanted) != (order.name, digest):
        message = "the pagination cursor belongs to another order_by or where: start again without it"
        raise CursorError(message, field="after")
    return values


def _jsonable(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _restore(column: Any, value: Any) -> Any:
    if value is None:
        return None
    kind = column.type.python_type
    if kind is datetime:
        value = datetime.fromisoformat(value)
    elif kind is UUID:
        value = UUID(value)
    if not _fits(column, value):
        message = f"{value!r} is no {kind.__name__}"
        raise ValueError(message)
    return value
