"""Short writes on the event loop's own thread, where a commit syncs nothing (durability normal).

The way to the writer's thread and back takes as long as such a write itself. It must not hurt the loop:

- only a write that comes alone goes this way, of one row and few bytes, which the full-text index cuts up; what some
  function does takes the writer's thread;
- only when the loop has nothing else to do: other tasks ran between the call and the write otherwise. When nothing
  else is to run in this round of the loop, the write does not even wait for the next one, which takes 10 µs; but then
  the loop has its round after a few writes, to look what has come from timers and sockets;
- the connection never waits for a lock: when another process has it, the write waits as ever;
- after a write that took longer than two milliseconds (a slow disk, a trigger of the file's owner) the writer's thread
  is taken for twenty times as long: so slow ones stop the loop for a twentieth of the time at most.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable

    from agent_system.database.executor import Executor, Work

__all__ = ["Brief", "InlineWrites", "size_of", "wait_for_nothing"]

T = TypeVar("T")

# A message takes 0.2 ms, a memory 0.25.
SLOW_WRITE_SECONDS = 0.002
# From the call to the loop's next round 10 µs pass where no other task runs, and a lookup of one takes 10 more.
QUIET_SECONDS = 0.00005
PAUSE_IN_TIMES = 20
# So many may be done without a round of the loop between them; then it looks what else there is to do.
MOST_IN_A_ROW = 4
# One of 20 ms is forgiven; the first write of a connection, which reads the schema, takes 5.
CREDIT_SECONDS = 0.4
# With so many characters of text a message takes 0.4 ms. Of either, one in some hundreds takes 5 to 20, when the
# full-text index merges what it has written.
MOST_BYTES = 4_096


class Brief(Generic[T]):
    """A unit of work that is known to be one of few statements about few rows.

    Args:
        work: What it does.
        size: How many bytes and characters it writes; None when nobody knows.
    """

    __slots__ = ("_size", "_work")

    def __init__(self, work: Work[T], size: int | None) -> None:
        self._work: Any = work
        self._size = size

    def __call__(self, executor: Executor) -> T:
        """Do it."""
        result: T = self._work(executor)
        return result

    def written_size(self) -> int | None:
        """How many bytes and characters it writes; None when nobody knows."""
        return self._size


class InlineWrites:
    """Tells which writes may go this way.

    Args:
        clock: Seconds that only rise.
    """

    __slots__ = ("_asked", "_clock", "_in_a_row", "_paused_until", "_short", "_started", "writes")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._asked = 0.0
        self._in_a_row = 0
        self._short: Any = None
        self._paused_until = 0.0
        self._started = 0.0
        self.writes = 0
        """How many have gone this way."""

    def ask(self, work: Any, loop: asyncio.AbstractEventLoop) -> bool:
        """Somebody calls for a write when nobody else waits for one.

        Returns:
            Whether it may begin in its caller's own step; otherwise in the loop's next round.
        """
        size = size_of(work)
        self._short = work if size is not None and size <= MOST_BYTES else None
        self._asked = self._clock()
        # What else is to run in this round; other loops than asyncio's own do not tell.
        if self._short is None or self._in_a_row == MOST_IN_A_ROW or getattr(loop, "_ready", True):
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        return True

    def begin(self, work: Any) -> bool:
        """Whether a work that has come alone may go this way; if so, it begins now, and `end` is to be told."""
        # Another one may have come since, and the one that was asked for may have been cancelled.
        is_short, self._short = work is self._short, None
        self._started = self._clock()
        is_quiet = self._started - self._asked <= QUIET_SECONDS
        return is_short and is_quiet and self._started >= self._paused_until

    def end(self) -> None:
        """It has ended."""
        self.writes += 1
        now = self._clock()
        took = now - self._started
        if took > SLOW_WRITE_SECONDS:
            self._paused_until = max(self._paused_until, now - CREDIT_SECONDS) + PAUSE_IN_TIMES * took


def wait_for_nothing(raw: sqlite3.Connection) -> None:
    """Make a connection one that never waits: for no lock, nor for a disk, as one does that moves the log."""
    raw.execute("PRAGMA busy_timeout = 0").fetchall()
    raw.execute("PRAGMA wal_autocheckpoint = 0").fetchall()


def size_of(work: Any) -> int | None:
    """How many bytes and characters a work writes, at one row; None when nobody knows."""
    ask = getattr(work, "written_size", None)
    return None if ask is None else ask()
