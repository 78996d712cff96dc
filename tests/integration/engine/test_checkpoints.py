"""The WAL-reset bug of SQLite 3.7.0 to 3.51.2: no checkpoint may run beside a commit, and still the log is bounded."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system.database import checkpoints, driver, wal_index
from agent_system.database.driver import LibraryVerdict
from agent_system.errors import DatabaseBusyError
from tests import requirements as requires
from tests.integration.engine.gates import writer_of
from tests.integration.engine.notes import add, count, run_sql
from tests.integration.engine.processes import OtherProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager
    from agent_system.database.checkpoints import Checkpointer
    from agent_system.database.lanes import Lane

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

PAGES = 20
LIMIT_BYTES = PAGES * 4096
# A row of ten pages.
LONG = "x" * 40_000

pytestmark = requires.write_ahead_log


@pytest.fixture(autouse=True)
def affected_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the library as one with the bug, whichever it is."""
    verdict = LibraryVerdict(version="3.40.1", has_wal_reset_bug=True)
    monkeypatch.setattr(driver, "library_verdict", lambda: verdict)
    monkeypatch.setattr(checkpoints, "library_verdict", lambda: verdict)


@pytest.fixture
async def db(open_database: OpenDatabase) -> DatabaseManager:
    return await open_database(checkpoint_pages=PAGES, lock_timeout_seconds=5)


def log_bytes(db: DatabaseManager) -> int:
    return os.stat(f"{db.url.database}-wal").st_size  # noqa: PTH116 (open() would drop the locks)


def checkpointer_of(db: DatabaseManager) -> Checkpointer:
    backend: Any = db._backend
    checkpointer: Checkpointer = backend._checkpointer
    return checkpointer


async def test_the_log_stays_bounded_however_much_is_written(db: DatabaseManager) -> None:
    sizes = []
    for number in range(60):
        await db.write(add(f"{number} {LONG}"))
        sizes.append(log_bytes(db))

    assert sum(sizes) > 0
    assert max(sizes) < 6 * LIMIT_BYTES
    assert await db.read(count) == 60


@pytest.mark.skipif(not wal_index._DESCRIPTORS.is_dir(), reason="nobody tells by which descriptor the log is open")
@pytest.mark.parametrize(("durability", "is_synced"), [("normal", True), ("full", False)])
async def test_a_log_that_commits_leave_unsynced_is_synced_while_others_may_write(
    open_database: OpenDatabase,
    monkeypatch: pytest.MonkeyPatch,
    durability: str,
    is_synced: bool,  # noqa: FBT001
) -> None:
    db = await open_database(checkpoint_pages=PAGES, durability=durability)
    synced: set[str] = set()

    def sync(descriptor: int) -> None:
        synced.add(os.readlink(wal_index._DESCRIPTORS / str(descriptor)))  # noqa: PTH115 (as the module does)

    monkeypatch.setattr(checkpoints.os, "fsync", sync)
    for number in range(20):
        await db.write(add(f"{number} {LONG}"))
    await checkpointer_of(db).close()

    assert synced == ({f"{db.url.database}-wal"} if is_synced else set())


