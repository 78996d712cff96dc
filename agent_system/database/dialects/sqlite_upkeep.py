"""The upkeep of a SQLite file: a short log, fresh statistics, free pages given back; and who is in the way of it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from agent_system.database.checkpoints import Checkpointer
from agent_system.database.driver import is_busy, sqlite
from agent_system.database.lock_holders import readers_of
from agent_system.database.translate import translated

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from agent_system.database.lanes import Lane
    from agent_system.database.readings import Readings
    from agent_system.database.turns import Turn
    from agent_system.settings import DatabaseSettings

__all__ = ["SqliteUpkeep"]

logger = logging.getLogger(__name__)

PAGE_BYTES = 4096
MIB = 1 << 20
# https://sqlite.org/pragma.html#pragma_optimize: long-running programs call it "every few hours"; the limit of rows
# that it looks at keeps it short.
OPTIMIZE_SECONDS = 3_600.0
ANALYSIS_LIMIT = 400
# A log of so many times the size at which a checkpoint is due has something that keeps it from being reset.
OVERSIZE = 4
# Free pages are given back when there are many, a few at a time: 200 pages take some 5 ms.
FREE_PAGES_KEPT = 1_000
FREE_PAGES_AT_ONCE = 200
STEPS_AT_ONCE = 50


class SqliteUpkeep:
    """Keeps one file in order.

    Args:
        path: The file.
        turn: The turn to write.
        lanes: The writer's lane and another one; asked for each time, because a broken one is replaced.
        readings: The reading sessions of this process.
        settings: How long the log may be, and when a checkpoint is due.
    """

    def __init__(
        self,
        path: str,
        turn: Turn,
        lanes: Callable[[], tuple[Lane, Lane]],
        readings: Readings,
        settings: DatabaseSettings,
    ) -> None:
        self._path = path
        self._turn = turn
        self._lanes = lanes
        self._checkpointer = Checkpointer(path, turn, lanes, settings=settings)
        self._readings = readings
        self._wal_limit = settings.wal_limit_mib * MIB
        self._oversize = OVERSIZE * 2 * settings.checkpoint_pages * PAGE_BYTES
        self._optimized_at: float | None = None

    async def run(self, now: float) -> None:
        """Do what is due.

        Args:
            now: Seconds by a clock that only rises.

        Raises:
            DatabaseBusyError: The turn to write did not come in time.
        """
        with translated():
            await self._shorten_log()
            if self._optimized_at is None:
                self._optimized_at = now
            elif now - self._optimized_at >= OPTIMIZE_SECONDS:
                self._optimized_at = now
                await self._with_turn(_optimize)
            for _ in range(STEPS_AT_ONCE):
                if not await self._with_turn(_give_back):
                    break

    async def _shorten_log(self) -> None:
        """Move the log into the file under the write lock, so that the next writer begins it anew."""
        if not self._wal_bytes():
            return
        in_log, moved = await self._checkpointer.checkpoint()
        size = self._wal_bytes()
        if moved < in_log and size > self._oversize:
            self._warn_of_readers(size)

    def _warn_of_readers(self, size: int) -> None:
        own = self._readings.longest()
        named = [f"a session of task {one.task}, open for {self._readings.seconds(one):.0f} s" for one in own]
        named += [f"process {pid} ({name})" for pid, name in readers_of(self._path)]
        logger.warning(
            "the write-ahead log of %s has %d MiB and cannot be reset while it is read by %s",
            self._path,
            size // MIB,
            "; ".join(named) or "somebody who cannot be named",
        )
        if size > self._wal_limit and own:
            logger.error("the log is longer than it may be: the session of task %s is ended", own[0].task)
            own[0].end()

    async def _with_turn(self, function: Callable[[sqlite3.Connection], int]) -> int:
        await self._turn.acquire()
        try:
            lane, _ = self._lanes()
            return await lane.run(function, lane.raw)
        except sqlite.OperationalError as exc:
            if is_busy(exc):
                return 0  # another process is writing; next time, then
            raise
        finally:
            self._turn.release()

    def _wal_bytes(self) -> int:
        try:
            return os.stat(f"{self._path}-wal").st_size  # noqa: PTH116 (never open() beside SQLite)
        except FileNotFoundError:
            return 0


def _optimize(raw: sqlite3.Connection) -> int:
    raw.execute(f"PRAGMA analysis_limit = {ANALYSIS_LIMIT}").fetchall()
    raw.execute("PRAGMA optimize").fetchall()
    return 1


def _give_back(raw: sqlite3.Connection) -> int:
    """Give a few free pages back to the file system; returns whether there are more to give."""
    (free,) = raw.execute("PRAGMA freelist_count").fetchone()
    (mode,) = raw.execute("PRAGMA auto_vacuum").fetchone()
    incremental = 2  # https://sqlite.org/pragma.html#pragma_auto_vacuum
    if mode != incremental or free <= FREE_PAGES_KEPT:
        return 0
    # `execute` takes one step, which is one page: the statement has rows without columns.
    raw.executescript(f"PRAGMA incremental_vacuum({FREE_PAGES_AT_ONCE})")
    return int(free - FREE_PAGES_AT_ONCE > FREE_PAGES_KEPT)
