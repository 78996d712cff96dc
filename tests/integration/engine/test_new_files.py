"""The files that the layer makes: nobody but their owner may read them, and none lies where it would be damaged."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from agent_system import DatabaseManager, DatabaseSettings, EntityManager
from agent_system.backup import create_backup, restore_backup, verify_backup
from agent_system.database import mounts
from agent_system.database.migrations import run_migrations
from agent_system.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHERS = 0o077


@contextmanager
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def readable_by_others(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name: oct(path.stat().st_mode) for path in files if path.stat().st_mode & OTHERS}


async def test_files_are_only_for_their_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data" / "system.db"
    with usual_umask():
        async with DatabaseManager(path) as db:
            em = EntityManager(db)
            await em.token_usage.export_to(tmp_path / "usage.csv")
            assert readable_by_others(tmp_path) == {}
            packed = await create_backup(path, compress=True)
            await create_backup(path, tmp_path / "elsewhere")
            await verify_backup(packed.path)
        await restore_backup(packed.path, path)
        await run_migrations(tmp_path / "another.db", 1)
        assert readable_by_others(tmp_path) == {}
        # A migration copies what is there.
        monkeypatch.setenv("AGENT_SYSTEM_BACKUP_BEFORE_MIGRATION", "true")
        await run_migrations(tmp_path / "another.db", 2)
    assert readable_by_others(tmp_path) == {}
    assert list((tmp_path / "backups").iterdir())


@pytest.mark.parametrize("kind", ["nfs4", "9p", "virtiofs", "fuse.sshfs", "cifs"])
async def test_a_network_file_system_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    listing = tmp_path / "mountinfo"
    remote = tmp_path / "remote"
    remote.mkdir()
    listing.write_text(f"1 0 0:1 / / rw - ext4 disk rw\n2 1 0:2 / {remote} rw shared:1 - {kind} host:/x rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", str(listing))
    with pytest.raises(DatabaseUnavailableError, match="AGENT_SYSTEM_NETWORK_FILE_SYSTEM"):
        await DatabaseManager(remote / "deep" / "system.db").connect()
    with pytest.raises(DatabaseUnavailableError, match=kind):
        await run_migrations(remote / "system.db")
    assert list(remote.iterdir()) == []


async def test_a_network_file_system_is_warned_about_when_that_is_wanted(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "system.db"
    path.write_bytes(sqlite_template.read_bytes())
    listing = tmp_path / "mountinfo"
    listing.write_text(f"2 1 0:2 / {tmp_path} rw - nfs4 host:/x rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", str(listing))
    settings = DatabaseSettings(network_file_system="warn")
    with caplog.at_level(logging.WARNING):
        async with DatabaseManager(path, settings=settings) as db:
            await EntityManager(db).agents.create({"name": "a"})
    assert "nfs4" in caplog.text
