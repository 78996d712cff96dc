"""Waiting for a commit of any process to a SQLite file: the change counter in shared memory tells that there was one.

Where Linux says that the write-ahead log was written, nobody has to look all the time. It says so before the commit can
be seen (150 of 150 times at durability full), so from then on somebody looks every millisecond until the counter moves.
Who has committed what others wait for touches the log afterwards, which is an event of its own and ends the wait.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from agent_system.database.inotify import FolderEvents
from agent_system.database.wal_index import WalIndex

if TYPE_CHECKING:
    from agent_system.database.dialects.base import Mark
    from agent_system.database.executor import SqliteExecutor

__all__ = ["Announcer", "SqliteChanges"]

# Between an event and the commit that it belongs to lies an fsync; a large transaction writes long before it commits,
# and its commit is an event of its own.
ARMED_SECONDS = 0.1
ARMED_POLL_SECONDS = 0.001
# Where nothing tells of events; half of it is the mean delay.
BLIND_POLL_SECONDS = 0.004
# An event that was lost delays nobody for longer.
BACKSTOP_SECONDS = 0.5


class Announcer:
    """Tells those who wait what a unit of work wanted to be told, once it is committed; it opens nothing."""

    def __init__(self, path: str) -> None:
        self._path = path

    @cached_property
    def _log(self) -> str:
        # To look for links takes longer than to touch the file.
        return f"{os.path.realpath(self._path)}-wal"

    def announce(self, executor: SqliteExecutor) -> None:
        """Do so, if there is anything to be told."""
        if executor.has_news:
            executor.has_news = False
            with suppress(OSError):
                os.utime(self._log)


class SqliteChanges:
    """Tells whether something was committed since a moment."""

    def __init__(self, path: str) -> None:
        self._index = WalIndex.of(path)
        folder, name = os.path.split(os.path.realpath(path))
        self._events = None if self._index is None else FolderEvents.of(folder, f"{name}-wal")

    @property
    def is_listening(self) -> bool:
        """Whether somebody tells when to look."""
        return self._events is not None

    @property
    def tells_of_work(self) -> bool:
        """It does not: every commit of the file is one, and to look costs microseconds."""
        return False

    def mark(self) -> Mark:
        """The present moment, to compare later ones with."""
        return None if self._index is None else self._index.header()

    async def changed(self, since: Mark, timeout_seconds: float) -> bool:
        """Wait until something may have been committed since a moment; False when the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while not self._has_moved(since):
            remaining = deadline - loop.time()
            if remaining <= 0:
                return False
            if self._index is None:
                # Nobody can tell, so that the caller has to look.
                await asyncio.sleep(min(BLIND_POLL_SECONDS, remaining))
                return True
            await self._wait(since, remaining)
        return True

    def _has_moved(self, since: Mark) -> bool:
        return self._index is not None and self._index.header() != since

    async def _wait(self, since: Mark, remaining: float) -> None:
        events = self._events
        if events is None:
            await asyncio.sleep(min(BLIND_POLL_SECONDS, remaining))
            return
        if await _readable(events, min(BACKSTOP_SECONDS, remaining)) and events.drain():
            loop = asyncio.get_running_loop()
            until = loop.time() + ARMED_SECONDS
            while not self._has_moved(since) and loop.time() < until:
                if await _readable(events, ARMED_POLL_SECONDS):
                    events.drain()

    async def close(self) -> None:
        """Give back what it holds."""
        events, self._events = self._events, None
        if events is not None:
            events.close()
        if self._index is not None:
            self._index.close()


async def _readable(events: FolderEvents, timeout_seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    came: asyncio.Future[bool] = loop.create_future()
    descriptor = events.fileno()

    def say(answer: bool) -> None:  # noqa: FBT001 (a callback)
        if not came.done():
            came.set_result(answer)

    loop.add_reader(descriptor, say, True)  # noqa: FBT003 (a callback's argument)
    timer = loop.call_later(timeout_seconds, say, False)  # noqa: FBT003 (a callback's argument)
    try:
        return await came
    finally:
        timer.cancel()
        loop.remove_reader(descriptor)
