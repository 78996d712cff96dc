"""Free SQL on PostgreSQL: in a READ ONLY transaction that is rolled back, and without the server's own functions.

A READ ONLY transaction refuses what changes rows or tables
(https://www.postgresql.org/docs/current/sql-set-transaction.html). It does not refuse functions that act on the server
(`pg_terminate_backend`, advisory locks, large objects), so a query that names one is refused before it is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent_system.database.dialects.postgresql_secrets import refuse_hidden
from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from sqlalchemy import TextClause
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agent_system.database.dialects.base import Hidden

__all__ = ["run_query"]

# COPY, DO, CALL, EXPLAIN ANALYZE and the rest are no queries.
_QUERY = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
# Functions of the server, those that run SQL of their own, and the spelling that could hide a name.
_SERVER = re.compile(
    r"\b(?:pg_\w+|lo_\w+|dblink\w*|set_config|\w+_to_xml\w*|ts_stat|ts_rewrite|currval|nextval|setval)\b|\bu&",
    re.IGNORECASE,
)


async def run_query(
    engine: AsyncEngine, statement: TextClause, limit: int, hidden: Hidden
) -> tuple[list[str], list[Any]]:
    """Run one reading statement on a pooled connection; returns its columns and at most `limit` rows.

    Raises:
        ValidationError: It is no query, names a function of the server, or could read a hidden column.
    """
    if not _QUERY.match(statement.text):
        message = "sql: a query begins with SELECT, WITH or VALUES and only reads"
        raise ValidationError(message, field="sql")
    named = _SERVER.search(statement.text)
    if named is not None:
        message = f"sql: {named[0]} is the server's own; give texts as parameters"
        raise ValidationError(message, field="sql")
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    async with reading.connect() as connection:
        await refuse_hidden(connection, str(statement.compile(dialect=engine.dialect)), hidden)
        result = await connection.stream(statement)
        try:
            columns = list(result.keys())
            rows: list[Any] = [tuple(row) for row in await result.fetchmany(limit)]
        finally:
            await result.close()
            await connection.rollback()
    return columns, rows
