"""Filters over the columns of a table: what `list`, `find` and reports make of their `where`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from sqlalchemy import ClauseElement, ColumnElement

from agent_system.errors import ValidationError
from agent_system.models.columns import Json

if TYPE_CHECKING:
    from agent_system.database.plans import TablePlans

__all__ = ["Where", "attribute", "check_equal", "conditions", "equals", "fits", "refuse_json"]

Where: TypeAlias = "Mapping[str, Any] | ColumnElement[bool] | bool | Sequence[ColumnElement[bool] | bool] | None"


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
    column = plans.columns[check_equal(plans, key, value)]
    condition: ColumnElement[bool] = column.is_(None) if value is None else column == value
    return condition


def check_equal(plans: TablePlans[Any], key: str, value: Any) -> str:
    """The attribute that a key names, whose column can have the value.

    Raises:
        ValidationError: See `equals`.
    """
    name = attribute(plans, key)
    if value is not None:
        refuse_json(plans, plans.columns[name], key)
        _check_type(plans, plans.columns[name], key, value)
    return name


def _check_type(plans: TablePlans[Any], column: Any, key: str, value: Any) -> None:
    """Refuse a value that no row can have: SQLite would find nothing, PostgreSQL's driver would fail."""
    if not isinstance(value, ClauseElement) and not fits(column, value):
        kind = column.type.python_type.__name__
        message = f"{plans.table.name}.{key}: {value!r} is no {kind} that the column could hold"
        raise ValidationError(message, field=key, entity=plans.table.name)


def fits(column: Any, value: Any) -> bool:
    """Whether a column can hold a value."""
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


def refuse_json(plans: TablePlans[Any], column: Any, key: str) -> None:
    """Raise ValidationError for a column that is neither compared nor ordered."""
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
