"""What a handler gets: its job, the facade, and ways to say how it goes."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agent_system.entity_manager import EntityManager
    from agent_system.models import Effect, Job

__all__ = ["JobContext"]

T = TypeVar("T")

logger = logging.getLogger("agent_system.jobs")


class JobContext:
    """One attempt at a job.

    Example:
        >>> @worker.handler("summarise")
        ... async def summarise(context: JobContext) -> str:
        ...     context.log.info("attempt %d", context.attempt)
        ...     return await model.summarise(context.payload["text"])
    """

    def __init__(self, em: EntityManager, job: Job) -> None:
        self.em = em
        """The facade over the database of the queue."""
        self.job = job
        """The job as it was claimed."""
        self.is_completed = False
        """Whether the handler has completed the job itself."""
        self.is_completing = False
        """Whether it is about to."""

    @cached_property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """Logs with the id, the type and the attempt of the job."""
        job = self.job
        return logging.LoggerAdapter(logger, {"job_id": job.id, "task_type": job.task_type, "attempt": self.attempt})

    @property
    def id(self) -> int:
        """Key of the job."""
        return self.job.id

    @property
    def task_type(self) -> str:
        """Type of the job."""
        return self.job.task_type

    @property
    def attempt(self) -> int:
        """Which attempt at the job it is, from 1; attempts that were handed back do not count."""
        return self.job.retries + 1

    @property
    def payload(self) -> Any:
        """The payload: an instance of the model that is registered for the type, or JSON.

        Raises:
            ValidationError: The model refuses it.
        """
        return self.em.queue.payload_of(self.job)

    async def report_progress(self, progress: float) -> None:
        """Write down how much is done, from 0 to 1; see `em.queue.report_progress`."""
        await self.em.queue.report_progress(self.job, progress)

    @asynccontextmanager
    async def completing(self, result: Any = None) -> AsyncIterator[None]:
        """Make what the block writes and the completion of the job one transaction; see `em.queue.completing`.

        The handler is over after it: what it returns is not stored.
        """
        self.is_completing = True
        try:
            async with self.em.queue.completing(self.job, result):
                yield
            self.is_completed = True
        finally:
            self.is_completing = False

    async def once(self, step: str, make: Callable[[Effect], Awaitable[T]], **options: Any) -> T:
        """Have an effect outside of the database once, however often the job is run; see `em.effects.once`."""
        result: T = await self.em.effects.once(self.job, step, make, **options)
        return result
