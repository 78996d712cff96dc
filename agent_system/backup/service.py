"""Making, checking and restoring backups of a database, whichever engine it is on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from agent_system.backup.archive import prune, read_manifest
from agent_system.backup.engines import backups_of
from agent_system.clock import utc_now
from agent_system.database.engine import resolve_url
from agent_system.database.migrations import run_migrations
from agent_system.database.revisions import revision_history
from agent_system.errors import BackupError, SchemaMismatchError, ValidationError
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import URL

    from agent_system.backup.archive import Backup

__all__ = ["backup_folder", "create_backup", "restore_backup", "verify_backup"]


async def create_backup(
    path_or_url: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    *,
    compress: bool = False,
    keep: int | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Backup:
    """Copy a database while others write to it, verify the copy, and give it its name.

    A backup without its final name is not finished and is never listed. Only the owner may read it (0600).

    Args:
        path_or_url: The database; None takes what the settings say.
        folder: Where to; None is `backups` beside the file, or in the working folder for a server.
        compress: Whether the file is packed with gzip.
        keep: How many backups of this database stay, this one included; None keeps all.
        clock: Where the moment in the name comes from.

    Raises:
        BackupError: There is nothing to copy, the copy is not sound, or the folder cannot be written to.
        DatabaseBusyError: The database was locked for too long.
        ValidationError: `keep` is below 1.
    """
    if keep is not None and keep < 1:
        message = "keep must be at least 1: the backup that is made is one of them"
        raise ValidationError(message, field="keep")
    url = resolve_url(path_or_url, DatabaseSettings())
    backups = backups_of(url.get_backend_name())
    place = Path(folder) if folder is not None else backups.folder(url)
    moment = clock()
    stem = stem_of(url)
    path = place / backups.file_name(stem, moment, compress=compress)
    await asyncio.to_thread(_make_folder, place)
    await backups.copy(url, path, moment, compress=compress)
    backup = await asyncio.to_thread(read_manifest, path)
    if keep is not None:
        await asyncio.to_thread(prune, place, stem, keep)
    return backup


async def verify_backup(path: str | os.PathLike[str]) -> Backup:
    """Check that a backup is what was written, that it is sound, and that it holds what its manifest says.

    Raises:
        BackupError: It is not; the message says what is wrong.
    """
    backup = await asyncio.to_thread(read_manifest, Path(path))
    await backups_of(backup.engine).verify(backup)
    return backup


async def restore_backup(
    path: str | os.PathLike[str],
    path_or_url: str | os.PathLike[str] | None = None,
    *,
    migrate: bool = True,
    clock: Callable[[], datetime] = utc_now,
) -> Path | None:
    """Put a backup in the place of a database that nobody has open; the one that was there is kept.

    Args:
        path: The backup.
        path_or_url: The database; None takes what the settings say.
        migrate: Whether a backup of an older revision is brought to the newest one.
        clock: Where the moment in the name of the kept database comes from.

    Returns:
        Where the database is that was there before; None when there was none.

    Raises:
        BackupError: The backup is not sound, or is of another engine; nothing was changed.
        SchemaMismatchError: It was made by a newer version; nothing was changed.
        DatabaseBusyError: Somebody has the database open; nothing was changed.
    """
    backup = await verify_backup(path)
    url = resolve_url(path_or_url, DatabaseSettings())
    if backup.engine != url.get_backend_name():
        message = f"{backup.path.name} is a backup of {backup.engine}, the database is on {url.get_backend_name()}"
        raise BackupError(message, path=str(backup.path))
    history = revision_history()
    if backup.revision is not None and backup.revision not in history:
        message = f"{backup.path.name} is at revision {backup.revision}; this version only knows up to {history[-1]}"
        raise SchemaMismatchError(message)
    kept = await backups_of(backup.engine).restore(url, backup, clock())
    if migrate and backup.revision != history[-1]:
        await run_migrations(url.render_as_string(hide_password=False))
    return kept


def backup_folder(url: URL) -> Path:
    """Where the backups of a database are unless somebody says otherwise."""
    return backups_of(url.get_backend_name()).folder(url)


def stem_of(url: URL) -> str:
    """How the backups of a database are called."""
    return Path(str(url.database or "database")).stem


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        message = f"the folder {folder} cannot be made: {exc.strerror}"
        raise BackupError(message, path=str(folder)) from exc
