"""Telling the queue what became of jobs, again and again while the database is away."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from agent_system.errors import (
    DatabaseCorruptError,
    DatabaseError,
    IntegrityError,
    LeaseLostError,
    NotConnectedError,
    TransactionError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.managers.queue.queue import QueueManager
    from agent_system.models import Job

__all__ = ["Patience", "Reporter"]

logger = logging.getLogger("agent_system.jobs")

T = TypeVar("T")

FIRST_WAIT_SECONDS = 0.05
# What no waiting mends.
LASTING = (DatabaseCorruptError, IntegrityError, NotConnectedError, TransactionError)
LONGEST_WAIT_SECONDS = 1.0


class Patience:
    """Repeats what the database could not do, and says so once when that begins and once when it is over."""

    def __init__(self) -> None:
        self._is_waiting = False

    async def until_done(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do something until the database does it; errors that waiting cannot mend are the caller's."""
        delay = FIRST_WAIT_SECONDS
        while True:
            try:
                result = await attempt()
            except DatabaseError as exc:
                if isinstance(exc, LASTING):
                    raise
                if not self._is_waiting:
                    self._is_waiting = True
                    logger.error("the database does not answer, and is asked again until it does: %s", exc)  # noqa: TRY400
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_WAIT_SECONDS)
            else:
                if self._is_waiting:
                    self._is_waiting = False
                    logger.warning("the database answers again")
                return result


class Reporter:
    """Says what became of jobs; that one belongs to another worker by now is logged, and is no error."""

    def __init__(self, queue: QueueManager, patience: Patience) -> None:
        self._queue = queue
        self._patience = patience

    async def complete(self, job: Job, result: object) -> None:
        """A job is done."""
        await self._report(job, lambda: self._queue.complete(job, result))

    async def fail(self, job: Job, error: str, *, retry: bool, delay_seconds: float | None = None) -> None:
        """An attempt at a job failed."""
        await self._report(job, lambda: self._queue.fail(job, error, retry=retry, delay_seconds=delay_seconds))

    async def release(self, job: Job) -> None:
        """A job was not begun in earnest."""
        await self._report(job, lambda: self._queue.release(job))

    async def _report(self, job: Job, say: Callable[[], Awaitable[object]]) -> None:
        try:
            await self._patience.until_done(say)
        except LeaseLostError as exc:
            # A commit whose outcome was unknown may have happened after all.
            found = await self._patience.until_done(lambda: self._queue.get_by_id(job.id))
            if found is None or found.lease_token != job.lease_token or found.completed_at is None:
                logger.warning("%s", exc)
