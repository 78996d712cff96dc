"""The jobs that keep promises: each promise that nothing holds up has one in the queue, and never two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from agent_system.managers.queue import upkeep
from agent_system.models import metadata
from agent_system.types import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.managers.queue.queue import QueueManager

__all__ = ["PromiseJobs", "has_live_job", "job_type_of"]

_promises = metadata.tables["promises"]
_jobs = metadata.tables["queue"]


def job_type_of(task_type: str) -> str:
    """The type of the jobs that keep promises of a type, such as `promise.search`; workers have a handler for it."""
    return f"promise.{task_type}"


def has_live_job() -> Any:
    """The condition that the job of a promise waits or is being done."""
    return select(_jobs.c.id).where(_jobs.c.id == _promises.c.job_id, _jobs.c.completed_at.is_(None)).exists()


class PromiseJobs:
    """Puts the jobs of promises into the queue and takes them out, in units of work."""

    def __init__(self, queue: QueueManager, clock: Callable[[], datetime]) -> None:
        self._queue = queue
        self._clock = clock

    def enqueue(self, executor: Executor, promise: Mapping[str, Any]) -> int:
        """Put the job of a promise into the queue, and return its id; one that is not over is the one."""
        data = {
            "task_type": job_type_of(promise["task_type"]),
            "payload": {"promise_id": promise["id"]},
            "priority": promise["priority"],
            "user_id": promise["user_id"],
            "chat_id": promise["chat_id"],
            # While a job with this key is not over, the database takes no second one.
            "dedupe_key": f"promise:{promise['id']}",
            "created_by": "promises",
        }
        job_id: int = self._queue.enqueueing(data)(executor)["id"]
        key = _promises.c.id == promise["id"]
        executor.execute(update(_promises).where(key).values(job_id=job_id, updated_at=self._clock()))
        return job_id

    def cancel(self, executor: Executor, promise: Mapping[str, Any], reason: str, *, running: bool) -> None:
        """End the job of a promise that needs none any more.

        Args:
            running: Whether also one that is being done; its handler is told.
        """
        if promise["job_id"] is None:
            return
        condition = _jobs.c.id == promise["job_id"]
        if not running:
            condition &= _jobs.c.status == JobStatus.PENDING
        if executor.execute(upkeep.cancelling(condition, reason, self._clock())).first() is not None:
            executor.notify()
