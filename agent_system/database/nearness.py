"""`Nearness`: on which processor the thread of a lane is woken.

To wake a thread on another processor takes 40 µs on a virtual machine, where the one that sleeps has to be woken too,
and 5 µs on the same one: a hop there and back took 102 µs with the threads apart and 30 together (Linux 6.18 on
Firecracker, two processors). So the thread sits beside the loop's for one caller, who does nothing but wait, and apart
when both have something to do. A statement that takes long beside a busy loop does not stop it: Linux moves the loop's
thread, which is free to go, to the other processor.
"""

from __future__ import annotations

import ctypes
import os
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


class Nearness:
    """Moves one thread beside the calling one and lets it go again.

    Args:
        thread: The system's number of the thread that is moved.
    """

    __slots__ = ("_allowed", "_processor", "_thread")

    def __init__(self, thread: int | None) -> None:
        self._thread = thread
        self._processor = ANYWHERE
        self._allowed: set[int] = set()
        if thread is not None and _current_processor is not None:
            with suppress(OSError):
                self._allowed = os.sched_getaffinity(thread)
        if len(self._allowed) <= 1:
            self._thread = None

    def follow(self) -> None:
        """Have the thread run where the caller runs."""
        if self._thread is None:
            return
        processor = _current_processor()
        if processor != self._processor and processor in self._allowed:
            self._processor = processor
            self._move({processor})

    def roam(self) -> None:
        """Have the thread run where the system puts it."""
        if self._processor != ANYWHERE:
            self._processor = ANYWHERE
            self._move(self._allowed)

    def _move(self, processors: set[int]) -> None:
        if self._thread is None:
            return
        try:
            os.sched_setaffinity(self._thread, processors)
        except OSError:
            # It is not allowed here, or the thread has ended.
            self._thread = None
