"""Taking away what deletions leave in the files: words in full-text indexes, pages in the log, gaps inside of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.database.dialects.full_text import FULL_TEXT_INDEXES, full_text_command
from agent_system.database.driver import is_busy, sqlite
from agent_system.database.turns import Backoff

if TYPE_CHECKING:
    import sqlite3

    from agent_system.database.lanes import Lane
    from agent_system.database.turns import Turn

__all__ = ["scrub"]


async def scrub(lane: Lane, turn: Turn, lock_timeout_seconds: float, *, rebuild: bool) -> None:
    """Merge the full-text indexes, move the log into the file and cut it off; with `rebuild`, write the file anew.

    The turn keeps this process's writers away; SQLite itself holds the write lock while it cuts the log off, so that no
    commit happens beside.

    Raises:
        sqlite.Error: Another process kept the file busy for too long; run it again.
    """
    await turn.acquire()
    try:
        backoff = Backoff(lock_timeout_seconds)
        while True:
            try:
                await lane.run(_scrub, lane.raw, rebuild)
            except sqlite.Error as exc:
                if not is_busy(exc):
                    raise
            else:
                return
            await backoff.wait()
    finally:
        turn.release()


def _scrub(raw: sqlite3.Connection, rebuild: bool) -> None:  # noqa: FBT001 (passed through a lane)
    raw.execute("PRAGMA secure_delete = ON").fetchall()
    try:
        for (name,) in raw.execute(str(FULL_TEXT_INDEXES)).fetchall():
            # Deleted words stay in the index's segments until these are merged.
            command = full_text_command(name, "optimize").compile()
            raw.execute(str(command), command.params)
        if rebuild:
            raw.execute("VACUUM")
        busy, _in_log, _moved = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            message = "another connection reads the log"
            error = sqlite.OperationalError(message)
            error.sqlite_errorname = "SQLITE_BUSY"
            raise error
    finally:
        raw.execute("PRAGMA secure_delete = OFF").fetchall()
