"""Short reads on the event loop's own thread: 5 µs for a lookup, where a hop to another thread takes 30 to 100.

A read that never leaves the thread is always coherent, but it must not hurt the loop:

- the connection never waits for a lock: when the file is busy, the read goes through the reader's lane;
- a read that takes longer than two milliseconds (cold pages, huge rows) is broken off between two rows and sent through
  the lane, and so are the following ones for a while: the loop stops for these two milliseconds and one cold page;
- reads that never suspend would starve other tasks, so now and then one yields.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from agent_system.database.driver import is_busy, open_connection, sqlite

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from agent_system.database.driver import ConnectionOptions
    from agent_system.database.plans import Plan

__all__ = ["InlineReader"]

# A read that is slower than this does not go on on the loop's thread. A warm lookup takes 0.005 ms, 50 warm messages
# 0.2 ms, a page from an SSD 0.1 ms, from a spinning or remote disk about 10 ms.
SLOW_READ_SECONDS = 0.002
# For how long reads take the lane after a slow or busy one: shortly at first, for a read may be slow only because the
# processor was busy, and twice as long with each that follows soon.
PAUSE_SECONDS = 0.01
PAUSE_LIMIT_SECONDS = 1.0
READS_UNTIL_FORGIVEN = 256
# How many of SQLite's virtual instructions lie between two looks at the clock: a row of 40 columns is about 50.
INSTRUCTIONS_BETWEEN_LOOKS = 200
# 32 lookups of 10 µs keep the loop for a third of a millisecond.
READS_BETWEEN_YIELDS = 32


class InlineReader:
    """A connection of the event loop's own thread, for lookups by key."""

    def __init__(self, database: str, options: ConnectionOptions) -> None:
        self._raw: sqlite3.Connection = open_connection(database, options)
        self._raw.execute("PRAGMA busy_timeout = 0")
        self._raw.execute("PRAGMA query_only = ON")
        self._raw.set_progress_handler(self._is_late, INSTRUCTIONS_BETWEEN_LOOKS)
        self._deadline = 0.0
        self._paused_until = 0.0
        self._pause_seconds = PAUSE_SECONDS
        self._until_forgiven = 0
        self._until_yield = READS_BETWEEN_YIELDS
        self.reads = 0
        """How many lookups were answered here."""
        self.refusals = 0
        """How many were sent to the lane."""

    async def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any] | None:
        """Run a short read; None when it has to go through the lane."""
        started = time.perf_counter()
        if started < self._paused_until:
            self.refusals += 1
            return None
        self._deadline = started + SLOW_READ_SECONDS
        try:
            rows = self._raw.execute(plan.sql, parameters).fetchall()
        except sqlite.OperationalError as exc:
            if not is_busy(exc) and exc.sqlite_errorname != "SQLITE_INTERRUPT":
                raise
            self._pause(started)
            return None
        self.reads += 1
        self._until_forgiven -= 1
        if self._is_late():
            self._pause(started)
        self._until_yield -= 1
        if not self._until_yield:
            self._until_yield = READS_BETWEEN_YIELDS
            await asyncio.sleep(0)
        return rows

    def _is_late(self) -> bool:
        return time.perf_counter() > self._deadline

    def _pause(self, now: float) -> None:
        self.refusals += 1
        is_again = self._until_forgiven > 0
        self._pause_seconds = min(self._pause_seconds * 2, PAUSE_LIMIT_SECONDS) if is_again else PAUSE_SECONDS
        self._until_forgiven = READS_UNTIL_FORGIVEN
        self._paused_until = now + self._pause_seconds

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()
