"""One attempt at a job: the handler runs in a task of its own, and what comes of it is reported."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

from agent_system.errors import LeaseLostError, ValidationError
from agent_system.jobs.context import JobContext
from agent_system.jobs.outcomes import GiveUpError, TryLaterError
from agent_system.types import JobStatus

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from agent_system.jobs.handlers import Handler
    from agent_system.jobs.reporter import Reporter
    from agent_system.managers.queue.settlements import Completion
    from agent_system.models import Job

__all__ = ["Attempt", "Desk"]

logger = logging.getLogger("agent_system.jobs")


class Desk(Protocol):
    """Who is told how an attempt goes on."""

    def handled(self, seconds: float) -> None:
        """The handler took so long; what became of the job is reported after that."""

    def completed(self, attempt: Attempt, completion: Completion) -> None:
        """The job is done, and it is to be reported."""

    def ended(self, attempt: Attempt) -> None:
        """Nothing more comes of the attempt."""


class Attempt:
    """A job that runs in this worker.

    Args:
        timeout_seconds: Longest run; None: no limit.
    """

    __slots__ = (
        "_context",
        "_desk",
        "_em",
        "_handler",
        "_handling",
        "_is_handed_back",
        "_is_lost",
        "_reporter",
        "_timeout",
        "begun",
        "job",
        "task",
    )

    def __init__(
        self,
        em: EntityManager,
        job: Job,
        handler: Handler,
        reporter: Reporter,
        timeout_seconds: float | None,
        desk: Desk,
    ) -> None:
        self.job = job
        self.begun = time.monotonic()
        """When it began, on the machine's own clock."""
        self._em = em
        self._context = JobContext(em, job)
        self._handler = handler
        self._reporter = reporter
        self._timeout = timeout_seconds
        self._desk = desk
        self._is_lost = False
        self._is_handed_back = False
        self._handling: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_held(self) -> bool:
        """Whether the job is still this worker's: not once the handler has completed it, whatever it does then."""
        return not self._context.is_completed

    def lose(self, status: str | None) -> None:
        """Tell the handler that the job is no longer its own: it is cancelled, and nothing is reported."""
        context = self._context
        # Who looked may have seen the end that the handler itself has written just now.
        is_its_own = context.is_completed or (context.is_completing and status == JobStatus.COMPLETED)
        if not (self._is_lost or is_its_own):
            self._is_lost = True
            logger.warning("job %d (%s) is stopped: it is %s", self.job.id, self.job.task_type, status or "gone")
            self._cancel()

    def hand_back(self) -> None:
        """Stop the handler, and let another worker begin the job anew."""
        self._is_handed_back = True
        self._cancel()

    def _cancel(self) -> None:
        if self._handling is not None:
            self._handling.cancel()

    async def _run(self) -> None:
        try:
            await self._attempt()
        except Exception:
            logger.exception("job %d could not be reported", self.job.id)
        finally:
            self._desk.ended(self)

    async def _attempt(self) -> None:
        self._handling = self.task
        try:
            result = await self._handle()
        except asyncio.CancelledError:
            await self._stopped()
        except Exception as exc:  # noqa: BLE001 (whatever a handler raises is what became of its job)
            await self._failed(exc)
        else:
            self._handling = None
            if not self._context.is_completed and not self._is_lost:
                await self._done(result)

    async def _handle(self) -> object:
        try:
            if self._is_lost or self._is_handed_back:
                # It was stopped before it had its first turn.
                raise asyncio.CancelledError
            if self._timeout is None:
                return await self._handler.function(self._context)
            async with asyncio.timeout(self._timeout):
                return await self._handler.function(self._context)
        finally:
            self._desk.handled(time.monotonic() - self.begun)

    async def _done(self, result: object) -> None:
        try:
            completion = self._em.queue.completion(self.job, result)
        except ValidationError as exc:
            await self._reporter.fail(self.job, str(exc), retry=False)
        else:
            self._desk.completed(self, completion)

    async def _stopped(self) -> None:
        self._handling = None
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # What comes is no part of what was cancelled.
            task.uncancel()
        if self._is_handed_back:
            await self._reporter.release(self.job)
        elif not self._is_lost:
            await self._reporter.fail(self.job, "its handler cancelled itself", retry=True)

    async def _failed(self, exc: Exception) -> None:
        self._handling = None
        if self._is_lost or (isinstance(exc, LeaseLostError) and exc.job_id == self.job.id):
            return
        if self._is_handed_back:
            await self._reporter.release(self.job)
            return
        is_late = isinstance(exc, TimeoutError) and self._timeout is not None
        error = f"it took longer than {self._timeout:g} s" if is_late else f"{type(exc).__name__}: {exc}"
        self._context.log.warning("attempt %d failed: %s", self._context.attempt, error, exc_info=exc)
        # The payload that a model refuses today it will refuse tomorrow.
        is_final = isinstance(exc, (GiveUpError, ValidationError))
        delay = exc.delay_seconds if isinstance(exc, TryLaterError) else None
        await self._reporter.fail(self.job, error, retry=not is_final, delay_seconds=delay)
