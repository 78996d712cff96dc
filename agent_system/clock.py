"""The clocks of the project: every timestamp that the layer itself makes comes from here."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["EPOCH", "boot", "from_microseconds", "microseconds_since_boot", "to_microseconds", "utc_now"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# It goes on while the machine sleeps, and nobody can set it; it is the same in every process of a machine.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def utc_now() -> datetime:
    """Return the current moment as an aware UTC datetime with microseconds."""
    return datetime.now(UTC)


def microseconds_since_boot() -> int:
    """Return how long the machine has been running; the difference of two calls is true whatever the date is set to."""
    return time.clock_gettime_ns(_BOOT_CLOCK) // 1_000


def boot() -> str | None:
    """Return what identifies this start of this machine to all its processes; None where nothing does."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        # A container may have a clock of its own.
        return f"{started} {os.readlink('/proc/self/ns/time')}"  # noqa: PTH115 (the text of the link is no path)
    except OSError:
        return None


def to_microseconds(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Return microseconds since 1970 as a UTC datetime."""
    return EPOCH + timedelta(microseconds=microseconds)
