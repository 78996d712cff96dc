"""`import_legacy`: one file of an older system into the database, or a preview of it."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from agent_system.clock import utc_now
from agent_system.database.dialects.registry import private_copy
from agent_system.database.driver import sqlite
from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.errors import ImportFileError
from agent_system.importers.legacy.engine import FileImport
from agent_system.importers.legacy.recognition import recognise
from agent_system.importers.legacy.report import FileReport
from agent_system.importers.legacy.source import opened
from agent_system.importers.legacy.systems.known import SYSTEMS
from agent_system.importers.legacy.tables import tables_of
from agent_system.settings import Durability

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from agent_system.importers.legacy.description import System

__all__ = ["import_legacy"]

# A preview is one transaction, however large the file; it is rolled back.
PREVIEW_SECONDS = 24 * 3600.0


class _PreviewOverError(Exception):
    """Takes a preview back."""


async def import_legacy(
    em: EntityManager,
    path: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    zone: tzinfo = UTC,
    systems: Sequence[System] = SYSTEMS,
    clock: Callable[[], datetime] = utc_now,
    progress: Callable[[str, int, int], None] | None = None,
    rejected: Callable[[str, int, str, Mapping[str, Any]], None] | None = None,
) -> FileReport:
    """Bring a database of an older system over; what is here already is not brought again.

    The file is only read, and only in a copy, for which the temporary folder (`TMPDIR`) needs the room. Each page of
    rows is written with its entries in the books in one transaction, so that an import that was killed goes on where it
    was. A row that was brought over is known by what never changes in it; what its system has changed in it since does
    not follow, because it may have been worked on here.

    Args:
        em: The facade over a connected database.
        path: The file.
        dry_run: Do everything in a copy of the database, or on a server in a transaction that is taken back; nobody is
            kept from writing, and the temporary folder needs room for the copy.
        zone: Where the clocks stood that wrote moments without a zone.
        systems: The systems that a file may belong to.
        clock: Tells the present.
        progress: Called with a table, the rows of the file that are done, and all of them.
        rejected: Called with a table, a rowid, the reason and the values of every row that is rejected.

    Raises:
        ImportFileError: The file cannot be read, or belongs to no system that is known; nothing was written.
        DatabaseError: The database refused; what was written until then stays, and the next import goes on behind it.
    """
    path = Path(path)
    _refuse_open_database(em, path)
    async with opened(path) as file:
        try:
            tables = await asyncio.to_thread(tables_of, file.connection)
        except sqlite.DatabaseError as exc:
            message = f"{path}: its schema cannot be read ({exc})"
            raise ImportFileError(message, path=str(path)) from exc
        system = recognise(path, tables, systems)
        if system is None:
            return FileReport(path=str(path), system="empty", digest=file.digest, is_preview=dry_run)
        run_options: dict[str, Any] = {"zone": zone, "clock": clock, "progress": progress, "rejected": rejected}
        if not dry_run:
            return await FileImport(em, file, system, tables, **run_options).run()
        async with _preview(em) as other:
            report = await FileImport(other, file, system, tables, **run_options).run()
        report.is_preview = True
        return report


@asynccontextmanager
async def _preview(em: EntityManager) -> AsyncIterator[EntityManager]:
    """Give a facade of its own, over what nobody keeps: a copy, or a transaction that is rolled back."""
    with tempfile.TemporaryDirectory(prefix="agent_system_preview_", ignore_cleanup_errors=True) as folder:
        copy = await private_copy(em.db.url, Path(folder))
        if copy is not None:
            # The power may fail: nobody will want it.
            settings = em.db.settings.model_copy(update={"durability": Durability.NORMAL})
            async with DatabaseManager(str(copy), settings=settings, auto_migrate=False) as db:
                yield EntityManager(db)
            return
    limits = {"transaction_warn_seconds": PREVIEW_SECONDS / 2, "transaction_timeout_seconds": PREVIEW_SECONDS}
    settings = em.db.settings.model_copy(update=limits)
    url = em.db.url.render_as_string(hide_password=False)
    async with DatabaseManager(url, settings=settings, auto_migrate=False) as db:
        with suppress(_PreviewOverError):
            async with db.transaction():
                yield EntityManager(db)
                _take_back()


def _take_back() -> NoReturn:
    raise _PreviewOverError


def _refuse_open_database(em: EntityManager, path: Path) -> None:
    """Closing any descriptor of an open SQLite file drops its locks, so a mistaken argument must not be opened."""
    database = em.db.url.database
    if database is None or not path.exists():
        return
    for suffix in ("", "-wal", "-shm"):
        other = Path(database + suffix)
        if other.exists() and path.samefile(other):
            message = f"{path}: is the open database itself"
            raise ImportFileError(message, path=str(path))
