"""The other process of the endurance run: it writes to the same file, says what it has committed, and is killed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import sys
import time
from typing import TYPE_CHECKING
from uuid import UUID

from uuid_utils.compat import uuid7

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.ledger import Ledger

__all__ = ["Rival", "main"]

INSERT = "INSERT INTO messages (uid, role, content) VALUES (?, 'system', ?)"
RAISE = "UPDATE agents SET version = version + 1 WHERE id = ? RETURNING version"
# How long a process lives, in seconds.
SHORTEST_LIFE = 0.2
LONGEST_LIFE = 2.0


class Rival:
    """Starts the process, notes what it says, kills it, and starts the next one, until it is stopped."""

    def __init__(self, path: Path, ledger: Ledger) -> None:
        self._path = path
        self._ledger = ledger
        self._task: asyncio.Task[None] | None = None
        self.killed = 0

    def start(self) -> None:
        """Start the first process."""
        self._task = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """Kill the process that runs, and read what it still had to say."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _live(self) -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, __file__, str(self._path), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            reader = asyncio.create_task(self._listen(process.stdout))
            try:
                await asyncio.sleep(random.uniform(SHORTEST_LIFE, LONGEST_LIFE))
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                self.killed += 1
                await reader
                await process.wait()

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        # A line that the kill has cut in two has no end and does not count.
        while (line := await stream.readline()).endswith(b"\n"):
            kind, id_, version = line.decode().split()
            if kind == "message":
                self._ledger.rival.add(UUID(id_))
            else:
                self._ledger.saw_version(UUID(id_), int(version))


def main(path: str) -> None:
    """Write for ever, saying each commit after it has happened."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    # Checkpoints are the other side's business: see the WAL-reset bug in agent_system/database/driver.py.
    for statement in ("foreign_keys = ON", "synchronous = NORMAL", "wal_autocheckpoint = 0"):
        connection.execute(f"PRAGMA {statement}")
    agents = [row[0] for row in connection.execute("SELECT id FROM agents")]
    while True:
        if agents and random.random() < 0.2:  # noqa: PLR2004 (one in five)
            agent = random.choice(agents)
            versions = connection.execute(RAISE, (agent,)).fetchall()
            print("agent", agent, versions[0][0], flush=True)
        else:
            uid = str(uuid7())
            connection.execute(INSERT, (uid, uid))
            print("message", uid, 0, flush=True)
        time.sleep(random.uniform(0, 0.005))


if __name__ == "__main__":
    main(sys.argv[1])
