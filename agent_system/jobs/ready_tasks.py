"""Tasks that nothing holds up become jobs, so that a tree of tasks is worked off by the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from agent_system.models import Job

__all__ = ["TASK_JOB", "enqueue_ready_tasks"]

TASK_JOB = "task"
"""The type of the jobs for tasks, unless the caller names another one."""

LOWEST, HIGHEST = 1, 10


async def enqueue_ready_tasks(em: EntityManager, *, task_type: str = TASK_JOB, limit: int = 100) -> list[Job]:
    """Put a job into the queue for each task that could be started now, and return the jobs.

    A task has one such job at most that is not over: called again, or by many at one time, it returns those that are
    there. The payload is the task's id as text; the priority is the task's, brought into the range of the queue (1 to
    10). Handlers start and end the task by the verbs of `em.tasks`.

    Args:
        task_type: The type of the jobs.
        limit: At most so many tasks, what is most urgent first.

    Example:
        >>> @worker.handler("task")
        ... async def do(context: JobContext) -> None:
        ...     await context.em.tasks.set_status(context.payload["task_id"], "running")
    """
    return await em.queue.enqueue_many(
        {
            "task_type": task_type,
            "payload": {"task_id": str(task.id)},
            "priority": min(max(task.priority, LOWEST), HIGHEST),
            "dedupe_key": f"{task_type}:{task.id}",
            "created_by": "tasks",
        }
        for task in await em.tasks.find_ready(limit=limit)
    )
