"""Moving the write-ahead log into the database file, safely on libraries with the WAL-reset bug.

SQLite 3.7.0 to 3.51.2 (but for 3.44.6 and 3.50.7) can corrupt a file when a checkpoint runs beside a commit of another
connection. On such a library the automatic checkpoint is off in every connection, and this task runs passive ones while
it holds the write lock, so that no commit of any process that uses this layer happens beside them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from agent_system.database.driver import library_verdict, sqlite
from agent_system.errors import DatabaseBusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.database.lanes import Lane
    from agent_system.database.turns import Turn

__all__ = ["Checkpointer"]

logger = logging.getLogger(__name__)

PAGE_BYTES = 4096


class Checkpointer:
    """Runs a checkpoint in the background when the log has grown beyond its limit."""

    def __init__(self, path: str, turn: Turn, lanes: Callable[[], tuple[Lane, Lane]], *, pages: int) -> None:
        self._wal_path = f"{path}-wal"
        self._turn = turn
        # The writer's and another one; asked for each time, because a broken one is replaced.
        self._lanes = lanes
        # A reset log is cut back to `journal_size_limit` (the same number of pages), so a file of twice that size means
        # that as many pages have been written since the last reset.
        self._first_try_bytes = 2 * pages * PAGE_BYTES
        self._next_try_bytes = self._first_try_bytes
        self._needed = library_verdict().has_wal_reset_bug
        self._task: asyncio.Task[None] | None = None

    def consider(self) -> None:
        """Start a checkpoint when it is due; costs one `stat`."""
        if not self._needed or self._task is not None:
            return
        size = self._wal_bytes()
        if size < self._first_try_bytes:
            self._next_try_bytes = self._first_try_bytes
        elif size >= self._next_try_bytes:
            # While a reader keeps the log from being reset, not every commit shall try again.
            self._next_try_bytes = size + self._first_try_bytes
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Wait for a running checkpoint."""
        if self._task is not None:
            await self._task

    def _wal_bytes(self) -> int:
        try:
            return os.stat(self._wal_path).st_size  # noqa: PTH116 (never open() beside SQLite: it drops its locks)
        except FileNotFoundError:
            return 0

    async def _run(self) -> None:
        try:
            await self.checkpoint()
        except (DatabaseBusyError, sqlite.Error, ValueError) as exc:  # ValueError: a connection that is just replaced
            logger.warning("checkpoint put off: %s", exc)
        finally:
            self._task = None

    async def checkpoint(self) -> tuple[int, int]:
        """Run a passive checkpoint under the write lock.

        Returns:
            Pages in the log, and pages of it that are in the database file now.
        """
        writer = await self._turn.begin_on(lambda: self._lanes()[0])
        other = self._lanes()[1]
        try:
            return await other.run(_checkpoint, other)
        finally:
            # A disk that fails here too must not keep everybody from writing.
            try:
                await writer.run(writer.raw.rollback)
            finally:
                self._turn.release()


def _checkpoint(lane: Lane) -> tuple[int, int]:
    _busy, in_log, moved = lane.raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return in_log, moved