@pytest.mark.skipif(not wal_index._DESCRIPTORS.is_dir(), reason="nobody tells how much of the log is in use")
async def test_a_log_that_is_begun_anew_keeps_its_length(db: DatabaseManager, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checkpoints._checkpoint
    moved: list[int] = []
    monkeypatch.setattr(checkpoints, "_checkpoint", lambda lane: moved.append(real(lane)[1]) or (0, 0))
    sizes = []
    for number in range(60):
        await db.write(add(f"{number} {LONG}"))
        sizes.append(log_bytes(db))

    # Nothing but the first round makes the file longer, and each later one is as long as the first.
    first = next(number for number, size in enumerate(sizes) if size >= 2 * LIMIT_BYTES)
    assert max(sizes[first:]) - min(sizes[first:]) < LIMIT_BYTES
    assert len(moved) > 5
    assert min(moved[:-1]) >= 2 * PAGES


async def test_the_log_stays_bounded_under_transactions_and_sessions_too(db: DatabaseManager) -> None:
    for number in range(30):
        async with db.transaction():
            await db.write(add(f"transaction {number} {LONG}"))
        async with db.session() as session:
            await session.exec(text("DELETE FROM notes"))
            await session.commit()

    # Rows that go take the map of the pages' places with them into the log.
    assert log_bytes(db) < 9 * LIMIT_BYTES


async def test_a_checkpoint_runs_only_while_the_write_lock_is_held(
    db: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, writer = checkpoints._checkpoint, writer_of(db)
    writer_in_transaction: list[bool] = []

    def watched(lane: Lane) -> tuple[int, int]:
        writer_in_transaction.append(writer.in_transaction)
        return real(lane)

    monkeypatch.setattr(checkpoints, "_checkpoint", watched)
    await asyncio.gather(*(db.write(add(f"{number} {LONG}")) for number in range(40)))
    for number in range(20):
        await db.write(add(f"later {number} {LONG}"))

    assert writer_in_transaction
    assert all(writer_in_transaction)


async def test_a_checkpoint_that_is_given_up_keeps_the_write_lock_to_its_end(
    db: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, begun, may_end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def watched(_lane: Lane) -> tuple[int, int]:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(20)
        return 0, 0

    monkeypatch.setattr(checkpoints, "_checkpoint", watched)
    maintaining = asyncio.create_task(checkpointer_of(db).checkpoint())
    await begun.wait()
    maintaining.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    # Behind whatever the cancellation has sent to the writer's thread.
    backend: Any = db._backend
    is_locked = await backend._writing.lane.run(lambda: writer_of(db).in_transaction)
    may_end.set()
    await asyncio.wait({maintaining})

    assert is_locked
    assert maintaining.cancelled()
    await asyncio.wait_for(db.write(add("later")), 5)


async def test_no_other_process_can_write_beside_a_checkpoint(
    db: DatabaseManager, other_process: OtherProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checkpoints._checkpoint
    loop = asyncio.get_running_loop()
    errors: list[str | None] = []

    def watched(lane: Lane) -> tuple[int, int]:
        trying = asyncio.run_coroutine_threadsafe(other_process.try_to("BEGIN IMMEDIATE"), loop)
        errors.append(trying.result(20))
        return real(lane)

    monkeypatch.setattr(checkpoints, "_checkpoint", watched)
    await db.write(add(LONG))
    in_log, moved = await checkpointer_of(db).checkpoint()

    assert errors == ["SQLITE_BUSY"]
    assert in_log == moved > 0
    assert await other_process.try_to("BEGIN IMMEDIATE") is None


async def test_only_passive_checkpoints_run(db: DatabaseManager) -> None:
    statements: list[str] = []
    backend: Any = db._backend
    for post in (backend._writing, backend._reading):
        post.lane.raw.set_trace_callback(statements.append)
    for number in range(20):
        await db.write(add(f"{number} {LONG}"))

    found = {statement for statement in statements if "checkpoint" in statement.lower()}
    assert found == {"PRAGMA wal_checkpoint(PASSIVE)"}


async def test_a_reader_that_keeps_the_log_hinders_nobody_and_afterwards_it_shrinks(db: DatabaseManager) -> None:
    async with db.session(read_only=True) as session:
        before = (await session.exec(text("SELECT count(*) FROM notes"))).scalar_one()
        for number in range(30):
            await db.write(add(f"{number} {LONG}"))
        grown = log_bytes(db)
        again = (await session.exec(text("SELECT count(*) FROM notes"))).scalar_one()
    for number in range(30):
        await db.write(add(f"later {number} {LONG}"))

    assert before == again == 0
    assert grown > 10 * LIMIT_BYTES
    assert log_bytes(db) < grown / 2


async def test_a_checkpoint_that_cannot_have_the_lock_is_put_off_and_writing_goes_on(
    open_database: OpenDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    db = await open_database(checkpoint_pages=PAGES, lock_timeout_seconds=0.1)
    other_process = await OtherProcess.start(db.url.database)
    await other_process.run("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusyError):
        await checkpointer_of(db).checkpoint()
    await checkpointer_of(db)._run()
    await other_process.run("ROLLBACK")
    await other_process.stop()
    await db.write(add("after"))

    assert "checkpoint put off" in caplog.text
    assert await db.read(count) == 1


async def test_the_log_is_gone_after_the_disconnect_and_everything_is_in_the_file(db: DatabaseManager) -> None:
    for number in range(10):
        await db.write(add(f"{number} {LONG}"))
    await db.disconnect()
    path = str(db.url.database)

    assert not os.path.exists(f"{path}-wal")  # noqa: PTH110
    other_process = await OtherProcess.start(path)
    assert await other_process.run("SELECT count(*) FROM notes") == [[10]]
    assert await other_process.run("PRAGMA integrity_check") == [["ok"]]
    await other_process.stop()


async def test_many_writers_beside_checkpoints_leave_a_sound_file(db: DatabaseManager) -> None:
    await asyncio.gather(*(db.write(add(f"{number} {LONG}")) for number in range(100)))
    results = await db.read(run_sql("PRAGMA integrity_check"))

    assert results == [("ok",)]
    assert await db.read(count) == 100
