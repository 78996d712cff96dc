"""Looks to others like a process that recovers the WAL index of a database, until a line comes in.

It holds the two locks that recovery holds and spoils the header, so that nobody can read before it has ended. Nothing
is lost: the next reader makes the index anew from the log. (https://sqlite.org/walformat.html, section 2.)
"""

# ruff: noqa: T201 (it speaks through its output)
from __future__ import annotations

import fcntl
import json
import sys

# Bytes of the -shm file that stand for WAL_WRITE_LOCK and WAL_RECOVER_LOCK.
LOCKS = (120, 122)

with open(f"{sys.argv[1]}-shm", "r+b", buffering=0) as index:  # noqa: PTH123 (a path with an ending, not one more object)
    for lock in LOCKS:
        fcntl.lockf(index, fcntl.LOCK_EX, 1, lock)
    index.write(b"\xff" * 48)
    print(json.dumps({"is_recovering": True}), flush=True)
    sys.stdin.readline()
print(json.dumps({"is_recovering": False}), flush=True)
