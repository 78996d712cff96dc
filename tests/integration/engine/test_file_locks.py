"""Closing any descriptor of a database file drops SQLite's locks in the whole process, whoever opened it.

POSIX says so (https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
The first two tests show what happens then; the others show that we never do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_system.database import DatabaseManager
from agent_system.database.migrations import run_migrations
from tests import requirements as requires
from tests.integration.engine.notes import add, read_titles
from tests.integration.engine.processes import Child, OtherProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

pytestmark = requires.file_locks


@pytest.fixture
async def two_processes(sqlite_path: Path) -> AsyncIterator[tuple[OtherProcess, OtherProcess]]:
    """Yield two processes that have one file open."""
    one, two = await OtherProcess.start(sqlite_path), await OtherProcess.start(sqlite_path)
    await one.run("PRAGMA journal_mode = WAL")
    await one.run("CREATE TABLE notes (title)")
    await two.run("SELECT * FROM notes")
    yield one, two
    await one.stop()
    await two.stop()


async def test_reading_the_wal_index_lets_another_process_write_into_our_transaction(
    two_processes: tuple[OtherProcess, OtherProcess], sqlite_path: Path
) -> None:
    one, two = two_processes
    await one.run("BEGIN IMMEDIATE")
    await one.run("INSERT INTO notes VALUES ('of one')")
    assert await two.try_to("INSERT INTO notes VALUES ('of two')") == "SQLITE_BUSY"
    await one.open_and_close(f"{sqlite_path}-shm")
    assert await two.try_to("INSERT INTO notes VALUES ('of two')") is None
    assert await one.try_to("COMMIT") is None

    rows = await two.run("SELECT title FROM notes")
    assert rows != [["of one"], ["of two"]]  # one of two acknowledged rows is lost
    assert await two.run("PRAGMA integrity_check") == [["ok"]]


async def test_reading_the_database_file_makes_committed_rows_vanish(
    two_processes: tuple[OtherProcess, OtherProcess], sqlite_path: Path
) -> None:
    one, two = two_processes
    await one.open_and_close(sqlite_path)
    # It takes itself for the last one and removes the log that the other process goes on writing to.
    await two.close()
    await one.run("INSERT INTO notes VALUES ('acknowledged')")
    assert await one.run("SELECT title FROM notes") == [["acknowledged"]]

    third = await OtherProcess.start(sqlite_path)
    assert await third.run("SELECT title FROM notes") == []
    await third.stop()


async def test_a_process_of_ours_opens_the_files_by_sqlite_alone(db: DatabaseManager) -> None:
    await db.disconnect()
    child = await Child.start("watches_files.py", db.url.database)
    (opened,) = await child.finish()

    assert opened == []


async def test_a_second_manager_of_the_same_process_takes_no_lock_away(
    db: DatabaseManager, other_process: OtherProcess, open_database: OpenDatabase
) -> None:
    async with db.transaction():
        await db.write(add("ours"))
        second = await open_database()
        await second.health()
        await second.disconnect()
        async with DatabaseManager(db.url.render_as_string()):
            pass
        assert await other_process.try_to("BEGIN IMMEDIATE") == "SQLITE_BUSY"
        await db.write(add("ours too"))

    assert await other_process.run("SELECT title FROM notes") == [["ours"], ["ours too"]]


async def test_a_migration_beside_a_connected_manager_takes_no_lock_away(
    db: DatabaseManager, other_process: OtherProcess
) -> None:
    await run_migrations(db.url.render_as_string())
    async with db.transaction():
        await db.write(add("ours"))
        assert await other_process.try_to("BEGIN IMMEDIATE") == "SQLITE_BUSY"
    assert await other_process.try_to("INSERT INTO notes (title, amount) VALUES ('theirs', 0)") is None

    assert await db.read(read_titles) == ["ours", "theirs"]


async def test_a_process_that_closes_is_not_the_last_one_while_we_are_connected(
    db: DatabaseManager, other_process: OtherProcess
) -> None:
    await db.health()
    await other_process.run("SELECT * FROM notes")
    await other_process.close()
    await db.write(add("acknowledged"))

    third = await OtherProcess.start(db.url.database)
    assert await third.run("SELECT title FROM notes") == [["acknowledged"]]
    await third.stop()
