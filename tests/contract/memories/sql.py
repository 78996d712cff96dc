"""Plain SQL, as other programs write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager


async def run(database: DatabaseManager, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""

    def work(executor: Any) -> list[tuple[Any, ...]]:
        result = executor.execute(text(statement), values)
        return [tuple(row) for row in result.all()] if result.returns_rows else []

    return await database.write(work)
