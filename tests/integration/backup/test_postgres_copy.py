"""Backups of PostgreSQL where its programs are not found: a copy of our own, of one snapshot."""

from __future__ import annotations

import asyncio
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import DatabaseManager, EntityManager
from agent_system.backup import create_backup, list_backups, restore_backup, verify_backup
from agent_system.database.migrations import run_migrations
from agent_system.errors import BackupError, DuplicateKeyError
from agent_system.models import metadata
from tests.planted import plant, read_all

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the programs of PostgreSQL be nowhere."""
    folder = tmp_path / "nothing"
    folder.mkdir()
    monkeypatch.setenv("AGENT_SYSTEM_PG_BIN", str(folder))


async def everything(url: str) -> dict[str, Any]:
    async with DatabaseManager(url, auto_migrate=False) as db, db.session(read_only=True) as session:
        return await (await session.connection()).run_sync(read_all)


async def test_every_row_of_every_table_comes_back(
    migrated_postgresql_url: str, postgres_url: str, tmp_path: Path
) -> None:
    async with DatabaseManager(migrated_postgresql_url, auto_migrate=False) as db:
        async with db.session() as session:
            await (await session.connection()).run_sync(partial(plant, tables=set(metadata.tables)))
            await session.commit()
        em = EntityManager(db)
        await em.memories.remember("u", "what was \t\\N \n said \ud800\0")
        newest = await em.events.log("before.backup")
    before = await everything(migrated_postgresql_url)
    backup = await create_backup(migrated_postgresql_url, tmp_path / "copies", compress=True)
    assert backup.path.suffix == ".copy"
    assert await verify_backup(backup.path) == backup
    assert backup.tables["agents"] == len(before["agents"])
    assert [one.path for one in list_backups(tmp_path / "copies")] == [backup.path]
    assert backup.path.stat().st_mode & 0o777 == 0o600

    # Into the same database, over other rows, with what was there kept.
    async with DatabaseManager(migrated_postgresql_url, auto_migrate=False) as db:
        await EntityManager(db).agents.create({"name": "later"})
    kept = await restore_backup(backup.path, migrated_postgresql_url)
    assert kept is not None
    assert (await verify_backup(kept)).tables["agents"] == len(before["agents"]) + 1
    assert await everything(migrated_postgresql_url) == before

    # Into an empty one; keys go on where they were, triggers and foreign keys are at work again.
    assert await restore_backup(backup.path, postgres_url) is None
    assert await everything(postgres_url) == before
    async with DatabaseManager(postgres_url, auto_migrate=False) as db:
        em = EntityManager(db)
        event = await em.events.log("after.restore")
        assert event.id > newest.id
        assert [hit.item.content for hit in await em.memories.search("what was said", user_id="u")]
        with pytest.raises(DuplicateKeyError):
            await em.db.write(lambda executor: executor.execute(_again(before["agents"][0][0])))


def _again(key: Any) -> Any:
    return metadata.tables["agents"].insert().values(id=key, name="x", name_key="x")


async def test_a_copy_is_of_one_moment(migrated_postgresql_url: str, tmp_path: Path) -> None:
    async with DatabaseManager(migrated_postgresql_url, auto_migrate=False) as db:
        em = EntityManager(db)

        async def write() -> None:
            number = 0
            while True:
                number += 1
                async with db.transaction():
                    agent = await em.agents.create({"name": f"agent-{number}"})
                    await em.conversations.create({"agent_id": agent.id, "title": "one each"})

        writing = asyncio.create_task(write())
        backup = await create_backup(migrated_postgresql_url, tmp_path)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert backup.tables["agents"] == backup.tables["conversations"]


@pytest.mark.full
async def test_an_older_copy_is_migrated(migrated_postgresql_url: str, postgres_url: str, tmp_path: Path) -> None:
    await run_migrations(postgres_url, 16)
    backup = await create_backup(postgres_url, tmp_path)
    assert backup.revision == "0016"
    await restore_backup(backup.path, migrated_postgresql_url)
    async with DatabaseManager(migrated_postgresql_url, auto_migrate=False) as db:
        await EntityManager(db).agents.create({"name": "a"})


async def test_what_is_no_longer_what_was_written_is_refused(migrated_postgresql_url: str, tmp_path: Path) -> None:
    backup = await create_backup(migrated_postgresql_url, tmp_path)
    whole = backup.path.read_bytes()
    backup.path.write_bytes(whole[:-100])
    with pytest.raises(BackupError, match="hash"):
        await restore_backup(backup.path, migrated_postgresql_url)
    backup.path.write_bytes(whole)
    with zipfile.ZipFile(backup.path) as archive:
        assert archive.testzip() is None


async def test_what_is_none_of_ours_is_not_copied(postgres_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="none of agent_system"):
        await create_backup(postgres_url, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["nothing"]
