"""SQL expressions that the two engines spell differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Boolean, Integer, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = [
    "INDEX_SETTINGS",
    "index_preference",
    "json_array_contains",
    "json_array_length",
    "transaction_lock",
    "unindexed",
    "utc_day",
    "utc_hour",
    "utc_month",
]

# What is forbidden counts as so dear that the server would compile the statement first, hence `jit`.
INDEX_SETTINGS = ", ".join(
    f"set_config('{name}', 'off', true)" for name in ("enable_seqscan", "enable_bitmapscan", "enable_sort", "jit")
)


class json_array_contains(FunctionElement[bool]):  # noqa: N801 (reads as the SQL function that it is)
    """Whether a JSON column holds an array with this text in it; a value that is no JSON array holds nothing.

    Args:
        column: The JSON column.
        value: The text, as a bound parameter of the type that encodes the texts of the column.
    """

    type = Boolean()
    inherit_cache = True


@compiles(json_array_contains, "sqlite")
def _contains_on_sqlite(element: json_array_contains, compiler: SQLCompiler, **arguments: Any) -> str:
    column, value = (compiler.process(clause, **arguments) for clause in element.clauses)
    # A row with malformed JSON must not break the query; only CASE is sure not to look further than it has to.
    array = f"CASE WHEN json_valid({column}) THEN CASE json_type({column}) WHEN 'array' THEN {column} END END"
    return f"EXISTS (SELECT 1 FROM json_each({array}) AS item WHERE item.value = {value} AND item.type = 'text')"


@compiles(json_array_contains, "postgresql")
def _contains_on_postgresql(element: json_array_contains, compiler: SQLCompiler, **arguments: Any) -> str:
    column, value = (compiler.process(clause, **arguments) for clause in element.clauses)
    array = f"CASE json_typeof({column}) WHEN 'array' THEN {column} END"
    items = f"json_array_elements({array}) AS item"
    return f"EXISTS (SELECT 1 FROM {items} WHERE item #>> '{{}}' = {value} AND json_typeof(item) = 'string')"


class json_array_length(FunctionElement[int]):  # noqa: N801 (reads as the SQL function that it is)
    """How many items the array in a JSON column has; 0 for a value that is no JSON array."""

    type = Integer()
    inherit_cache = True


@compiles(json_array_length, "sqlite")
def _length_on_sqlite(element: json_array_length, compiler: SQLCompiler, **arguments: Any) -> str:
    column = compiler.process(element.clauses, **arguments)
    return f"CASE WHEN json_valid({column}) THEN json_array_length({column}) ELSE 0 END"


@compiles(json_array_length, "postgresql")
def _length_on_postgresql(element: json_array_length, compiler: SQLCompiler, **arguments: Any) -> str:
    column = compiler.process(element.clauses, **arguments)
    return f"CASE json_typeof({column}) WHEN 'array' THEN json_array_length({column}) ELSE 0 END"


class json_is_object(FunctionElement[bool]):  # noqa: N801 (reads as the SQL function that it is)
    """Whether a JSON column holds an object, or nothing."""

    type = Boolean()
    inherit_cache = True


@compiles(json_is_object, "sqlite")
def _is_object_on_sqlite(element: json_is_object, compiler: SQLCompiler, **arguments: Any) -> str:
    column = compiler.process(element.clauses, **arguments)
    return f"CASE WHEN json_valid({column}) THEN json_type({column}) = 'object' ELSE {column} IS NULL END"


@compiles(json_is_object, "postgresql")
def _is_object_on_postgresql(element: json_is_object, compiler: SQLCompiler, **arguments: Any) -> str:
    column = compiler.process(element.clauses, **arguments)
    return f"coalesce(json_typeof({column}), 'object') = 'object'"


class json_merge_patch(FunctionElement[Any]):  # noqa: N801 (reads as the SQL function that it is)
    """The object in a JSON column with a merge patch (RFC 7396) applied; what the patch does not name stays as it is.

    Args:
        column: The JSON column; without a value it is an empty object.
        patch: The patch, as a bound parameter of the column's type.
    """

    type = NullType()
    inherit_cache = True


@compiles(json_merge_patch, "sqlite")
def _patch_on_sqlite(element: json_merge_patch, compiler: SQLCompiler, **arguments: Any) -> str:
    column, patch = (compiler.process(clause, **arguments) for clause in element.clauses)
    return f"json_patch(coalesce({column}, '{{}}'), {patch})"


@compiles(json_merge_patch, "postgresql")
def _patch_on_postgresql(element: json_merge_patch, compiler: SQLCompiler, **arguments: Any) -> str:
    # A function of ours (revision 0012): jsonb's || merges one level only, and re-orders the keys.
    column, patch = (compiler.process(clause, **arguments) for clause in element.clauses)
    return f"json_merge_patch(coalesce({column}, '{{}}'), {patch})"


class transaction_lock(FunctionElement[Any]):  # noqa: N801 (reads as the SQL function that it is)
    """Waits until no other transaction holds the lock of this name, and holds it to the end of this one.

    For rules over many rows, which no lock of a row can keep. SQLite has one writer, who needs no lock.
    """

    type = NullType()
    inherit_cache = True


@compiles(transaction_lock, "sqlite")
def _lock_on_sqlite(element: transaction_lock, compiler: SQLCompiler, **arguments: Any) -> str:
    return compiler.process(element.clauses, **arguments)


@compiles(transaction_lock, "postgresql")
def _lock_on_postgresql(element: transaction_lock, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"pg_advisory_xact_lock(hashtextextended({compiler.process(element.clauses, **arguments)}, 0))"


class unindexed(FunctionElement[Any]):  # noqa: N801 (reads as the SQL function that it is)
    """A column by which SQLite shall not choose an index.

    Without statistics it reads a whole index for the order of a GROUP BY sooner than a range of another one for the
    condition: https://www.sqlite.org/optoverview.html#disqualifying_where_clause_terms_using_unary_.
    """

    inherit_cache = True

    def __init__(self, column: Any) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(unindexed, "sqlite")
def _unindexed_on_sqlite(element: unindexed, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"+{compiler.process(element.clauses, **arguments)}"


@compiles(unindexed, "postgresql")
def _unindexed_on_postgresql(element: unindexed, compiler: SQLCompiler, **arguments: Any) -> str:
    return str(compiler.process(element.clauses, **arguments))


class index_preference(FunctionElement[str]):  # noqa: N801 (reads as the SQL function that it is)
    """What `Executor.prefer_indexes` does, as a column of a statement that is sent anyway; its value means nothing."""

    type = Text()
    inherit_cache = True


@compiles(index_preference, "sqlite")
def _preference_on_sqlite(_element: index_preference, _compiler: SQLCompiler, **_arguments: Any) -> str:
    return "NULL"


@compiles(index_preference, "postgresql")
def _preference_on_postgresql(_element: index_preference, _compiler: SQLCompiler, **_arguments: Any) -> str:
    return f"concat({INDEX_SETTINGS})"


class _Bucket(FunctionElement[str]):
    """The beginning of a moment's text in UTC, for grouping by time; the same text on both engines."""

    type = Text()
    inherit_cache = True
    digits: ClassVar[int]
    template: ClassVar[str]


class utc_hour(_Bucket):  # noqa: N801 (reads as the SQL function that it is)
    """The hour of a moment in UTC, as `2026-03-01 17`."""

    inherit_cache = True
    digits = 13
    template = "YYYY-MM-DD HH24"


class utc_day(_Bucket):  # noqa: N801 (reads as the SQL function that it is)
    """The day of a moment in UTC, as `2026-03-01`."""

    inherit_cache = True
    digits = 10
    template = "YYYY-MM-DD"


class utc_month(_Bucket):  # noqa: N801 (reads as the SQL function that it is)
    """The month of a moment in UTC, as `2026-03`."""

    inherit_cache = True
    digits = 7
    template = "YYYY-MM"


@compiles(_Bucket, "sqlite")
def _bucket_on_sqlite(element: _Bucket, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"substr({compiler.process(element.clauses, **arguments)}, 1, {element.digits})"


@compiles(_Bucket, "postgresql")
def _bucket_on_postgresql(element: _Bucket, compiler: SQLCompiler, **arguments: Any) -> str:
    moment = compiler.process(element.clauses, **arguments)
    return f"to_char({moment} AT TIME ZONE 'UTC', '{element.template}')"
