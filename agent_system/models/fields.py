"""The kinds of columns that the tables are made of, and the rules and indexes that go with them.

A field made here declares its column completely: type, default in Python, default in the database for whoever writes
plain SQL, index. Whether NULL is allowed follows from the annotation.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal, cast

from pydantic_core import PydanticUndefined
from sqlalchemy import Boolean, CheckConstraint, ColumnElement, Computed, Index, false, text, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine
from sqlmodel import Field

from agent_system.clock import utc_now
from agent_system.models.checks import OneOf
from agent_system.models.columns import BigInt, Enumerated, FormatVersion, Json, Real, Text, UtcDateTime, Uuid, Vector
from agent_system.models.uuids import uuid7

__all__ = [
    "COUNTED_KEY",
    "REQUIRED",
    "NanoDollarsAsDollars",
    "computed_field",
    "count_field",
    "created_at_field",
    "current_time",
    "enum_check",
    "enum_field",
    "flag_field",
    "format_field",
    "int_field",
    "int_key",
    "json_array_field",
    "json_field",
    "json_object_field",
    "meta_field",
    "moment_field",
    "non_negative",
    "nullable_enum_field",
    "partial_index",
    "present_index",
    "real_field",
    "reference",
    "required_enum_field",
    "text_field",
    "text_key",
    "unique_uuid_field",
    "updated_at_field",
    "uuid_field",
    "uuid_key",
    "vector_field",
    "version_field",
]

REQUIRED: Any = PydanticUndefined
"""The default of a field that has none."""

COUNTED_KEY = {"sqlite_autoincrement": True}
"""The table argument that goes with `int_key`: SQLite, too, never uses a key twice."""

OnDelete = Literal["CASCADE", "SET NULL", "RESTRICT"]
ColumnType = TypeEngine[Any] | type[TypeEngine[Any]]


class current_time(FunctionElement[Any]):  # noqa: N801 (reads as the SQL function that it is)
    """The database's clock, written as `UtcDateTime` writes."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(current_time)
def _current_time(_element: current_time, _compiler: SQLCompiler, **_arguments: Any) -> str:
    return "now()"


@compiles(current_time, "sqlite")
def _current_time_as_text(_element: current_time, _compiler: SQLCompiler, **_arguments: Any) -> str:
    # SQLite's clock counts milliseconds; the column has six digits so that text order is time order.
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


class NanoDollarsAsDollars(FunctionElement[Any]):
    """A column of nano-dollars in dollars, written as PostgreSQL repeats it, so that schemas can be compared."""

    inherit_cache = True

    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column


@compiles(NanoDollarsAsDollars)
def _as_dollars(element: NanoDollarsAsDollars, _compiler: SQLCompiler, **_arguments: Any) -> str:
    return f"{element.column}::numeric / 1000000000.0"


@compiles(NanoDollarsAsDollars, "sqlite")
def _as_dollars_in_sqlite(element: NanoDollarsAsDollars, _compiler: SQLCompiler, **_arguments: Any) -> str:
    return f"{element.column} / 1000000000.0"


def _field(
    column_type: ColumnType,
    description: str,
    value: Any = REQUIRED,
    /,
    *,
    index: bool = False,
    unique: bool = False,
    **column_arguments: Any,
) -> Any:
    if value is not REQUIRED and value is not None:
        column_arguments["server_default"] = _server_default(value)
    return Field(
        default=value,
        sa_type=cast("type[TypeEngine[Any]]", column_type),
        index=index,
        unique=unique,
        sa_column_kwargs=column_arguments,
        description=description,
    )


def _server_default(default: Any) -> Any:
    if isinstance(default, bool):
        return true() if default else false()
    if isinstance(default, StrEnum):
        return default.value
    return default if isinstance(default, str) else text(str(default))


def uuid_key(description: str) -> Any:
    """A UUIDv7 primary key, made in Python: keys of one process rise with time."""
    return Field(default_factory=uuid7, sa_type=cast("type[Any]", Uuid), primary_key=True, description=description)


def int_key(description: str) -> Any:
    """A primary key that the database counts up and never uses twice."""
    return Field(default=None, sa_type=cast("type[Any]", BigInt), primary_key=True, description=description)


def text_key(description: str) -> Any:
    """A primary key, or a part of one, that is text."""
    return Field(sa_type=cast("type[Any]", Text), primary_key=True, description=description)


def reference(
    target: str,
    description: str,
    *,
    ondelete: OnDelete,
    key: ColumnType = Uuid,
    default: Any = None,
    index: bool = False,
    primary_key: bool = False,
) -> Any:
    """A foreign key; every one needs an index that begins with it, here or among the table's own."""
    return Field(
        default=default,
        sa_type=cast("type[Any]", key),
        foreign_key=target,
        ondelete=ondelete,
        index=index,
        primary_key=primary_key,
        description=description,
    )


def text_field(description: str, default: Any = REQUIRED, *, index: bool = False, unique: bool = False) -> Any:
    """Any text."""
    return _field(Text, description, default, index=index, unique=unique)


