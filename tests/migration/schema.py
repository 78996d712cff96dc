"""What a schema is made of, as text that can be compared: on SQLite its own statements, on PostgreSQL its catalogs."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.pool import NullPool

from agent_system.database.engine import create_engine, resolve_url
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

_QUERIES = {
    "sqlite": ["SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND sql IS NOT NULL"],
    "postgresql": [
        """
        SELECT 'column', c.table_name, c.column_name, c.data_type, c.collation_name, c.is_nullable, c.column_default,
               c.generation_expression
        FROM information_schema.columns c WHERE c.table_schema = 'public'
        """,
        """
        SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        """,
        "SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    ],
}


@asynccontextmanager
async def connected(url: str, *, foreign_keys: bool = True) -> AsyncIterator[AsyncConnection]:
    """Yield a connection of its own to a database, in a transaction that commits at the end."""
    resolved = resolve_url(url)
    arguments = {"foreign_keys": foreign_keys} if resolved.get_backend_name() == "sqlite" else {}
    engine = create_engine(resolved, DatabaseSettings(), poolclass=NullPool, **arguments)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def schema_of(url: str) -> list[str]:
    """Return one line for everything that the schema holds, but for alembic's own table."""
    async with connected(url) as connection:
        lines = [
            " ".join(_without_order(re.sub(r"\s+", " ", str(part))) for part in row)
            for query in _QUERIES[connection.dialect.name]
            for row in (await connection.execute(text(query))).all()
        ]
    return sorted(line for line in lines if "alembic_version" not in line)


def _without_order(statement: str) -> str:
    """Sort the parts of a CREATE TABLE: a column that was added later stands at the end."""
    if not statement.startswith("CREATE TABLE"):
        return statement
    head, _, body = statement.partition("(")
    parts, depth = [""], 0
    for character in body.rstrip().removesuffix(")"):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    # Alembic puts an empty text in brackets when it rebuilds a table.
    parts = [part.strip().replace("DEFAULT ('')", "DEFAULT ''") for part in parts]
    name = head.replace('"', "").strip()
    return f"{name} ({', '.join(sorted(parts))})"
