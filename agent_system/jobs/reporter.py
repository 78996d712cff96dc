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
from agent_system.managers.queue.settlements import lease_lost
from agent_system.types import JobStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent_system.managers.queue.queue import QueueManager
    from agent_system.managers.queue.settlements import Completion
    from agent_system.models import Job

__all__ = ["Patience", "Reporter"]

logger = logging.getLogger("agent_system.jobs")

T = TypeVar("T")

FIRST_WAIT_SECONDS = 0.05
# What no waiting mends.
LASTING = (DatabaseCorruptError, IntegrityError, NotConnectedError, TransactionError)
LONGEST_WAIT_SECONDS = 1.0
# What becomes of a job by a worker's own report; it is cancelled by others.
REPORTED = (JobStatus.COMPLETED, JobStatus.FAILED)


class Patience:
    """Repeats what the database could not do, and says so once when that begins and once when it is over."""

    def __init__(self) -> None:
        self._failing = 0
        """So many attempts have failed and go on."""

    async def until_done(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do something until the database does it; errors that waiting cannot mend are the caller's."""
        try:
            return await attempt()
        except DatabaseError as exc:
            if isinstance(exc, LASTING):
                raise
            if not self._failing:
                logger.error("the database does not answer, and is asked again until it does: %s", exc)  # noqa: TRY400
        self._failing += 1
        try:
            result = await _repeat(attempt)
        except BaseException:
            self._failing -= 1
            raise
        # Others may still be failing: a write may, where a look does not.
        self._failing -= 1
        if not self._failing:
            logger.warning("the database answers again")
        return result


async def _repeat(attempt: Callable[[], Awaitable[T]]) -> T:
    delay = FIRST_WAIT_SECONDS
    while True:
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_WAIT_SECONDS)
        try:
            return await attempt()
        except DatabaseError as exc:
            if isinstance(exc, LASTING):
                raise


class Reporter:
    """Says what became of jobs; that one belongs to another worker by now is logged, and is no error."""

    def __init__(self, queue: QueueManager, patience: Patience) -> None:
        self._queue = queue
        self._patience = patience

    async def exchange(
        self, done: Sequence[Completion], wanted: int, *, types: Sequence[str], lease_seconds: float
    ) -> list[Job]:
        """Jobs are done, and the next ones are claimed, at most so many."""

        async def exchange() -> tuple[list[Job], list[Completion]]:
            return await self._queue.exchange(done, wanted, types=types, lease_seconds=lease_seconds)

        try:
            jobs, lost = await self._patience.until_done(exchange)
        except DatabaseError:
            if not done:
                raise
            # One of them may be to blame for what concerns all.
            for one in done:
                await self._complete_alone(one)
            return []
        for one in lost:
            await self._explain(one.job_id, one.lease_token)
        return jobs

    async def _complete_alone(self, one: Completion) -> None:
        try:
            _, lost = await self._patience.until_done(lambda: self._queue.exchange([one], 0))
        except DatabaseError:
            logger.exception("job %d could not be reported", one.job_id)
        else:
            for _ in lost:
                await self._explain(one.job_id, one.lease_token)

    async def fail(self, job: Job, error: str, *, retry: bool, delay_seconds: float | None = None) -> None:
        """An attempt at a job failed."""
        await self._report(job, lambda: self._queue.fail(job, error, retry=retry, delay_seconds=delay_seconds))

    async def release(self, job: Job) -> None:
        """A job was not begun in earnest."""
        await self._report(job, lambda: self._queue.release(job))

    async def _report(self, job: Job, say: Callable[[], Awaitable[object]]) -> None:
        try:
            await self._patience.until_done(say)
        except LeaseLostError:
            await self._explain(job.id, job.lease_token)

    async def _explain(self, job_id: int, lease_token: int) -> None:
        """Log why nothing was changed, unless it was: a commit of unknown outcome may have happened after all."""
        found = await self._patience.until_done(lambda: self._queue.get_by_id(job_id))
        is_ours = found is not None and found.lease_token == lease_token and found.status in REPORTED
        if not is_ours:
            logger.warning("%s", lease_lost(job_id, lease_token, None if found is None else found.status))
