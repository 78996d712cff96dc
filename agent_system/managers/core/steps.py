"""Working through many rows: in parts that a statement takes, or without keeping the event loop from everybody else."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["in_chunks", "in_steps", "uncollected"]

T = TypeVar("T")
R = TypeVar("R")

# 128 rows of 30 µs keep the loop for four milliseconds.
ROWS_BETWEEN_YIELDS = 128
# SQLite allows 32,766 parameters in a statement, PostgreSQL's protocol 32,767.
CHUNK = 10_000


async def in_steps(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Apply a function to each item, in order; other tasks have their turn in between."""
    results: list[R] = []
    remaining = iter(items)
    while True:
        with uncollected():
            step = [function(item) for item in islice(remaining, ROWS_BETWEEN_YIELDS)]
        results += step
        if len(step) < ROWS_BETWEEN_YIELDS:
            return results
        await asyncio.sleep(0)


class _Pause:
    """Lets the garbage collector wait as long as anybody wants it to; a process has one of it, and so one of this."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._was_on = False

    def begin(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                self._was_on = gc.isenabled()
                gc.disable()

    def end(self) -> None:
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0 and self._was_on:
                gc.enable()


_pause = _Pause()


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the garbage collector wait while many rows are made at once; only for a few milliseconds without `await`.

    It looks through what there is after every 700 new objects, and rows are objects that all stay: for 500 agents with
    their tools that was a third of the time. Mercurial does the same (its `util.nogc` tells of the reports to Python).
    Who has switched it off keeps it off, and threads that want it at once do not switch it on for each other.
    """
    _pause.begin()
    try:
        yield
    finally:
        _pause.end()


def in_chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Yield parts of a sequence, each small enough for the parameters of one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
