"""Every connection to a file is set up alike, whoever opens it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database import driver
from agent_system.database.driver import LibraryVerdict
from tests import requirements as requires
from tests.integration.engine.notes import add, count

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

MEMORY = 2
SYNCHRONOUS = {"normal": 1, "full": 2}

pytestmark = requires.sqlite_library


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Return a list to which every connection is added that is opened."""
    connections: list[sqlite3.Connection] = []
    real = driver.open_connection

    def open_and_note(*arguments: Any) -> sqlite3.Connection:
        connections.append(real(*arguments))
        return connections[-1]

    for module in ("engine", "inline"):
        monkeypatch.setattr(f"agent_system.database.{module}.open_connection", open_and_note)
    return connections


async def use_everything(db: DatabaseManager) -> None:
    await db.write(add("one"))
    await db.read(count)
    async with db.session(read_only=True) as first, db.session(read_only=True) as second:
        for session in (first, second):
            await session.connection()


def pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.mark.parametrize("durability", ["normal", "full"])
async def test_all_connections_have_the_pragmas_of_seed_003(
    open_database: OpenDatabase, opened: list[sqlite3.Connection], durability: str
) -> None:
    db = await open_database(durability=durability, sqlite_cache_pages=1234)
    await use_everything(db)

    assert len(opened) >= 4
    for connection in opened:
        assert pragma(connection, "journal_mode") == "wal"
        assert pragma(connection, "synchronous") == SYNCHRONOUS[durability]
        assert pragma(connection, "foreign_keys") == 1
        assert pragma(connection, "cache_size") == 1234
        assert pragma(connection, "temp_store") == MEMORY
        assert pragma(connection, "busy_timeout") <= 100
    assert (await db.health()).durability == durability


@pytest.mark.parametrize(("affected", "mapped", "automatic"), [(True, 0, 0), (False, 268_435_456, 777)])
async def test_on_a_library_with_the_wal_reset_bug_no_connection_checkpoints_by_itself_or_maps_the_file(
    open_database: OpenDatabase,
    opened: list[sqlite3.Connection],
    monkeypatch: pytest.MonkeyPatch,
    affected: bool,  # noqa: FBT001 (a case of the test)
    mapped: int,
    automatic: int,
) -> None:
    verdict = LibraryVerdict(version="3.0.0", has_wal_reset_bug=affected)
    monkeypatch.setattr(driver, "library_verdict", lambda: verdict)
    db = await open_database(checkpoint_pages=777)
    await use_everything(db)

    for connection in opened:
        assert pragma(connection, "wal_autocheckpoint") == automatic
        # The library may be built with a lower limit for mappings.
        assert pragma(connection, "mmap_size") <= mapped


async def test_the_connection_of_the_loops_own_thread_never_waits_and_never_writes(
    open_database: OpenDatabase, opened: list[sqlite3.Connection]
) -> None:
    db = await open_database(inline_reads=True)
    inline = [connection for connection in opened if pragma(connection, "query_only")]

    assert len(inline) == 1
    assert pragma(inline[0], "busy_timeout") == 0
    await db.disconnect()


async def test_health_tells_the_library_and_its_verdict(db: DatabaseManager) -> None:
    health = await db.health()

    assert health.engine == "sqlite"
    assert health.library_version == driver.sqlite.sqlite_version
    assert health.library_verdict == driver.library_verdict().summary
    assert health.cold_storage_connected
    assert health.latency_ms > 0


async def test_health_measures_the_files(db: DatabaseManager) -> None:
    await db.write(add("x" * 100_000))
    path = str(db.url.database)
    health = await db.health()

    assert health.wal_file_size == os.stat(f"{path}-wal").st_size > 100_000  # noqa: PTH116 (as the product must)
    assert health.disk_usage == os.stat(path).st_size + health.wal_file_size  # noqa: PTH116
