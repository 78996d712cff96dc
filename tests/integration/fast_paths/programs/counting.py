"""Counts the version of an agent up, one commit after the other, and tells which number has been committed.

Each way of counting is one of the many in which a database file changes under its readers. The number goes through
memory that both processes share: faster than any message, so that nothing can hide behind a pipe.
"""

# ruff: noqa: T201 (it speaks through its output)
from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import sqlite3
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# In between the readers shall find rows in their cache, now and then many times and now and then never.
LONGEST_PAUSE_SECONDS = 0.003

COUNT = "UPDATE agents SET version = version + 1 WHERE id = ? RETURNING version"
COUNT_BY_TRIGGER = "UPDATE tools SET execution_count = execution_count + 1 RETURNING execution_count"


class Shared:
    """The number that was committed last, and whether the counting process shall end."""

    def __init__(self, path: Path | str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(descriptor, mmap.PAGESIZE)
        self._memory = mmap.mmap(descriptor, mmap.PAGESIZE)
        os.close(descriptor)
        self._committed = ctypes.c_int64.from_buffer(self._memory, 0)
        self._is_over = ctypes.c_int64.from_buffer(self._memory, 8)

    @property
    def committed(self) -> int:
        """The number that was committed last; it is set when COMMIT has returned."""
        return self._committed.value

    @committed.setter
    def committed(self, number: int) -> None:
        self._committed.value = number

    @property
    def is_over(self) -> bool:
        """Whether the counting process shall end."""
        return bool(self._is_over.value)

    def end(self) -> None:
        """Let the counting process end."""
        self._is_over.value = 1


def connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def pause() -> None:
    time.sleep(random.random() ** 3 * LONGEST_PAUSE_SECONDS)


def count_by(statement: str, path: str, agent_id: str, shared: Shared) -> None:
    connection = connect(path)
    parameters = [agent_id] if "?" in statement else []
    while not shared.is_over:
        ((number,),) = connection.execute(statement, parameters).fetchall()
        shared.committed = number
        pause()
    connection.close()


def updates(path: str, agent_id: str, shared: Shared) -> None:
    count_by(COUNT, path, agent_id, shared)


def triggers(path: str, agent_id: str, shared: Shared) -> None:
    count_by(COUNT_BY_TRIGGER, path, agent_id, shared)


def truncations(path: str, agent_id: str, shared: Shared) -> None:
    connection = connect(path)
    while not shared.is_over:
        ((number,),) = connection.execute(COUNT, [agent_id]).fetchall()
        shared.committed = number
        if number % 5 == 0:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        pause()
    connection.close()


def connections(path: str, agent_id: str, shared: Shared) -> None:
    while not shared.is_over:
        connection = connect(path)
        ((number,),) = connection.execute(COUNT, [agent_id]).fetchall()
        shared.committed = number
        connection.close()
        pause()


WAYS: dict[str, Callable[[str, str, Shared], None]] = {
    way.__name__: way for way in (updates, triggers, truncations, connections)
}


def main(ways: dict[str, Callable[[str, str, Shared], None]]) -> None:
    print(json.dumps({"is_counting": True}), flush=True)
    ways[sys.argv[1]](sys.argv[2], sys.argv[3], Shared(sys.argv[4]))


if __name__ == "__main__":
    main(WAYS)