def uuid_field(
    description: str, default: Any = REQUIRED, *, index: bool = False, computed_by: Callable[[Any], Any] | None = None
) -> Any:
    """A UUID that is not the key; `computed_by` makes a missing one from the other values of the new row."""
    if computed_by is None:
        return _field(Uuid, description, default, index=index)
    return _field(Uuid, description, default, index=index, default=computed_by)


def unique_uuid_field(description: str) -> Any:
    """A UUIDv7 that is not the key but as unique as one."""
    return Field(default_factory=uuid7, sa_type=cast("type[Any]", Uuid), unique=True, description=description)


def int_field(description: str, default: Any = REQUIRED) -> Any:
    """A 64-bit integer."""
    return _field(BigInt, description, default)


def count_field(description: str, default: Any = 0) -> Any:
    """A number of things; its table needs `non_negative`."""
    return _field(BigInt, description, default)


def format_field(description: str, newest: int) -> Any:
    """The version of a row's form; rows of a newer one are not read. Its table needs `non_negative`."""
    return _field(FormatVersion(newest), description, newest)


def real_field(description: str, default: Any = REQUIRED) -> Any:
    """A 64-bit floating-point number."""
    return _field(Real, description, default)


def vector_field(description: str) -> Any:
    """A vector, as bytes."""
    return _field(Vector, description)


def flag_field(description: str, *, default: bool | None) -> Any:
    """True or false."""
    return _field(Boolean, description, default)


def enum_field(default: StrEnum, description: str) -> Any:
    """One value of an enumeration; its table needs the `enum_check`."""
    return _field(Enumerated(type(default)), description, default)


def required_enum_field(enum: type[StrEnum], description: str) -> Any:
    """One value of an enumeration that has to be given; its table needs the `enum_check`."""
    return _field(Enumerated(enum), description)


def nullable_enum_field(enum: type[StrEnum], description: str) -> Any:
    """One value of an enumeration or NULL; its table needs the `enum_check`."""
    return _field(Enumerated(enum), description, None)


def moment_field(description: str, default: Any = None, *, index: bool = False) -> Any:
    """An aware UTC datetime that is not set by itself."""
    return _field(UtcDateTime, description, default, index=index)


def created_at_field(description: str = "When the row was made, in UTC.", *, index: bool = False) -> Any:
    """An aware UTC datetime, by default now."""
    return Field(
        default_factory=utc_now,
        sa_type=cast("type[Any]", UtcDateTime),
        index=index,
        sa_column_kwargs={"server_default": current_time()},
        description=description,
    )


def updated_at_field() -> Any:
    """When the row was changed last."""
    return Field(
        default_factory=utc_now,
        sa_type=cast("type[Any]", UtcDateTime),
        sa_column_kwargs={"server_default": current_time(), "onupdate": utc_now},
        description="When the row was changed last, in UTC; when it was made, if it never was changed.",
    )


def version_field() -> Any:
    """The counter of optimistic concurrency."""
    return _field(BigInt, "Counts the changes of the row, from 1; `expected_version` is compared with it.", 1)


def json_field(description: str) -> Any:
    """Any JSON value or NULL."""
    return Field(default=None, sa_type=cast("type[Any]", Json), nullable=True, description=description)


def json_object_field(description: str) -> Any:
    """A JSON object, empty by default."""
    return Field(
        default_factory=dict,
        sa_type=cast("type[Any]", Json),
        sa_column_kwargs={"server_default": "{}"},
        description=description,
    )


def json_array_field(description: str) -> Any:
    """A JSON array, empty by default."""
    return Field(
        default_factory=list,
        sa_type=cast("type[Any]", Json),
        sa_column_kwargs={"server_default": "[]"},
        description=description,
    )


def meta_field() -> Any:
    """The column `metadata`, whose name a SQLModel class cannot use for an attribute."""
    return Field(
        default_factory=dict,
        sa_type=cast("type[Any]", Json),
        sa_column_kwargs={"name": "metadata", "server_default": "{}"},
        description="Whatever else the caller wants to keep with the row, as a JSON object; the column is `metadata`.",
    )


def computed_field(expression: str | ColumnElement[Any], column_type: ColumnType, description: str) -> Any:
    """A column that the database computes and stores; it cannot be written."""
    return Field(
        default=None,
        sa_type=cast("type[Any]", column_type),
        sa_column_args=(Computed(expression, persisted=True),),
        description=description,
    )


def enum_check(column: str, enum: type[StrEnum]) -> CheckConstraint:
    """The rule that a column holds one of an enumeration's values (or NULL, where that is allowed)."""
    return CheckConstraint(OneOf(column, enum), name=column)


def non_negative(*columns: str) -> tuple[CheckConstraint, ...]:
    """The rules that these columns are zero or more."""
    return tuple(CheckConstraint(f"{column} >= 0", name=column) for column in columns)


def partial_index(
    *columns: str | ColumnElement[Any], where: str, name: str | None = None, unique: bool = False
) -> Index:
    """An index over the rows that satisfy a condition."""
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def present_index(column: str, *more: str) -> Index:
    """An index over the rows where a mostly empty column is set: it costs nothing where the column is NULL."""
    return partial_index(column, *more, where=f"{column} IS NOT NULL")
