"""The reading sessions of a process: who reads since when, and the end of one that keeps the log from being reset.

SQLite cannot take a page out of the write-ahead log as long as somebody reads a snapshot that is older. So one session
that is left open lets the log grow without end. Others are only told of it until the log is larger than it may be.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_system.database.adapter import begin_on
from agent_system.database.lanes import roll_back
from agent_system.errors import TransactionTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from agent_system.database.lanes import Lane

__all__ = ["Reading", "ReadingTurn", "Readings"]


@dataclass(eq=False, kw_only=True, slots=True)
class Reading:
    """One transaction that reads."""

    task: str
    """The name of the task that opened it."""
    since: float
    """When, by the clock of `Readings`."""
    lane: Lane
    is_ended: bool = False
    """Whether it was ended so that the log can be reset."""

    def end(self) -> None:
        """End it; what its session does next is refused."""
        self.is_ended = True
        # Behind the statement that runs, before the next one.
        self.lane.post(roll_back, self.lane).add_done_callback(lambda done: done.cancelled() or done.exception())


class Readings:
    """All reading transactions of the sessions of one manager.

    Args:
        clock: Seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: set[Reading] = set()

    def begin(self, lane: Lane) -> Reading:
        """Note one that begins."""
        task = asyncio.current_task()
        reading = Reading(task="?" if task is None else task.get_name(), since=self._clock(), lane=lane)
        self._open.add(reading)
        return reading

    def end(self, reading: Reading) -> None:
        """Note that it is over."""
        self._open.discard(reading)

    def longest(self) -> list[Reading]:
        """Those that are open, the oldest first."""
        return sorted((one for one in self._open if not one.is_ended), key=lambda one: one.since)

    def seconds(self, reading: Reading) -> float:
        """For how long one has been open."""
        return self._clock() - reading.since


class ReadingTurn:
    """Lets one session read; it needs no turn, but it is known that it does.

    Args:
        readings: Where it is noted.
    """

    only_reads = True

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._reading: Reading | None = None

    async def begin(self, lane: Lane) -> None:
        """Begin a transaction that cannot write."""
        await lane.run(begin_on, lane, "DEFERRED", only_reads=True)
        self._reading = self._readings.begin(lane)

    def release(self) -> None:
        """Note that it is over."""
        if self._reading is not None:
            self._readings.end(self._reading)

    def limit(self) -> AbstractAsyncContextManager[None]:
        """No limit."""
        return nullcontext()

    def check(self) -> None:
        """Raise TransactionTimeoutError when it was ended."""
        if self._reading is not None and self._reading.is_ended:
            message = (
                "this session read one snapshot for so long that the write-ahead log grew beyond "
                "AGENT_SYSTEM_WAL_LIMIT_MIB, and was ended; read in several sessions, or a page at a time"
            )
            raise TransactionTimeoutError(message)
