"""Free SQL on SQLite: run by a connection that is allowed to read and nothing else while it runs.

An authorizer is asked about everything that a statement would do when it is compiled
(https://sqlite.org/c3ref/set_authorizer.html), so that what it refuses never begins.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from agent_system.database.driver import sqlite
from agent_system.errors import ValidationError

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import TextClause
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agent_system.database.adapter import FusedConnection
    from agent_system.database.dialects.base import Hidden

__all__ = ["run_query"]

READING = frozenset({sqlite.SQLITE_SELECT, sqlite.SQLITE_READ, sqlite.SQLITE_FUNCTION, sqlite.SQLITE_RECURSIVE})
# They reach beyond the database's rows.
REFUSED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
# Tables of the library that show pages and samples of every column.
REFUSED_TABLES = frozenset({"sqlite_dbpage", "sqlite_dbdata", "sqlite_dbptr", "sqlite_stat3", "sqlite_stat4"})
# Joins that compare columns without naming their table: the authorizer is not asked about those (seen with 3.40.1).
_UNNAMED_JOIN = re.compile(r"\b(?:natural|using)\b", re.IGNORECASE)


async def run_query(
    engine: AsyncEngine, statement: TextClause, limit: int, hidden: Hidden
) -> tuple[list[str], list[Any]]:
    """Run one reading statement on a pooled connection; returns its columns and at most `limit` rows.

    Raises:
        ValidationError: It is not one statement, it does more than read, or it reads a hidden column.
    """
    compiled: Any = statement.compile(dialect=engine.dialect)
    parameters = _encoded(compiled, engine.dialect)
    async with engine.connect() as connection:
        fairy = await connection.get_raw_connection()
        # SQLAlchemy types it as a plain DBAPI connection; every engine of ours has the fused adapter's.
        lane = cast("FusedConnection", fairy.dbapi_connection).lane
        return await lane.run_interruptible(partial(_run, lane.raw, str(compiled), parameters, limit, hidden))


def _encoded(compiled: Any, dialect: Any) -> list[Any]:
    values: list[Any] = []
    for name in compiled.positiontup or ():
        bound = compiled.binds[name]
        process = bound.type.dialect_impl(dialect).bind_processor(dialect)
        values.append(bound.value if process is None or bound.value is None else process(bound.value))
    return values


def _run(
    raw: sqlite3.Connection, sql: str, parameters: list[Any], limit: int, hidden: Hidden
) -> tuple[list[str], list[Any]]:
    _refuse_unnamed_joins(sql, hidden)
    guard = _Guard(hidden)
    # Statements that the connection remembers from before are compiled again: setting an authorizer expires them.
    raw.set_authorizer(guard.authorize)
    try:
        cursor = raw.execute(sql, parameters)
        try:
            return [column[0] for column in cursor.description or ()], cursor.fetchmany(limit)
        finally:
            cursor.close()
    except (sqlite.Error, sqlite.Warning) as exc:
        if getattr(exc, "sqlite_errorname", "") == "SQLITE_AUTH" or "prohibited" in str(exc):
            message = f"sql: {guard.refusal or 'a query may only read'}"
            raise ValidationError(message, field="sql") from exc
        if isinstance(exc, (sqlite.ProgrammingError, sqlite.Warning)):
            message = f"sql: {exc}"
            raise ValidationError(message, field="sql") from exc
        raise
    finally:
        raw.set_authorizer(None)


def _refuse_unnamed_joins(sql: str, hidden: Hidden) -> None:
    # Views expand to columns that the authorizer is asked about; only the table itself gets past it.
    for table in hidden:
        if _UNNAMED_JOIN.search(sql) and re.search(rf"\b{re.escape(table)}\b", sql, re.IGNORECASE):
            message = f"sql: {table} has hidden columns: a query that names it says ON instead of USING and NATURAL"
            raise ValidationError(message, field="sql")


class _Guard:
    """Says what one query may do, and remembers why not."""

    def __init__(self, hidden: Hidden) -> None:
        self._hidden = hidden
        self.refusal: str | None = None

    def authorize(self, action: int, first: str | None, second: str | None, *_where: str | None) -> int:
        if action == sqlite.SQLITE_READ:
            self.refusal = self.refusal or self._reading(str(first).lower(), str(second).lower())
            return int(sqlite.SQLITE_OK if self.refusal is None else sqlite.SQLITE_DENY)
        if action not in READING or (action == sqlite.SQLITE_FUNCTION and str(second).lower() in REFUSED_FUNCTIONS):
            return int(sqlite.SQLITE_DENY)
        return int(sqlite.SQLITE_OK)

    def _reading(self, table: str, column: str) -> str | None:
        if table in REFUSED_TABLES:
            return f"{table} shows what is hidden"
        columns = self._hidden.get(table, ())
        if column in columns:
            return f"{table}.{column} is hidden from queries; name the columns that you want"
        return None
