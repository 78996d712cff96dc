"""The works that wait for the writer, and how many of them travel in one group.

While SQLite writes a group, the event loop's thread is free to prepare the next one: of many callers, half are written
while the other half prepare. That is worth a second commit as long as a commit takes less time than the statements.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_system.database.groups import seem_one_statement
from agent_system.database.many_rows import MOST_ROWS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from agent_system.database.executor import Work

__all__ = ["Mark", "WaitingWork", "WorkQueue"]

# Below, a second commit and the hand-over of the interpreter between two threads, 0.3 ms, cost what waiting costs.
LEAST_SECONDS = 0.00025
SMALLEST_HALF = 16
# Of few sizes, because a connection keeps a statement for each (`many_rows.py`, `pairs.py`).
STEP = 16


class WaitingWork:
    """One submitted work and the future that its caller awaits."""

    __slots__ = ("future", "work")

    def __init__(self, work: Work[Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future


class Mark(NamedTuple):
    """A moment in the life of a thread."""

    seconds: float
    processor_seconds: float
    """How long the thread has computed."""

    @classmethod
    def now(cls) -> Mark:
        """This moment of the running thread."""
        return cls(time.perf_counter(), time.thread_time())


class WorkQueue:
    """Works in the order in which they came; the event loop adds, and one at a time takes.

    Args:
        group_size: At most so many travel together.
        limit: So many may wait here; more have to wait outside.
    """

    def __init__(self, group_size: int, limit: int) -> None:
        self.group_size = group_size
        self._limit = limit
        self._works: deque[WaitingWork] = deque()
        self._divides = False

    def __len__(self) -> int:
        return len(self._works)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._works) >= self._limit

    def add(self, work: WaitingWork) -> None:
        """Let it wait."""
        self._works.append(work)

    def take(self, limit: int | None = None, *, unanswered: int = 0) -> list[WaitingWork]:
        """Take the works of the next group; whoever has been cancelled is left out.

        Args:
            limit: At most so many.
            unanswered: Of how many works the callers will be told when the next group has begun.
        """
        wanted = self._size(len(self._works) + unanswered) if limit is None else limit
        # One by one, because others may be added at any moment.
        taken = [self._works.popleft() for _ in range(min(wanted, len(self._works)))]
        return [waiting for waiting in taken if not waiting.future.done()]

    def measure(self, group: Sequence[WaitingWork], begun: Mark, ended: Mark) -> None:
        """Learn from a group that is done, whether halves are worth it."""
        busy = ended.processor_seconds - begun.processor_seconds
        idle = ended.seconds - begun.seconds - busy
        # All callers: those in the group, and those who have come meanwhile.
        callers = len(group) + len(self._works)
        is_worth_it = max(idle, 2 * LEAST_SECONDS) < busy * callers / len(group)
        # Of many statements each would make the threads wait for each other again.
        self._divides = is_worth_it and seem_one_statement(group[0].work, group[-1].work, _half(callers))

    def _size(self, callers: int) -> int:
        if not self._divides or callers < 2 * SMALLEST_HALF:
            return self.group_size
        return min(self.group_size, _half(callers))


def _half(callers: int) -> int:
    """How many of so many travel together while the others prepare."""
    return min(-(-callers // 2 // STEP) * STEP, MOST_ROWS)
