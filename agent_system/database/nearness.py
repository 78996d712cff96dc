"""`Nearness`: on which processor the thread of a lane is woken.

To wake a thread on another processor takes 40 µs on a virtual machine, where the one that sleeps has to be woken too,
and 5 µs on the same one: a hop there and back took 102 µs with the threads apart and 30 together (Linux 6.18 on
Firecracker, two processors). So the thread sits beside the loop's for one caller, when the loop has nothing to do but
to wait, and apart when both have something to do. A statement that takes long does not stop a loop that wakes up
beside it: Linux moves the loop's thread, which is free to go, to the other processor.
"""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress
from typing import Any

__all__ = ["Nearness"]

# What Linux has; elsewhere threads run where the system puts them. A call by `PyDLL` keeps the interpreter: it takes
# 0.1 µs, less than to hand it over.
_current_processor: Any = None
if hasattr(os, "sched_setaffinity"):
    with suppress(AttributeError, OSError):
        _current_processor = ctypes.PyDLL(None).sched_getcpu
ANYWHERE = -1
# Of its processor time, a loop that only waits for an answer takes 30 µs, or 60 when it has slept.
QUIET_SECONDS = 0.0001


class Nearness:
    """Moves one thread beside the calling one and lets it go again.

    Args:
        thread: The system's number of the thread that is moved.
    """

    __slots__ = ("_allowed", "_is_quiet", "_processor", "_thread")

    def __init__(self, thread: int | None) -> None:
        self._thread = thread
        self._processor = ANYWHERE
        self._is_quiet = True
        self._allowed: set[int] = set()
        if thread is not None and _current_processor is not None:
            with suppress(OSError):
                self._allowed = os.sched_getaffinity(thread)
        if len(self._allowed) <= 1:
            self._thread = None

    def place(self, *, is_alone: bool) -> float:
        """Put the thread where it is best for what it is sent next.

        Args:
            is_alone: Whether one caller waits for it.

        Returns:
            What `learn` is to be told when it has answered.
        """
        if self._thread is None:
            return 0.0
        if is_alone and self._is_quiet:
            self._follow()
        else:
            self.roam()
        return time.thread_time()

    def learn(self, placed: float) -> None:
        """Learn from an answer whether the calling thread had something else to do meanwhile."""
        if self._thread is not None:
            self._is_quiet = time.thread_time() - placed < QUIET_SECONDS

    def roam(self) -> None:
        """Have the thread run where the system puts it."""
        if self._processor != ANYWHERE:
            self._move(self._allowed, ANYWHERE)

    def _follow(self) -> None:
        processor = _current_processor()
        if processor != self._processor and processor in self._allowed:
            self._move({processor}, processor)

    def _move(self, processors: set[int], processor: int) -> None:
        if self._thread is None:
            return
        self._processor = processor
        try:
            os.sched_setaffinity(self._thread, processors)
        except OSError:
            # It is not allowed here, or the thread has ended.
            self._thread = None
