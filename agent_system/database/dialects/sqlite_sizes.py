"""How large the tables of a SQLite file are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError as DriverError

from agent_system.errors import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["sizes_of"]

# https://sqlite.org/dbstat.html: a virtual table that reads every page, and that not every build has.
_SIZES = text(
    """
    SELECT known.tbl_name, SUM(pages.pgsize)
    FROM dbstat AS pages JOIN sqlite_master AS known ON known.name = pages.name
    WHERE pages.aggregate = TRUE GROUP BY known.tbl_name
    """
)
_NAMES = text("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0")


async def sizes_of(engine: AsyncEngine) -> dict[str, int | None]:
    """Add up the pages of each table and its indexes; None for each where the library cannot tell.

    It runs on a connection of the sessions, because it takes long on a large file.
    """
    async with engine.connect() as connection:
        try:
            return {name: int(size) for name, size in await connection.execute(_SIZES)}
        except (DriverError, DatabaseError):
            return dict.fromkeys((await connection.execute(_NAMES)).scalars())
