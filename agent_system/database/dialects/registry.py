"""Which backend stands behind a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.database.dialects.postgresql import PostgresBackend
from agent_system.database.dialects.sqlite import SqliteBackend
from agent_system.database.dialects.sqlite_files import prepare_sqlite_url

if TYPE_CHECKING:
    from sqlalchemy import URL

    from agent_system.database.dialects.base import Backend
    from agent_system.settings import DatabaseSettings

__all__ = ["prepare_backend"]


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
