"""Pages and their cursors.

A page ends with a cursor that carries the order, a digest of the filter and the last row's place in that order, so that
rows that come and go in between neither repeat nor hide others. Rows without a value in the ordering column come last.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import and_
from sqlmodel import SQLModel

from agent_system.errors import CursorError, ValidationError
from agent_system.managers.core.ordering import Order, parse_order
from agent_system.managers.core.selecting import Selection
from agent_system.managers.core.where import fits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Dialect

    from agent_system.database.executor import Work
    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.where import Where

__all__ = ["Page", "PageRequest"]

Item = TypeVar("Item")
Row = TypeVar("Row", bound=SQLModel)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some rows of a longer list."""

    items: list[Item] = field(default_factory=list)
    """The rows, in the order that was asked for."""
    next_cursor: str | None = None
    """What to pass as `after` for the next page; None at the end."""


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
        self._selection = Selection(plans, where)
        self._order = parse_order(plans, order_by)
        self._digest = _filter_digest(self._selection.conditions, plans.dialect)

    def reading(self, after: str | None) -> Work[list[Row]]:
        """The unit of work that reads the page, and one row more to know whether there is one.

        Raises:
            CursorError: `after` is no cursor, or belongs to another order or filter.
        """
        place = None if after is None else _decode_cursor(after, self._order, self._digest)
        return self._selection.reading(self._order, self._limit + 1, place)

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
    if not fits(column, value):
        message = f"{value!r} is no {kind.__name__}"
        raise ValueError(message)
    return value
