"""Ready tasks become jobs of the queue, each one once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_system.jobs.ready_tasks import enqueue_ready_tasks

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager


async def test_a_tree_of_tasks_is_worked_off_by_the_queue(em: EntityManager) -> None:
    first = await em.tasks.create({"instruction": "first", "priority": 99})
    second = await em.tasks.create({"instruction": "second"})
    await em.tasks.add_dependency(second.id, first.id)
    await asyncio.gather(*(enqueue_ready_tasks(em) for _ in range(64)))
    (job,) = await em.queue.claim(10)
    assert (job.task_type, job.payload, job.priority) == ("task", {"task_id": str(first.id)}, 10)
    await em.tasks.set_status(first.id, "running")
    async with em.queue.completing(job):
        await em.tasks.set_status(first.id, "completed")
    (job,) = await enqueue_ready_tasks(em)
    assert (job.payload, job.priority) == ({"task_id": str(second.id)}, 1)
