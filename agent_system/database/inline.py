"""Short reads on the event loop's own thread: 5 µs for a lookup, where a hop to another thread takes 30 to 100.

A read that never leaves the thread is always coherent, but it must not hurt the loop:

- the connection never waits for a lock: when the file is busy, the read goes through the reader's lane;
- a read that takes longer than two milliseconds (cold pages, huge rows) is broken off between two rows and sent through
  the lane, and so are the following ones for a while. What counts is the thread's own time, at work or waiting for a
  disk: on a busy machine a lookup that was only set aside is not slow, and the lane would be set aside as well;
- reads that never suspend would starve other tasks, so now and then one yields, at the latest after two milliseconds.

So the loop stops for four milliseconds and one more row at the longest, and for one lookup of each further task; not
counted what the system gives to others meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from agent_system.database.driver import is_broken, is_busy, open_connection, sqlite
from agent_system.database.own_time import OwnTime

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from agent_system.database.driver import ConnectionOptions
    from agent_system.database.plans import Plan

__all__ = ["Courtesy", "InlineReader"]

# A read that is slower than this does not go on on the loop's thread. A warm lookup takes 0.005 ms, 50 warm messages
# 0.2 ms, a page from an SSD 0.1 ms, from a spinning or remote disk about 10 ms.
SLOW_READ_SECONDS = 0.002
# For how long reads take the lane after a slow or busy one: shortly at first, for a read may be slow only because its
# pages were read for the first time, and twice as long with each that follows soon.
PAUSE_SECONDS = 0.01
PAUSE_LIMIT_SECONDS = 1.0
READS_UNTIL_FORGIVEN = 256
# How many of SQLite's virtual instructions lie between two looks at the clock: a row of 40 columns is about 50.
INSTRUCTIONS_BETWEEN_LOOKS = 200
# 64 lookups of 10 µs keep the loop for two thirds of a millisecond.
READS_BETWEEN_YIELDS = 64
# A write is told of after three or four rounds of the loop, so that all that lengthens one delays it as many times.
READS_BESIDE_WRITES = 2


class Courtesy:
    """Tells after which of the reads that do not suspend the other tasks shall have their turn.

    Args:
        is_written: Tells whether somebody waits for a write.
    """

    __slots__ = ("_is_over", "_is_written", "_left", "stopped_seconds")

    def __init__(self, is_written: Callable[[], bool]) -> None:
        self._is_written = is_written
        self._is_over, self._left = False, READS_BETWEEN_YIELDS
        self.stopped_seconds = 0.0
        """How long reads have stopped the loop since others had their turn; who reads adds to it."""

    def is_due(self) -> bool:
        """Count a read that is to be; whether it is time to let the others run before."""
        if self._is_over:
            return True
        self._left -= 1
        if self._left > 0 and self.stopped_seconds < SLOW_READ_SECONDS:
            return False
        try:
            asyncio.get_running_loop().call_soon(self._begin)
        except RuntimeError:
            return False  # The child of a fork, which has no loop and reads nothing.
        # For everybody who reads in this iteration of the loop, or each of many tasks would take as much of it.
        self._is_over = True
        return True

    def _begin(self) -> None:
        self._is_over = False
        self._left = READS_BESIDE_WRITES if self._is_written() else READS_BETWEEN_YIELDS
        self.stopped_seconds = 0.0


class InlineReader:
    """A connection of the event loop's own thread, for lookups by key."""

    def __init__(self, database: str, options: ConnectionOptions, courtesy: Courtesy) -> None:
        self._raw: sqlite3.Connection = open_connection(database, options)
        self._raw.execute("PRAGMA busy_timeout = 0")
        self._raw.execute("PRAGMA query_only = ON")
        self._raw.set_progress_handler(self._is_late, INSTRUCTIONS_BETWEEN_LOOKS)
        self._deadline = 0.0
        self._own = OwnTime()
        self._paused_until = 0.0
        self._pause_seconds = PAUSE_SECONDS
        self._until_forgiven = 0
        self._courtesy = courtesy
        self.reads = 0
        """How many lookups were answered here."""
        self.refusals = 0
        """How many were sent to the lane; who sends them counts."""

    def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any] | None:
        """Run a short read, which is not due to let others run before; None when it has to go through the lane."""
        started = time.perf_counter()
        if started < self._paused_until:
            return None
        self._deadline = started + SLOW_READ_SECONDS
        if started >= self._own.expires_at:
            self._own.mark(started)
        try:
            rows = self._raw.execute(plan.sql, parameters).fetchall()
        except sqlite.Error as exc:
            # The lane waits for locks, has all the time it needs, and replaces a connection that is broken.
            if not (is_busy(exc) or is_broken(exc) or getattr(exc, "sqlite_errorname", None) == "SQLITE_INTERRUPT"):
                raise
            self._pause()
            return None
        self.reads += 1
        self._until_forgiven -= 1
        took = time.perf_counter() - started
        if took > SLOW_READ_SECONDS and self._own.worked_seconds() > SLOW_READ_SECONDS:
            self._pause()
        self._courtesy.stopped_seconds += took
        return rows

    def _is_late(self) -> bool:
        now = time.perf_counter()
        if now <= self._deadline:
            return False
        left = SLOW_READ_SECONDS - self._own.worked_seconds()
        if left <= 0:
            return True
        # Set aside: it may go on for as long as it has not worked yet.
        self._deadline = now + left
        return False

    def _pause(self) -> None:
        is_again = self._until_forgiven > 0
        self._pause_seconds = min(self._pause_seconds * 2, PAUSE_LIMIT_SECONDS) if is_again else PAUSE_SECONDS
        self._until_forgiven = READS_UNTIL_FORGIVEN
        # From now on: a read that took longer than the pause would be followed by the next one at once.
        self._paused_until = time.perf_counter() + self._pause_seconds

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()
