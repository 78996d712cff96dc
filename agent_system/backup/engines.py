"""What an engine's backups have to offer: the two ways of copying stand behind these names."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent_system.backup.archive import name_backup
from agent_system.backup.postgres import PostgresBackups
from agent_system.database.child import ask
from agent_system.errors import BackupError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import URL

    from agent_system.backup.archive import Backup

__all__ = ["BackupEngine", "SqliteBackups", "backups_of"]

FOLDER = "backups"


class BackupEngine(Protocol):
    """Copies, checks and puts back the databases of one engine."""

    def folder(self, url: URL) -> Path:
        """Where the backups of a database are unless somebody says otherwise."""

    def file_name(self, stem: str, moment: datetime, *, compress: bool) -> str:
        """How a new backup is called."""

    async def copy(self, url: URL, path: Path, moment: datetime, *, compress: bool) -> None:
        """Write a verified copy with its manifest."""

    async def verify(self, backup: Backup) -> None:
        """Check that a backup is what was written, and that it is sound."""

    async def restore(self, url: URL, backup: Backup, moment: datetime) -> Path | None:
        """Put a backup in a database's place; return where the database is that was there."""


class SqliteBackups:
    """SQLite: a child process copies the file through the library's backup interface."""

    def folder(self, url: URL) -> Path:
        """Beside the file."""
        return Path(str(url.database)).absolute().parent / FOLDER

    def file_name(self, stem: str, moment: datetime, *, compress: bool) -> str:
        """A database file, packed or not."""
        return name_backup(stem, moment, ".db.gz" if compress else ".db")

    async def copy(self, url: URL, path: Path, moment: datetime, *, compress: bool) -> None:
        """Copy the file in one snapshot."""
        source = Path(str(url.database))
        if not await asyncio.to_thread(source.is_file):
            message = f"there is no database {source}"
            raise BackupError(message, path=str(source))
        options = {"created_at": moment.isoformat(), "gzip": compress, "whole": True}
        await ask("copy", source=str(source), target=str(path), **options)

    async def verify(self, backup: Backup) -> None:
        """Check the hash, SQLite's own structures, the foreign keys and the number of rows."""
        found = await ask("verify", backup=str(backup.path), sha256=backup.sha256)
        if found["tables"] != backup.tables or found["revision"] != backup.revision:
            message = f"{backup.path.name} does not hold what its manifest says"
            raise BackupError(message, path=str(backup.path))

    async def restore(self, url: URL, backup: Backup, moment: datetime) -> Path | None:
        """Replace the file; the one that was there keeps its content under another name."""
        target = Path(str(url.database))
        kept = target.with_name(name_backup(f"{target.name}.before-restore", moment, ".db"))
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        there = await asyncio.to_thread(target.exists)
        await ask("restore", backup=str(backup.path), target=str(target), sha256=backup.sha256, kept_as=str(kept))
        return kept if there else None


_ENGINES: dict[str, BackupEngine] = {"sqlite": SqliteBackups(), "postgresql": PostgresBackups(FOLDER)}


def backups_of(engine: str) -> BackupEngine:
    """How an engine's databases are backed up."""
    return _ENGINES[engine]
