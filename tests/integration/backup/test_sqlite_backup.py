"""Backups of SQLite files: sound while writers run, refused when changed, restored whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import sqlite3
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import make_url

from agent_system import DatabaseManager, DatabaseSettings, EntityManager
from agent_system.backup import create_backup, list_backups, restore_backup, verify_backup
from agent_system.database.migrations import run_migrations
from agent_system.errors import AgentSystemError, BackupError, DatabaseBusyError, SchemaMismatchError, ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MOMENT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def path(migrated_sqlite_url: str) -> Path:
    return Path(str(make_url(migrated_sqlite_url).database))


@pytest.fixture
async def em(path: Path) -> AsyncIterator[EntityManager]:
    async with DatabaseManager(path, auto_migrate=False) as db:
        yield EntityManager(db)


def ticking() -> Callable[[], datetime]:
    moments = (MOMENT + timedelta(seconds=number) for number in range(1_000))
    return lambda: next(moments)


async def names_in(path: Path) -> list[str]:
    async with DatabaseManager(path) as db:
        return sorted(agent.name for agent in await EntityManager(db).agents.find())


async def with_agent(path: Path, name: str) -> None:
    async with DatabaseManager(path) as db:
        await EntityManager(db).agents.create({"name": name})


async def test_a_backup_under_writes_is_a_state_that_was_there(em: EntityManager, path: Path, tmp_path: Path) -> None:
    done = asyncio.Event()

    async def write(number: int) -> int:
        written = 0
        while not done.is_set():
            async with em.db.transaction():
                # Both or none: a copy that has one of them was never the database.
                await em.agents.create({"name": f"{number}-{written}-a"})
                await em.agents.create({"name": f"{number}-{written}-b"})
            written += 1
        return written

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    try:
        backups = [await create_backup(path, tmp_path / "kept", compress=bool(n % 2)) for n in range(4)]
    finally:
        done.set()
        counts = await asyncio.gather(*writers)
    assert sum(counts) > 0
    rows = [backup.tables["agents"] for backup in backups]
    assert rows == sorted(rows)
    assert all(count % 2 == 0 for count in rows)
    for backup in backups:
        assert await verify_backup(backup.path) == backup
    # The copying took no lock away from those who were connected all the time.
    assert await em.agents.count() == 2 * sum(counts)


async def test_what_was_committed_before_is_in_it_and_comes_back(em: EntityManager, path: Path, tmp_path: Path) -> None:
    await em.agents.create({"name": "kept \ud800\0"})
    backup = await create_backup(path, clock=lambda: MOMENT)
    await em.agents.create({"name": "later"})
    await em.db.disconnect()
    assert backup.path.parent == path.parent / "backups"
    assert backup.path.name == "system-20260301T120000123456Z.db"

    before = await restore_backup(backup.path, path, clock=lambda: MOMENT)

    assert await names_in(path) == ["kept \ud800\0"]
    assert before is not None
    assert await names_in(before) == ["kept \ud800\0", "later"]
    assert await restore_backup(backup.path, tmp_path / "new" / "place.db") is None
    assert await names_in(tmp_path / "new" / "place.db") == ["kept \ud800\0"]


async def test_only_the_owner_may_read_a_backup(path: Path) -> None:
    backup = await create_backup(path)
    for file in backup.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(file.name for file in backup.path.parent.iterdir()) == [
        backup.path.name,
        f"{backup.path.name}.json",
    ]


async def test_the_newest_stay(path: Path, tmp_path: Path) -> None:
    clock = ticking()
    for _ in range(4):
        await create_backup(path, tmp_path / "kept", keep=2, clock=clock)
    (tmp_path / "kept" / "system-20260301T120000000000Z.db").write_bytes(b"unfinished")

    found = list_backups(tmp_path / "kept")

    assert [backup.created_at for backup in found] == [MOMENT + timedelta(seconds=3), MOMENT + timedelta(seconds=2)]
    with pytest.raises(ValidationError, match="keep"):
        await create_backup(path, tmp_path / "kept", keep=0)


async def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


async def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


async def replace(path: Path) -> None:
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE somebody_elses (id)").connection.close()


async def forget(path: Path) -> None:
    path.with_name(path.name + ".json").unlink()


async def spoil_manifest(path: Path) -> None:
    path.with_name(path.name + ".json").write_text("{}")


async def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("harm", [truncate, flip_a_bit, replace, forget, spoil_manifest, remove])
async def test_what_was_not_written_so_is_refused(path: Path, harm: Any, compress: bool) -> None:  # noqa: FBT001
    await with_agent(path, "there")
    backup = await create_backup(path, compress=compress)
    await harm(backup.path)
    with pytest.raises(BackupError):
        await verify_backup(backup.path)
    with pytest.raises(BackupError):
        await restore_backup(backup.path, path)

    assert await names_in(path) == ["there"]
    assert [file.name for file in path.parent.iterdir() if "restor" in file.name] == []


@pytest.mark.parametrize("content", [b"", b"no database at all" * 400])
async def test_a_foreign_file_is_refused_even_with_a_fitting_manifest(path: Path, content: bytes) -> None:
    backup = await create_backup(path)
    backup.path.write_bytes(content)
    manifest = backup.path.with_name(backup.path.name + ".json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"sha256": hashlib.sha256(content).hexdigest()}))
    with pytest.raises(BackupError, match=r"damaged|no database"):
        await restore_backup(backup.path, path)


async def test_a_database_that_somebody_has_open_is_not_replaced(em: EntityManager, path: Path) -> None:
    backup = await create_backup(path)
    await em.agents.create({"name": "working"})
    with pytest.raises(DatabaseBusyError, match="in use"):
        await restore_backup(backup.path, path)

    assert [agent.name for agent in await em.agents.find()] == ["working"]


async def test_a_stale_log_is_not_read_into_the_restored_database(path: Path) -> None:
    await with_agent(path, "kept")
    backup = await create_backup(path)
    await with_agent(path, "lost")
    # As a killed process leaves them.
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).write_bytes(b"\0" * 8192)
    path.write_bytes(b"damaged beyond repair" * 1_000)
    kept = await restore_backup(backup.path, path)

    assert await names_in(path) == ["kept"]
    assert kept is not None
    assert kept.read_bytes().startswith(b"damaged")


async def test_an_older_backup_is_migrated(path: Path) -> None:
    await with_agent(path, "old")
    await run_migrations(path, target_version=8)
    backup = await create_backup(path)
    assert backup.revision == "0008"
    await restore_backup(backup.path, path, migrate=False)
    with pytest.raises(SchemaMismatchError):
        await DatabaseManager(path, auto_migrate=False).connect()
    await restore_backup(backup.path, path)

    async with DatabaseManager(path, auto_migrate=False) as db:
        assert [agent.name for agent in await EntityManager(db).agents.find()] == ["old"]


async def test_a_backup_of_a_newer_version_is_refused(path: Path) -> None:
    backup = await create_backup(path)
    manifest = backup.path.with_name(backup.path.name + ".json")
    connection = sqlite3.connect(backup.path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    changed = {"sha256": hashlib.sha256(backup.path.read_bytes()).hexdigest(), "revision": "9999"}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changed))
    with pytest.raises(SchemaMismatchError, match="9999"):
        await restore_backup(backup.path, path)


async def test_a_damaged_database_gives_no_backup(path: Path, tmp_path: Path) -> None:
    await with_agent(path, "there")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'agents'").fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : (root - 1) * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(BackupError, match="damaged"):
        await create_backup(path, tmp_path / "kept")

    assert list((tmp_path / "kept").iterdir()) == []


async def test_no_database_gives_no_backup(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no database"):
        await create_backup(tmp_path / "absent.db")
    assert not (tmp_path / "absent.db").exists()


async def test_a_cancelled_backup_leaves_nothing(path: Path, tmp_path: Path) -> None:
    task = asyncio.create_task(create_backup(path, tmp_path / "kept"))
    while not (tmp_path / "kept").exists():  # noqa: ASYNC110 (a folder tells nobody that it is there)
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert list_backups(tmp_path / "kept") == []
    assert [file for file in (tmp_path / "kept").iterdir() if file.suffix == ".json"] == []


async def test_a_packed_backup_is_the_file_itself(path: Path) -> None:
    backup = await create_backup(path, compress=True)
    assert gzip.decompress(backup.path.read_bytes()).startswith(b"SQLite format 3\0")


@pytest.mark.parametrize("stem", ["../../outside", "a/b", "..", "-rf", ".hidden"])
async def test_a_name_cannot_leave_its_folder(path: Path, tmp_path: Path, stem: str) -> None:
    odd = tmp_path / "odd" / stem.replace("/", "_").replace("..", "__")
    odd.parent.mkdir()
    odd.write_bytes(path.read_bytes())
    backup = await create_backup(odd, tmp_path / "kept")
    assert backup.path.parent == tmp_path / "kept"


async def test_a_database_is_copied_before_it_migrates(path: Path) -> None:
    await with_agent(path, "old")
    await run_migrations(path, target_version=8)
    settings = DatabaseSettings(backup_before_migration=True)
    async with DatabaseManager(path, settings=settings):
        pass
    async with DatabaseManager(path, settings=settings):
        pass

    (saved,) = list_backups(path.parent / "backups")
    assert saved.revision == "0008"
    await restore_backup(saved.path, path, migrate=False)
    assert (await verify_backup(saved.path)).tables["agents"] == 1


async def test_a_database_that_cannot_be_copied_does_not_migrate(path: Path) -> None:
    await run_migrations(path, target_version=8)
    (path.parent / "backups").write_text("no folder")
    with pytest.raises(AgentSystemError, match="backups"):
        await run_migrations(path, settings=DatabaseSettings(backup_before_migration=True))
    with pytest.raises(SchemaMismatchError, match="0008"):
        await DatabaseManager(path, auto_migrate=False).connect()
