"""How much memory this process has used at most, since a moment of our choice where the system can tell."""

from __future__ import annotations

import resource
from pathlib import Path

__all__ = ["forget_peak", "peak_bytes", "resident_bytes"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
# https://docs.kernel.org/filesystems/proc.html: 5 resets the peak resident set size.
_RESET_PEAK = "5\n"


def forget_peak() -> None:
    """Start counting the peak anew; where there is no such thing it stays that of the whole process."""
    if _CLEAR.exists():
        _CLEAR.write_text(_RESET_PEAK)


def peak_bytes() -> int:
    """The peak of the resident memory."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    """The resident memory now."""
    return _status("VmRSS") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(key: str) -> int:
    if not _STATUS.exists():
        return 0
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[key].split()[0]) * 1024
