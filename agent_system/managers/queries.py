"""Free SQL for agents: one query over everything, with bound parameters, a limit and a deadline, that only reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import TextClause, bindparam, text

from agent_system.errors import DatabaseError, DatabaseReadOnlyError, ValidationError
from agent_system.managers.core.moments import aware
from agent_system.managers.privacy.secret_columns import SECRET_COLUMNS
from agent_system.models.codec import decode_text
from agent_system.models.columns import BigInt, Real, Text, UtcDateTime, Uuid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.types import TypeEngine

    from agent_system.database.manager import DatabaseManager

__all__ = ["DEFAULT_ROWS", "DEFAULT_SECONDS", "QueryResult", "run_query"]

DEFAULT_ROWS = 1_000
DEFAULT_SECONDS = 10.0
MOST_ROWS = 100_000
# A question mark outside of texts, names and comments.
_PLACE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|(\?)", re.DOTALL)

Parameters = Mapping[str, Any] | Sequence[Any]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query found."""

    columns: tuple[str, ...]
    """The names of the columns, in order."""
    rows: list[dict[str, Any]]
    """The rows by column; values are those of JSON, keys and moments as text."""
    truncated: bool
    """Whether there were more rows than were asked for."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


async def run_query(
    db: DatabaseManager, sql: str, params: Parameters = (), limit: int = DEFAULT_ROWS, *, timeout_seconds: float
) -> QueryResult:
    """Run one query; see `EntityManager.query`.

    Raises:
        ValidationError: It is no query, cannot be understood, reads a secret, or a parameter is missing or of a kind
            without a column.
        StatementTimeoutError: It took too long.
    """
    if not 1 <= limit <= MOST_ROWS:
        message = f"limit must be from 1 to {MOST_ROWS}"
        raise ValidationError(message, field="limit")
    statement = _bound(sql, params)
    try:
        columns, rows = await db.query(statement, limit + 1, timeout_seconds=timeout_seconds, hidden=SECRET_COLUMNS)
    except DatabaseReadOnlyError as exc:
        message = "sql: a query may only read"
        raise ValidationError(message, field="sql") from exc
    except DatabaseError as exc:
        if type(exc) is not DatabaseError:
            raise
        # What the engine could not understand, in its own words.
        message = f"sql: {exc}"
        raise ValidationError(message, field="sql") from exc
    found = [{name: _plain(value) for name, value in zip(columns, row, strict=True)} for row in rows[:limit]]
    return QueryResult(tuple(columns), found, truncated=len(rows) > limit)


def _bound(sql: Any, params: Parameters) -> TextClause:
    if not isinstance(sql, str):
        message = f"sql: expected text, got {type(sql).__name__}"
        raise ValidationError(message, field="sql")
    if not sql.strip():
        message = "sql: it is empty"
        raise ValidationError(message, field="sql")
    # A colon in a text or in a comment begins no parameter.
    sql = _PLACE.sub(lambda found: found[0] if found[1] else found[0].replace(":", r"\:"), sql.strip().rstrip(";"))
    if not isinstance(params, Mapping):
        sql, params = _named(sql, params)
    clause = text(sql)
    wanted = set(clause.compile().params)
    if wanted != set(params):
        names = ", ".join(sorted(wanted ^ set(params)))
        message = f"params: {names}: in the query and not given, or given and not in the query"
        raise ValidationError(message, field="params")
    return clause.bindparams(*(bindparam(name, value, type_=_type_of(name, value)) for name, value in params.items()))


def _named(sql: str, params: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """A query whose parameters are question marks, with names instead."""
    count = 0

    def name(found: re.Match[str]) -> str:
        nonlocal count
        if found[1] is None:
            return found[0]
        count += 1
        return f":place_{count}"

    renamed = _PLACE.sub(name, sql)
    if count != len(params):
        message = f"params: the query has {count} places, and {len(params)} values were given"
        raise ValidationError(message, field="params")
    return renamed, {f"place_{number}": value for number, value in enumerate(params, 1)}


def _type_of(name: str, value: Any) -> TypeEngine[Any] | None:
    kinds: tuple[tuple[type, TypeEngine[Any] | None], ...] = (
        (bool, None),
        (int, BigInt),
        (float, Real()),
        (str, Text()),
        (UUID, Uuid()),
        (datetime, UtcDateTime()),
    )
    if isinstance(value, datetime):
        aware(value, f"params.{name}")
    for kind, column_type in kinds:
        if isinstance(value, kind):
            return column_type
    if value is None:
        return Text()
    message = f"params.{name}: no column holds a {type(value).__name__}"
    raise ValidationError(message, field="params")


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return decode_text(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") if value.tzinfo else str(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return value.hex() if isinstance(value, (bytes, memoryview)) else str(value)
