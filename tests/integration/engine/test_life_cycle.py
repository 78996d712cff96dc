"""Connecting, using at the wrong time or place, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import insert

from agent_system.database import DatabaseManager, get_database_connection
from agent_system.entity_manager import EntityManager
from agent_system.errors import DatabaseError, DatabaseUnavailableError, NotConnectedError, SchemaMismatchError
from agent_system.settings import DatabaseSettings
from tests import requirements as requires
from tests.integration.engine.notes import add, count, make_tables, notes, read_titles
from tests.integration.engine.processes import Child

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

END_SECONDS = 5


async def use(db: DatabaseManager, way: str) -> None:
    """Use a manager in one of the ways there are."""
    match way:
        case "read":
            await db.read(count)
        case "write":
            await db.write(add("one"))
        case "transaction":
            async with db.transaction():
                pass
        case "session":
            async with db.session():
                pass
        case "health":
            await db.health()
        case "engine":
            assert db.engine
        case "dialect":
            assert db.dialect


WAYS = ["read", "write", "transaction", "session", "health", "engine", "dialect"]


@pytest.mark.parametrize("way", WAYS)
async def test_use_before_connect_is_a_clear_error(migrated_url: str, way: str) -> None:
    db = DatabaseManager(migrated_url)
    with pytest.raises(NotConnectedError, match="connect"):
        await use(db, way)


@pytest.mark.parametrize("way", WAYS)
async def test_use_after_disconnect_is_a_clear_error(db: DatabaseManager, way: str) -> None:
    await db.disconnect()
    with pytest.raises(NotConnectedError, match="connect"):
        await use(db, way)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "dialect"])
def test_use_in_another_event_loop_is_a_clear_error(migrated_url: str, way: str) -> None:
    with asyncio.Runner() as first, asyncio.Runner() as second:
        db = first.run(DatabaseManager(migrated_url, auto_migrate=False).connect())
        with pytest.raises(NotConnectedError, match="another event loop"):
            second.run(use(db, way))
        first.run(make_tables(db))
        first.run(use(db, way))
        first.run(db.disconnect())


def test_a_manager_can_connect_again_in_another_event_loop(migrated_url: str) -> None:
    db = DatabaseManager(migrated_url, auto_migrate=False)

    async def connect_and_use() -> int:
        async with db:
            if not tables_made:
                await make_tables(db)
                tables_made.append(True)
            await db.write(add(f"{await db.read(count)}"))
            return await db.read(count)

    tables_made: list[bool] = []
    assert [asyncio.run(connect_and_use()) for _ in range(3)] == [1, 2, 3]


async def test_disconnecting_twice_is_harmless(db: DatabaseManager) -> None:
    await db.disconnect()
    await db.disconnect()
    assert not db.is_connected


async def test_disconnecting_before_connecting_is_harmless(migrated_url: str) -> None:
    await DatabaseManager(migrated_url).disconnect()


async def test_connecting_twice_is_refused_and_harmless(db: DatabaseManager) -> None:
    with pytest.raises(DatabaseError, match="already"):
        await db.connect()
    assert await db.read(count) == 0


async def test_connecting_from_two_tasks_at_once_connects_once(migrated_url: str) -> None:
    db = DatabaseManager(migrated_url, auto_migrate=False)
    results = await asyncio.gather(db.connect(), db.connect(), return_exceptions=True)
    await db.disconnect()

    assert sorted(type(result).__name__ for result in results) == ["DatabaseError", "DatabaseManager"]


async def test_a_failed_connect_leaves_nothing_behind_and_may_be_repeated(database_url: str) -> None:
    db = DatabaseManager(database_url)
    db.auto_migrate = False
    with pytest.raises(SchemaMismatchError):
        await db.connect()
    assert not db.is_connected
    db.auto_migrate = True
    await db.connect()
    await db.disconnect()


async def test_the_connection_of_seed_001_is_a_connected_manager(migrated_url: str) -> None:
    async with get_database_connection(migrated_url) as db:
        assert db.is_connected
    assert not db.is_connected


async def test_a_manager_says_what_it_is_and_no_password() -> None:
    db = DatabaseManager("postgresql://user:secret@host/name")
    assert repr(db) == "<DatabaseManager postgresql+asyncpg://user:***@host/name (not connected)>"


async def test_a_disconnect_inside_a_transaction_writes_nothing_and_tells_the_block(
    db: DatabaseManager, open_database: OpenDatabase
) -> None:
    with pytest.raises(NotConnectedError):
        await disconnect_inside(db)
    again = await open_database()

    assert await again.read(read_titles) == []


async def test_a_session_that_is_open_at_a_disconnect_is_closed_with_its_block(
    db: DatabaseManager, open_database: OpenDatabase
) -> None:
    async with db.session() as session:
        await session.exec(insert(notes).values(title="lost", amount=0))
        await db.disconnect()
    again = await open_database()

    assert await again.read(read_titles) == []


async def disconnect_inside(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("lost"))
        await db.disconnect()
        await db.write(add("never"))


@requires.database_file
async def test_closing_leaves_one_file_and_no_thread(sqlite_path: Path) -> None:
    async with DatabaseManager(sqlite_path) as db:
        await make_tables(db)
        await asyncio.gather(*(db.write(add(f"{number}")) for number in range(20)))
        async with db.session() as session:
            await session.commit()
        assert connection_threads()

    assert [path.name for path in sqlite_path.parent.iterdir()] == [sqlite_path.name]
    assert remaining_threads() == []


@requires.database_file
async def test_a_failed_connect_leaves_no_thread(tmp_path: Path) -> None:
    path = tmp_path / "no.db"
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(DatabaseError):
        await DatabaseManager(path).connect()

    assert remaining_threads() == []


def connection_threads() -> list[threading.Thread]:
    """Return the threads of SQLite connections."""
    return [thread for thread in threading.enumerate() if "connection_worker" in thread.name]


def remaining_threads() -> list[threading.Thread]:
    """Return the threads of SQLite connections that do not end; one that was told to may need a moment."""
    for thread in connection_threads():
        thread.join(END_SECONDS)
    return connection_threads()


@requires.database_file
async def test_a_database_in_memory_is_read_beside_its_writer_and_goes_with_the_manager() -> None:
    async with DatabaseManager(":memory:") as db, DatabaseManager("sqlite://") as other:
        await make_tables(db)
        await make_tables(other)
        async with db.transaction():
            await db.write(add("one"))
        async with db.session(read_only=True) as session:
            assert session
        folders = [folder_of(db), folder_of(other)]
        assert (await db.read(count), await other.read(count)) == (1, 0)
        assert all(folder.is_dir() for folder in folders)

    assert not any(folder.exists() for folder in folders)


def folder_of(db: DatabaseManager) -> Path:
    """Return where the private file of a database in memory is."""
    return Path(str(db.engine.url.database)).parent


@requires.database_file
async def test_a_database_in_memory_that_cannot_be_opened_leaves_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def fail(*_arguments: object, **_options: object) -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr("agent_system.database.manager.prepare_schema", fail)
    with pytest.raises(DatabaseUnavailableError):
        await DatabaseManager(":memory:").connect()

    assert list(tmp_path.iterdir()) == []


async def test_a_program_that_forgets_to_disconnect_ends_soon_and_has_written(
    db: DatabaseManager, migrated_url: str
) -> None:
    child = await Child.start("forgets_to_disconnect.py", migrated_url, options=())
    async with asyncio.timeout(30):
        assert await child.hear() == ["one"]
    async with asyncio.timeout(END_SECONDS):
        await child.finish()

    assert await db.read(read_titles) == ["one"]


async def test_no_warning_and_no_thread_is_left_in_development_mode(db: DatabaseManager, migrated_url: str) -> None:
    await db.disconnect()
    child = await Child.start("life_cycle.py", migrated_url, options=("-X", "dev", "-W", "error"))
    (report,) = await child.finish()

    assert report == {"errors": [], "threads": ["MainThread"]}


async def test_after_a_fork_the_parents_manager_is_refused_in_the_child_and_both_end(
    db: DatabaseManager, migrated_url: str
) -> None:
    child = await Child.start("forks.py", migrated_url)
    async with asyncio.timeout(40):
        answer, report = await child.finish()

    assert answer.startswith("NotConnectedError: this manager was connected before a fork")
    assert report["status"] == 0
    assert set(await db.read(read_titles)) == {"by the parent", "by the child", "by the parent again"}


async def test_durability_is_checked_as_a_setting_is() -> None:
    with pytest.raises(Exception, match="AGENT_SYSTEM_DURABILITY"):
        DatabaseManager(":memory:", durability="sometimes")


async def test_arguments_win_over_settings() -> None:
    settings = DatabaseSettings(durability="full", auto_migrate=True, database_url="./of-the-settings.db")
    db = DatabaseManager("./own.db", settings=settings, auto_migrate=False, durability="normal")

    assert (db.url.database, db.auto_migrate, db.settings.durability.value) == ("./own.db", False, "normal")


async def test_a_closed_database_leaves_nothing_in_memory(migrated_url: str) -> None:
    async def use_and_close() -> weakref.ref[Any]:
        async with DatabaseManager(migrated_url, auto_migrate=False) as database:
            em = EntityManager(database)
            await em.agents.create({"name": uuid4().hex})
            assert await em.messages.count() == 0
            return weakref.ref(database.dialect)

    # The plans of the first one serve all, and know its dialect.
    await use_and_close()
    dialects = [await use_and_close() for _ in range(2)]
    gc.collect()
    assert [dialect() for dialect in dialects] == [None, None]
