"""Connected managers with the tests' own tables, and ways to make bad days come when the test wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database import DatabaseManager
from agent_system.settings import DatabaseSettings
from tests.integration.engine import notes
from tests.integration.engine.gates import postgres_commit_gate, sqlite_commit_gate
from tests.integration.engine.processes import OtherProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.integration.engine.gates import CommitGate


@pytest.fixture
async def open_database(migrated_url: str) -> AsyncIterator[Callable[..., Awaitable[DatabaseManager]]]:
    """Return a function that connects a manager with the given settings to one database with the tests' tables."""
    opened: list[DatabaseManager] = []

    async def open_one(**settings: Any) -> DatabaseManager:
        db = DatabaseManager(migrated_url, settings=DatabaseSettings(**settings), auto_migrate=False)
        await db.connect()
        opened.append(db)
        if len(opened) == 1:
            await notes.make_tables(db)
        return db

    yield open_one
    for db in opened:
        await db.disconnect()


@pytest.fixture
async def db(open_database: Callable[..., Awaitable[DatabaseManager]]) -> DatabaseManager:
    """Return a connected manager with the tests' tables and the default settings."""
    return await open_database()


@pytest.fixture
async def other_process(db: DatabaseManager) -> AsyncIterator[OtherProcess]:
    """Yield another process that has the database file of `db` open."""
    other = await OtherProcess.start(db.url.database)
    yield other
    await other.stop()


@pytest.fixture
def slow_statement(engine_name: str) -> str:
    """Return a statement that only reads and takes longer than any test may."""
    endless = "WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter) SELECT count(*) FROM counter"
    return {"sqlite": endless, "postgresql": "SELECT pg_sleep(600)"}[engine_name]


@pytest.fixture
async def commit_gate(engine_name: str, db: DatabaseManager) -> AsyncIterator[CommitGate]:
    """Yield a closed gate in every COMMIT of a transaction of `db` that has written to `notes`."""
    kinds: dict[str, Any] = {"sqlite": sqlite_commit_gate, "postgresql": postgres_commit_gate}
    async with kinds[engine_name](db) as gate:
        yield gate
        await gate.open()
