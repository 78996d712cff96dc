"""Heartbeats from a thread of their own: a handler that keeps the event loop busy does not lose its job.

The thread has a loop and connections of its own, made when a job runs for longer than a third of its lease. It stops
when the loop has not answered for too long: then the worker is as good as dead, and others may take its jobs.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

from agent_system.errors import AgentSystemError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent_system.managers.queue.queue import QueueManager
    from agent_system.models import Job

__all__ = ["Heart"]

logger = logging.getLogger("agent_system.jobs")

BEATS_IN_A_LEASE = 3


class Heart:
    """Prolongs the leases of the jobs that a worker has.

    Args:
        queue: The queue of the worker.
        held: Gives the jobs that it has, by when they were begun on the machine's own clock.
        on_lost: Called on the worker's loop with the ids of jobs that are lost, and where they stand.
        lease_seconds: How long a lease is.
        patience_seconds: For so long the loop may be busy.
    """

    def __init__(
        self,
        queue: QueueManager,
        held: Callable[[], Sequence[tuple[float, Job]]],
        on_lost: Callable[[Mapping[int, str | None]], None],
        *,
        lease_seconds: float,
        patience_seconds: float,
    ) -> None:
        self._held = held
        self._on_lost = on_lost
        self._lease_seconds = lease_seconds
        self._interval = lease_seconds / BEATS_IN_A_LEASE
        self._patience = patience_seconds
        self._loop = asyncio.get_running_loop()
        self._heard = time.monotonic()
        self._stopping = threading.Event()
        # Made here, where the worker's loop runs; connected there.
        self._db, self._queue = queue.for_another_thread()
        self._thread = threading.Thread(target=self._run, name="agent_system-heart", daemon=True)
        self._is_silent = False

    def start(self) -> None:
        """Begin to beat."""
        self._listen()
        self._thread.start()

    async def stop(self) -> None:
        """Beat no longer."""
        self._stopping.set()
        self._ticks.cancel()
        await asyncio.to_thread(self._thread.join)

    def _listen(self) -> None:
        """Note on the loop that it is alive."""
        self._heard = time.monotonic()
        self._ticks = self._loop.call_later(self._interval / 2, self._listen)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        # The loop runs between the beats, too. After a commit the database goes on by itself: it moves the log into the
        # file under the lock to write, and a loop that stood still then would keep everybody else from writing.
        try:
            while not await asyncio.to_thread(self._stopping.wait, self._interval):
                jobs = self._due()
                if jobs:
                    await self._beat(jobs)
        finally:
            await self._db.disconnect()

    async def _beat(self, jobs: Sequence[Job]) -> None:
        try:
            if not self._db.is_connected:
                await self._db.connect()
            lost = await self._queue.heartbeat_many(jobs, self._lease_seconds)
        except (AgentSystemError, OSError) as exc:
            logger.warning("a heartbeat failed and is repeated: %s", exc)
            return
        if lost:
            self._loop.call_soon_threadsafe(self._on_lost, lost)

    def _due(self) -> list[Job]:
        """The jobs that were begun before the last beat; none when the loop does not answer."""
        now = time.monotonic()
        if now - self._heard > self._patience:
            if not self._is_silent:
                self._is_silent = True
                logger.error("the event loop has been busy for %.0f s: its jobs are given up", now - self._heard)
            return []
        self._is_silent = False
        return [job for begun, job in self._held() if now - begun >= self._interval]
