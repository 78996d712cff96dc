"""Which processes read a SQLite file: the kernel lists who holds which lock of its shared memory.

https://sqlite.org/walformat.html#locks: a reader holds one of the five locks at the bytes 123 to 127 of the -shm file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["readers_of"]

LOCKS = "/proc/locks"
READ_LOCKS = range(123, 128)


def readers_of(path: str, listing: str | None = None) -> list[tuple[int, str]]:
    """Return the id and the name of each other process that reads a snapshot of a database.

    Args:
        path: The database file; nothing of it is opened.
        listing: The text of /proc/locks (`man 5 proc`); None reads it, and where there is none nobody is known.
    """
    try:
        inode = os.stat(f"{path}-shm").st_ino  # noqa: PTH116 (never open() beside SQLite)
        listing = Path(LOCKS).read_text() if listing is None else listing
    except OSError:
        return []
    found: set[int] = set()
    for line in listing.splitlines():
        fields = line.split()
        # Those that only wait have an arrow.
        if "->" in fields or len(fields) < 8:  # noqa: PLR2004 (number: POSIX ADVISORY READ pid major:minor:inode start end)
            continue
        *_, pid, place, start, end = fields
        is_reading = place.rpartition(":")[2] == str(inode) and _covers(start, end)
        if is_reading and int(pid) not in {os.getpid(), -1}:
            found.add(int(pid))
    return [(pid, _name(pid)) for pid in sorted(found)]


def _covers(start: str, end: str) -> bool:
    last = int(start) if end == "EOF" else int(end)
    return int(start) in READ_LOCKS and last in READ_LOCKS


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "?"
