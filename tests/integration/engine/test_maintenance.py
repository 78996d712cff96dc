"""Upkeep in the background: the log stays bounded beside whoever reads for long, who is named; free pages go back."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from agent_system import DatabaseManager
from agent_system.database.dialects import sqlite_upkeep
from agent_system.database.lock_holders import readers_of
from agent_system.database.maintenance import Maintenance
from agent_system.errors import DatabaseBusyError, TransactionTimeoutError
from tests import requirements as requires
from tests.integration.engine.notes import add, count, run_sql

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database.dialects.base import Backend
    from tests.integration.engine.processes import OtherProcess

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

LONG = "x" * 40_000
PAGES = 10
OVERSIZE = sqlite_upkeep.OVERSIZE * 2 * PAGES * 4096
COUNT = "SELECT count(*) FROM notes"


@pytest.fixture
async def db(open_database: OpenDatabase) -> DatabaseManager:
    return await open_database(
        checkpoint_pages=PAGES, wal_limit_mib=1, maintenance_seconds=None, long_read_seconds=1e-6
    )


def size_of(db: DatabaseManager, suffix: str = "") -> int:
    return os.stat(f"{db.url.database}{suffix}").st_size  # noqa: PTH116 (open() would drop the locks)


async def write_until_log_has(db: DatabaseManager, size: int) -> None:
    number = await db.read(count)
    while size_of(db, "-wal") < size:
        number += 1
        await db.write(add(f"{number} {LONG}"))


@requires.write_ahead_log
async def test_a_session_that_reads_for_long_is_named_and_then_ended(
    db: DatabaseManager, caplog: pytest.LogCaptureFixture
) -> None:
    async def read() -> None:
        async with db.session(read_only=True) as session:
            connection = await session.connection()
            assert (await connection.exec_driver_sql(COUNT)).scalar() == 0
            reading.set()
            await done.wait()
            assert (await connection.exec_driver_sql(COUNT)).scalar() == 0

    reading, done = asyncio.Event(), asyncio.Event()
    forgotten = asyncio.create_task(read(), name="the forgotten report")
    await reading.wait()
    await write_until_log_has(db, OVERSIZE + 1)
    await db.maintain()
    assert "the forgotten report" in caplog.text
    assert "is ended" not in caplog.text

    await write_until_log_has(db, 1 << 20)
    await db.maintain()
    assert "the session of task the forgotten report is ended" in caplog.text
    done.set()
    with pytest.raises(TransactionTimeoutError, match="AGENT_SYSTEM_WAL_LIMIT_MIB"):
        await forgotten

    # Nobody is in the way any more: the log begins anew.
    caplog.clear()
    before = await db.read(count)
    for _ in range(3):
        await db.maintain()
        for number in range(30):
            await db.write(add(f"after {before} {number} {_} {LONG}"))
    assert size_of(db, "-wal") < 6 << 20
    assert caplog.text == ""


@requires.write_ahead_log
async def test_another_process_that_reads_for_long_is_named(
    db: DatabaseManager, other_process: OtherProcess, caplog: pytest.LogCaptureFixture
) -> None:
    for sql in ("BEGIN", COUNT):
        await other_process.run(sql)
    await write_until_log_has(db, OVERSIZE + 1)
    await db.maintain()
    if await asyncio.to_thread(os.path.exists, "/proc/locks") and readers_of(str(db.url.database)):
        assert "process " in caplog.text
    assert "cannot be reset while it is read by" in caplog.text


def test_readers_are_found_in_the_list_of_locks(tmp_path: Any) -> None:
    path = tmp_path / "system.db"
    shared = path.with_name("system.db-shm")
    shared.touch()
    inode = shared.stat().st_ino
    listing = "\n".join(
        (
            f"1: POSIX  ADVISORY  READ 12 00:2f:{inode} 124 124",
            f"2: POSIX  ADVISORY  READ 13 00:2f:{inode} 128 128",
            f"3: POSIX  ADVISORY  WRITE 14 00:2f:{inode} 120 120",
            f"4: -> POSIX  ADVISORY  READ 15 00:2f:{inode} 124 124",
            "5: POSIX  ADVISORY  READ 16 00:2f:1 124 124",
            f"6: POSIX  ADVISORY  READ {os.getpid()} 00:2f:{inode} 124 124",
            "7: FLOCK  ADVISORY  WRITE 17 00:2f:1 0 EOF",
        )
    )
    assert [pid for pid, _ in readers_of(str(path), listing)] == [12]
    assert readers_of(str(tmp_path / "none.db"), listing) == []


@requires.database_file
async def test_free_pages_go_back_to_the_file_system(sqlite_path: Any) -> None:
    async with DatabaseManager(sqlite_path) as db:
        await db.write(run_sql("CREATE TABLE pages (content BLOB)"))
        await db.write(run_sql("INSERT INTO pages SELECT zeroblob(8000000)"))
        await db.write(run_sql("DELETE FROM pages"))
        await db.maintain()
        await db.maintain()
        # Of nearly ten millions there are a thousand pages left, and the empty tables.
        assert size_of(db) < 6_000_000


@requires.database_file
async def test_statistics_are_renewed_every_hour(db: DatabaseManager, monkeypatch: pytest.MonkeyPatch) -> None:
    optimized: list[Any] = []
    original = sqlite_upkeep._optimize
    monkeypatch.setattr(sqlite_upkeep, "_optimize", lambda raw: optimized.append(1) or original(raw))
    backend: Any = db._backend
    for now, times in ((5.0, 0), (10.0, 0), (3_605.0, 1), (3_700.0, 1), (7_300.0, 2)):
        await backend.maintain(now)
        assert len(optimized) == times


async def test_an_old_transaction_on_a_server_is_named(db: DatabaseManager, caplog: pytest.LogCaptureFixture) -> None:
    async with db.session(read_only=True) as session:
        await (await session.connection()).exec_driver_sql(COUNT)
        await db.maintain()
    assert ("has been open for" in caplog.text) is (db.dialect.name == "postgresql")


class Rounds:
    """An engine whose upkeep fails first and never ends in the end."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.last = asyncio.Event()

    async def maintain(self, now: float) -> None:
        self.times.append(now)
        if len(self.times) == 1:
            raise DatabaseBusyError
        if len(self.times) == 3:
            self.last.set()
            await asyncio.Event().wait()


async def test_rounds_follow_each_other_and_end_at_close(caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds()
    maintenance = Maintenance(cast("Backend", rounds), 1e-6, clock=lambda: 7.0)
    maintenance.start()
    await rounds.last.wait()
    await maintenance.close()
    assert rounds.times == [7.0, 7.0, 7.0]
    assert "put off" in caplog.text
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_disconnecting_leaves_no_task(migrated_url: str) -> None:
    async with DatabaseManager(migrated_url, auto_migrate=False) as db:
        await db.write(lambda _: None)
        await db.maintain()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
