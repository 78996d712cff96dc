"""Free SQL on SQLite: run by a connection that is allowed to read and nothing else while it runs.

An authorizer is asked about everything that a statement would do when it is compiled
(https://sqlite.org/c3ref/set_authorizer.html), so that what it refuses never begins.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from agent_system.database.driver import sqlite
from agent_system.errors import ValidationError

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import TextClause
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agent_system.database.adapter import FusedConnection

__all__ = ["run_query"]

READING = frozenset({sqlite.SQLITE_SELECT, sqlite.SQLITE_READ, sqlite.SQLITE_FUNCTION, sqlite.SQLITE_RECURSIVE})
# They reach beyond the database's rows.
REFUSED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})


async def run_query(engine: AsyncEngine, statement: TextClause, limit: int) -> tuple[list[str], list[Any]]:
    """Run one reading statement on a pooled connection; returns its columns and at most `limit` rows.

    Raises:
        ValidationError: It is not one statement, or it does more than read.
    """
    compiled: Any = statement.compile(dialect=engine.dialect)
    parameters = _encoded(compiled, engine.dialect)
    async with engine.connect() as connection:
        fairy = await connection.get_raw_connection()
        # SQLAlchemy types it as a plain DBAPI connection; every engine of ours has the fused adapter's.
        lane = cast("FusedConnection", fairy.dbapi_connection).lane
        return await lane.run_interruptible(partial(_run, lane.raw, str(compiled), parameters, limit))


def _encoded(compiled: Any, dialect: Any) -> list[Any]:
    values: list[Any] = []
    for name in compiled.positiontup or ():
        bound = compiled.binds[name]
        process = bound.type.dialect_impl(dialect).bind_processor(dialect)
        values.append(bound.value if process is None or bound.value is None else process(bound.value))
    return values


def _run(raw: sqlite3.Connection, sql: str, parameters: list[Any], limit: int) -> tuple[list[str], list[Any]]:
    raw.set_authorizer(_authorize)
    try:
        cursor = raw.execute(sql, parameters)
        try:
            return [column[0] for column in cursor.description or ()], cursor.fetchmany(limit)
        finally:
            cursor.close()
    except (sqlite.Error, sqlite.Warning) as exc:
        if getattr(exc, "sqlite_errorname", "") == "SQLITE_AUTH" or "prohibited" in str(exc):
            message = "sql: a query may only read"
            raise ValidationError(message, field="sql") from exc
        if isinstance(exc, (sqlite.ProgrammingError, sqlite.Warning)):
            message = f"sql: {exc}"
            raise ValidationError(message, field="sql") from exc
        raise
    finally:
        raw.set_authorizer(None)


def _authorize(action: int, first: str | None, second: str | None, *_where: str | None) -> int:
    if action not in READING or (action == sqlite.SQLITE_FUNCTION and str(second).lower() in REFUSED_FUNCTIONS):
        return int(sqlite.SQLITE_DENY)
    del first
    return int(sqlite.SQLITE_OK)
