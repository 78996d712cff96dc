"""Workers that keep promises: the promise begins and ends with its job, in the same transactions."""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, TypeAlias

from agent_system.errors import LeaseLostError, TransitionError, ValidationError
from agent_system.jobs.outcomes import GiveUpError, TryLaterError
from agent_system.managers.promises.promise_jobs import job_type_of
from agent_system.types import PromiseType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.entity_manager import EntityManager
    from agent_system.jobs.context import JobContext
    from agent_system.jobs.worker import Worker
    from agent_system.models import Promise

__all__ = ["PromiseFunction", "keeps_promises", "resume_promises"]

logger = logging.getLogger("agent_system.jobs")

RESUME_SECONDS = 60.0

PromiseFunction: TypeAlias = "Callable[[JobContext, Promise], Awaitable[str | None]]"
"""Keeps a promise and returns what came out of it, for people."""


def keeps_promises(
    worker: Worker, task_type: PromiseType | str, *, timeout_seconds: float | None = None
) -> Callable[[PromiseFunction], PromiseFunction]:
    """Let a function keep the promises of a type.

    At its start and every minute the worker also takes up promises that were left lying, as after a crash.

    What it returns is the promise's result. When it raises, the job is tried again; with the last attempt the promise
    fails, and what waits for it is decided by the policies of the dependencies.

    Args:
        worker: Who does the jobs.
        task_type: The type of the promises.
        timeout_seconds: Longest run of one attempt; None is as the worker says. `em.promises.resume_stalled` finds what
            was too late with its last attempt.

    Raises:
        ConfigurationError: The worker keeps promises of the type already.

    Example:
        >>> @keeps_promises(worker, "search")
        ... async def search(context: JobContext, promise: Promise) -> str:
        ...     return await find(promise.task_description)
    """
    worker.upkeep(resume_promises, every_seconds=RESUME_SECONDS)

    def register(function: PromiseFunction) -> PromiseFunction:
        @worker.handler(job_type_of(PromiseType(task_type)), timeout_seconds=timeout_seconds)
        @wraps(function)
        async def handle(context: JobContext) -> None:
            await _keep(context, function)

        return function

    return register


async def resume_promises(em: EntityManager) -> None:
    """Let promises be kept that were left lying: those without a job, and those whose job has ended without them."""
    resumed = await em.promises.resume_pending() + await em.promises.resume_stalled(only_with_job=True)
    if resumed:
        logger.info("%d promises are taken up again", len(resumed))


async def _keep(context: JobContext, function: PromiseFunction) -> None:
    promises, job = context.em.promises, context.job
    try:
        promise = await promises.start(job.payload["promise_id"], job=job)
    except TransitionError as exc:
        # It was kept or taken back in the meantime, so that another attempt would find the same.
        raise GiveUpError(str(exc)) from exc
    try:
        result = await function(context, promise)
    except (LeaseLostError, TryLaterError):
        raise
    except Exception as exc:
        is_final = isinstance(exc, (GiveUpError, ValidationError)) or job.retries >= job.max_retries
        if not is_final:
            raise
        context.log.warning("promise %d is not kept: %s", promise.id, exc, exc_info=exc)
        await promises.fail(promise.id, f"{type(exc).__name__}: {exc}", job=job, retry=False)
        context.is_completed = True
        return
    async with context.completing():
        await promises.complete(promise.id, result)
