"""Moving the write-ahead log into the database file, safely on libraries with the WAL-reset bug.

SQLite 3.7.0 to 3.51.2 (but for 3.44.6 and 3.50.7) can corrupt a file when a checkpoint runs beside a commit of another
connection. On such a library the automatic checkpoint is off in every connection, and this task runs passive ones while
it holds the write lock, so that no commit of any process that uses this layer happens beside them.

What a checkpoint takes is the sync of the database file rather than the pages, of which a long log has many versions:
one at 8,000 pages took 22 ms and one at 2,000 pages 12, so that writing stood still for 8 instead of 14 % of the time
(64 coroutines, durability normal; one: 2 instead of 4.5 %).

A commit that writes over what is left of an old log takes two thirds of the time of one that makes the file longer: for
that the file system has to find room and, at durability full, to write its own journal (on ext4: 23 pages, 0.15
against 0.24 ms). So where the log's index tells how much of it is in use, the file keeps its length.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from agent_system.database.driver import library_verdict, sqlite
from agent_system.database.lanes import uncancelled
from agent_system.database.wal_index import descriptor_of
from agent_system.errors import DatabaseBusyError
from agent_system.settings import Durability

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from agent_system.database.lanes import Lane
    from agent_system.database.turns import Turn
    from agent_system.database.wal_index import WalIndex
    from agent_system.settings import DatabaseSettings

__all__ = ["Checkpointer"]

logger = logging.getLogger(__name__)

PAGE_BYTES = 4096
# How long a log may stay, in times the number of pages: a checkpoint is due at twice as many, and while it waits for
# its turn a few more are written. What only a reader made it grow to is given back.
KEPT = 3


class Checkpointer:
    """Runs a checkpoint in the background when the log has grown beyond its limit."""

    def __init__(
        self,
        path: str,
        turn: Turn,
        lanes: Callable[[], tuple[Lane, Lane]],
        *,
        settings: DatabaseSettings,
        index: WalIndex | None = None,
    ) -> None:
        pages = settings.checkpoint_pages
        self._is_log_synced = settings.durability is Durability.FULL
        self._wal_path = f"{path}-wal"
        self._index = index
        self._turn = turn
        # The writer's and another one; asked for each time, because a broken one is replaced.
        self._lanes = lanes
        # Without an index, a log that is begun anew is cut back to `journal_size_limit`, half as many pages; so
        # a file of this size means that as many pages have been written since.
        self._first_try = 2 * pages
        self._next_try = self._first_try
        self._kept_bytes = KEPT * pages * PAGE_BYTES
        self._needed = library_verdict().has_wal_reset_bug or settings.writes_inline
        self._task: asyncio.Task[None] | None = None

    def consider(self) -> None:
        """Start a checkpoint when it is due; costs a look into the index, or one `stat`."""
        if not self._needed or self._task is not None:
            return
        pages = self._wal_pages() if self._index is None else self._index.frames()
        if pages < self._first_try:
            self._next_try = self._first_try
        elif pages >= self._next_try:
            # While a reader keeps the log from being reset, not every commit shall try again.
            self._next_try = pages + self._first_try
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Wait for a running checkpoint."""
        if self._task is not None:
            await self._task

    def keep_length(self, writer: sqlite3.Connection) -> None:
        """Let the log keep its length when this connection begins it anew; to be called on the connection's thread."""
        if self._needed and self._index is not None:
            writer.execute(f"PRAGMA journal_size_limit = {self._kept_bytes}").fetchall()

    def _wal_pages(self) -> int:
        try:
            return os.stat(self._wal_path).st_size // PAGE_BYTES  # noqa: PTH116 (never open() beside SQLite: it drops its locks)
        except FileNotFoundError:
            return 0

    async def _run(self) -> None:
        try:
            if not self._is_log_synced:
                await asyncio.to_thread(_sync, self._wal_path)
            await self.checkpoint()
        except (DatabaseBusyError, sqlite.Error, ValueError) as exc:  # ValueError: a connection that is just replaced
            logger.warning("checkpoint put off: %s", exc)
        finally:
            self._task = None

    async def checkpoint(self) -> tuple[int, int]:
        """Run a passive checkpoint under the write lock; who is cancelled meanwhile leaves when it is over.

        Returns:
            Pages in the log, and pages of it that are in the database file now.
        """
        writer = await self._turn.begin_on(lambda: self._lanes()[0])
        # Given up, it would go on beside the commits of others.
        return await uncancelled(self._checkpoint_beside(writer))

    async def _checkpoint_beside(self, writer: Lane) -> tuple[int, int]:
        """Run it while a lane holds the lock, and end that."""
        other = self._lanes()[1]
        try:
            return await other.run(_checkpoint, other)
        finally:
            # A disk that fails here too must not keep everybody from writing.
            try:
                await writer.run(writer.raw.rollback)
            finally:
                self._turn.release()


def _sync(wal_path: str) -> None:
    """Sync the log while others write to it, so that the checkpoint, beside which nobody writes, has little to sync."""
    descriptor = descriptor_of(os.path.realpath(wal_path))
    # By SQLite's own descriptor: to close another one would drop its locks. It may be closed at any moment.
    with suppress(OSError):
        if descriptor is not None:
            os.fsync(descriptor)


def _checkpoint(lane: Lane) -> tuple[int, int]:
    _busy, in_log, moved = lane.raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return in_log, moved
