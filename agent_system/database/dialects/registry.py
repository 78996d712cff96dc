"""Which backend stands behind a URL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from agent_system.database.dialects.postgresql import PostgresBackend
from agent_system.database.dialects.sqlite import SqliteBackend
from agent_system.database.dialects.sqlite_files import copy_file, prepare_sqlite_url
from agent_system.database.translate import translated

if TYPE_CHECKING:
    from sqlalchemy import URL

    from agent_system.database.dialects.base import Backend
    from agent_system.settings import DatabaseSettings

__all__ = ["prepare_backend", "private_copy", "writes_side_by_side"]


def prepare_backend(url: URL, settings: DatabaseSettings, *, makes: bool) -> tuple[URL, Backend]:
    """Make the backend for a URL of `resolve_url`, not yet open.

    Args:
        url: The database.
        settings: How it is used.
        makes: Whether a SQLite file that is not there is made.

    Returns:
        The URL of the database itself (that of a file, for `:memory:`), and the backend.

    Raises:
        DatabaseUnavailableError: A SQLite path is a folder, or its folder cannot be made.
    """
    if url.get_backend_name() == "sqlite":
        url, temporary = prepare_sqlite_url(url, settings, makes=makes)
        return url, SqliteBackend(url, settings, temporary)
    return url, PostgresBackend(url, settings)


async def private_copy(url: URL, folder: Path) -> Path | None:
    """Copy a database as it is now into a folder, for changes that nobody else shall see or wait for.

    Args:
        url: The database of a connected manager; it stays in use.
        folder: Where the copy goes.

    Returns:
        The copy; None on a server, where a transaction that is rolled back is as good.

    Raises:
        DatabaseError: It cannot be copied.
    """
    if url.get_backend_name() != "sqlite":
        return None
    copy = folder / "copy.db"
    with translated():
        await asyncio.to_thread(copy_file, Path(str(url.database)), copy)
    return copy


def writes_side_by_side(url: URL) -> bool:
    """Whether two transactions of one process can write at the same time; SQLite's would wait for each other."""
    return url.get_backend_name() != "sqlite"
