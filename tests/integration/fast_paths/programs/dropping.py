"""Keeps a database file out of the system's page cache until a line comes in.

A process that has the database open must not do this itself: closing the descriptor would drop its locks.
"""

# ruff: noqa: T201 (it speaks through its output)
from __future__ import annotations

import json
import os
import sys
import threading

heard = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), heard.set()), daemon=True).start()

descriptor = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(descriptor)
print(json.dumps({"is_dropping": True}), flush=True)
while not heard.wait(0.001):
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
print(json.dumps({"is_dropping": False}), flush=True)
