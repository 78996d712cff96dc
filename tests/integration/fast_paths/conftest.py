"""Connected managers with settings of the test's choice, and another process beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database import DatabaseManager
from agent_system.settings import DatabaseSettings
from tests.integration.engine.processes import OtherProcess
from tests.integration.fast_paths.managers import Agents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@pytest.fixture
async def open_database(migrated_url: str) -> AsyncIterator[Callable[..., Awaitable[DatabaseManager]]]:
    """Return a function that connects one more manager with the given settings to one migrated database."""
    opened: list[DatabaseManager] = []

    async def open_one(**settings: Any) -> DatabaseManager:
        db = DatabaseManager(migrated_url, settings=DatabaseSettings(**settings), auto_migrate=False)
        opened.append(await db.connect())
        return db

    yield open_one
    for db in opened:
        await db.disconnect()


@pytest.fixture
async def db(open_database: Callable[..., Awaitable[DatabaseManager]]) -> DatabaseManager:
    """Return a connected manager with the default settings."""
    return await open_database(durability="normal")


@pytest.fixture
def agents(db: DatabaseManager) -> Agents:
    """Return a manager of agents that the hot cache keeps."""
    return Agents(db)


@pytest.fixture
async def other_process(db: DatabaseManager) -> AsyncIterator[OtherProcess]:
    """Yield another process that has the database file of `db` open, by the plain driver."""
    other = await OtherProcess.start(db.url.database)
    yield other
    await other.stop()
