"""Seed 000's own functions: make the database, bring token_usage.db and links.db over, and put them away.

Unlike the functions that the seed describes, these import every row once, under new keys that its references follow,
put away only what is proved to be here, and delete nothing.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.errors import ImportFileError
from agent_system.importers.legacy.running import import_legacy
from agent_system.importers.legacy.source import is_database

if TYPE_CHECKING:
    import os

    from agent_system.importers.legacy.report import FileReport

__all__ = [
    "CleanupReport",
    "MigrationReport",
    "cleanup_old_databases",
    "init_database",
    "migrate_existing_databases",
]

logger = logging.getLogger(__name__)

SEED_FILES = ("token_usage.db", "links.db")
"""What seed 000's functions look for."""
OTHER_FILES = ("system.db", "agent_system.db", "agentlab.db", "coachartie.db", "agentdb9.db")
"""How the other files of the systems that can be imported are usually called."""
BACKUP = ".backup"
# The log belongs to the file and goes first: a file that lost its log in between would look complete.
PARTS = ("-wal", "-journal", "-shm", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationReport:
    """What became of the old databases."""

    files: tuple[FileReport, ...]
    """A report for each file that was found."""

    @property
    def is_complete(self) -> bool:
        """Whether every row of every file is here."""
        return all(report.is_complete for report in self.files)


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupReport:
    """What was put away."""

    renamed: dict[Path, Path]
    """The old name and the new one of each file whose rows are all here."""
    left: dict[Path, str]
    """The files that were left where they are, with the reason."""


async def init_database(
    path_or_url: str | os.PathLike[str] | None = None, *, folder: str | os.PathLike[str] | None = None
) -> tuple[Path, ...]:
    """Make the database, or bring its schema to the newest revision; tell which old databases lie beside it.

    Args:
        path_or_url: The database; None as for `DatabaseManager`.
        folder: Where old databases may be; None is the folder of the database, or the working folder on a server.

    Returns:
        The old databases that were found, which are also logged: `agent-system import legacy` brings them over.

    Raises:
        MigrationError: The schema could not be brought to the newest revision.
    """
    async with DatabaseManager(path_or_url, auto_migrate=True) as db:
        found = await _find(db, folder, SEED_FILES + OTHER_FILES)
    for path in found:
        logger.warning("%s is a database of an older system; `agent-system import legacy` brings it over", path)
    return found


async def migrate_existing_databases(
    path_or_url: str | os.PathLike[str] | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
) -> MigrationReport:
    """Bring token_usage.db and links.db over, if they are there; what is here already is not brought again.

    Args:
        path_or_url: The database; None as for `DatabaseManager`.
        folder: Where the files are; None is the folder of the database, or the working folder on a server.
        dry_run: Do everything and take it back.

    Raises:
        ImportFileError: One of the files is not what its name says.
        DatabaseError: The database refused; another call goes on where this one ended.
    """
    async with DatabaseManager(path_or_url) as db:
        em = EntityManager(db)
        paths = await _find(db, folder, SEED_FILES)
        reports = [await import_legacy(em, path, dry_run=dry_run) for path in paths]
    return MigrationReport(files=tuple(reports))


async def cleanup_old_databases(
    path_or_url: str | os.PathLike[str] | None = None, *, folder: str | os.PathLike[str] | None = None
) -> CleanupReport:
    """Put token_usage.db and links.db away as *.backup, each only if every row of it is proved to be here.

    The proof is a preview of another import: it must find nothing to write, nothing that the file does not give away,
    and the file as it was. Rows that were rejected are in the backup, and in the report of the import. Nothing is
    deleted and nothing is overwritten.

    Args:
        path_or_url: The database; None as for `DatabaseManager`.
        folder: Where the files are; None is the folder of the database, or the working folder on a server.
    """
    renamed: dict[Path, Path] = {}
    left: dict[Path, str] = {}
    async with DatabaseManager(path_or_url) as db:
        em = EntityManager(db)
        for path in await _find(db, folder, SEED_FILES):
            reason = await _why_not(em, path)
            if reason is None:
                renamed[path] = await asyncio.to_thread(_put_away, path)
            else:
                left[path] = reason
    return CleanupReport(renamed=renamed, left=left)


async def _find(db: DatabaseManager, folder: str | os.PathLike[str] | None, names: tuple[str, ...]) -> tuple[Path, ...]:
    database = db.url.database
    if folder is None:
        folder = Path(database).parent if database is not None and db.url.host is None else Path()
    return await asyncio.to_thread(_databases, Path(folder), names, Path(database or ""))


def _databases(folder: Path, names: tuple[str, ...], own: Path) -> tuple[Path, ...]:
    # The open database is told by what it is, not by its name, and is never opened here.
    candidates = [folder / name for name in names if (folder / name).is_file()]
    others = [path for path in candidates if not (own.exists() and path.samefile(own))]
    return tuple(path for path in others if is_database(path))


async def _why_not(em: EntityManager, path: Path) -> str | None:
    """Why a file may not be put away; None when it may."""
    if await asyncio.to_thread(_backup(path).exists):
        return f"{_backup(path).name} is there already"
    try:
        report = await import_legacy(em, path, dry_run=True)
    except ImportFileError as exc:
        return str(exc)
    missing = report.total("written") + report.total("merged")
    if missing:
        return f"{missing} rows of it are not here yet"
    if any(table.losses for table in report.tables):
        return "it is damaged, and some of its rows could not be read"
    return None if report.is_unchanged and report.is_reconciled else "it is being written"


def _backup(path: Path) -> Path:
    return path.with_name(path.name + BACKUP)


def _put_away(path: Path) -> Path:
    for part in PARTS:
        file = path.with_name(path.name + part)
        if file.exists():
            file.rename(_backup(path).with_name(_backup(path).name + part))
    return _backup(path)
