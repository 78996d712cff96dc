"""Building and dropping what the database itself keeps to find vectors, beside those who read and write."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy.pool import NullPool

from agent_system.database.engine import create_engine
from agent_system.database.translate import translated
from agent_system.errors import TransactionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.database.manager import DatabaseManager
    from agent_system.search.vector_indexes import VectorIndexes

__all__ = ["build_indexes", "drop_indexes"]


async def build_indexes(
    db: DatabaseManager, indexes: VectorIndexes, targets: Sequence[tuple[int, int, str]]
) -> list[str]:
    """Build indexes one after the other; returns their names.

    Args:
        db: The database.
        indexes: Those of its engine.
        targets: Key of the model, how many numbers its vectors have, and the column that leads to the table.
    """
    async with _connected(db, indexes) as connection:
        return [await indexes.build(connection, *target) for target in targets]


async def drop_indexes(db: DatabaseManager, indexes: VectorIndexes, names: Sequence[str]) -> None:
    """Drop indexes; one that is gone already is no error."""
    async with _connected(db, indexes) as connection:
        for name in names:
            await indexes.drop(connection, name)


@asynccontextmanager
async def _connected(db: DatabaseManager, indexes: VectorIndexes) -> AsyncIterator[AsyncConnection]:
    """A connection of its own, outside of any transaction, with settings that nobody else gets to see."""
    if db.in_transaction:
        message = "an index is built outside of transactions; call it afterwards"
        raise TransactionError(message)
    patient = db.settings.model_copy(update={"statement_timeout_seconds": None})
    engine = create_engine(db.engine.url, patient, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with translated():
            async with engine.connect() as connection:
                await indexes.prepare(connection, db.settings.search_memory_mib)
                yield connection
    finally:
        await engine.dispose()
