"""`OwnTime`: how long this thread was at work itself, which a clock on the wall does not tell on a busy machine.

A thread that is set aside for another one, or waits until it may run Python again, loses milliseconds without having
done anything slow. What tells is its processor time, and whether it has read from a disk.
"""

from __future__ import annotations

import importlib
import math
import time
from contextlib import suppress
from typing import Any

__all__ = ["OwnTime"]

# To look at both takes 1.5 µs, so it is not done for each of many lookups of 5 µs.
SECONDS_BETWEEN_MARKS = 0.001

_resource: Any = None
with suppress(ImportError):
    _resource = importlib.import_module("resource")
# What Linux has; elsewhere nobody knows of the disk.
_THREAD = getattr(_resource, "RUSAGE_THREAD", None)


class OwnTime:
    """How long this thread was at work since a moment."""

    __slots__ = ("_blocks", "_seconds", "expires_at")

    def __init__(self) -> None:
        self.expires_at = -math.inf
        """When the count is to begin anew; until then what was done since the mark counts too."""
        self._seconds = 0.0
        self._blocks = 0

    def mark(self, now: float) -> None:
        """Begin to count.

        Args:
            now: Seconds by a clock that only rises.
        """
        self.expires_at = now + SECONDS_BETWEEN_MARKS
        if _THREAD is not None:
            self._seconds = time.thread_time()
            self._blocks = _blocks()

    def worked_seconds(self) -> float:
        """Processor time since the mark; infinite when something was read from a disk, or when nobody can tell."""
        if _THREAD is None or _blocks() != self._blocks:
            return math.inf
        return time.thread_time() - self._seconds


def _blocks() -> int:
    usage = _resource.getrusage(_THREAD)
    return int(usage.ru_inblock + usage.ru_majflt)
