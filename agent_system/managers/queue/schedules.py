"""Schedules: jobs that are put into the queue again and again, once for each time however many workers look."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from agent_system.managers.core.base import Manager
from agent_system.managers.queue.cron import next_time
from agent_system.models import JobSchedule

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.managers.queue.queue import QueueManager
    from agent_system.models import Job

__all__ = ["ScheduleManager"]


class ScheduleManager(Manager[JobSchedule]):
    """The schedules of the queue."""

    entity = JobSchedule
    kept = frozenset({"last_run_at"})

    async def set(self, name: str, cron: str, task_type: str, **fields: Any) -> JobSchedule:
        """Write a schedule, or change the one of this name; its next time is found anew when the expression changes.

        Raises:
            ValidationError: The expression, the zone or another field is refused.
            MissingExtraError: The package that reads cron expressions is not installed.
        """
        data = {"name": name, "cron": cron, "task_type": task_type, **fields}
        known = await self.get_by_id(name)
        timezone = fields.get("timezone", "UTC")
        if known is None or (known.cron, known.timezone) != (cron, timezone):
            data["next_run_at"] = next_time(cron, timezone, self._clock())
        elif known is not None:
            data["next_run_at"] = known.next_run_at
        return await self.upsert(data, on=("name",))

    async def due(self) -> builtins.list[JobSchedule]:
        """Return the schedules whose time has come."""
        columns = self.plans.columns
        return await self.select(
            self.query({"is_active": True})
            .where(columns["next_run_at"] <= self._clock())
            .order_by(columns["next_run_at"])
        )

    async def next_at(self) -> datetime | None:
        """The next time of all schedules; None when there is none."""
        columns = self.plans.columns
        statement = self.query({"is_active": True}).order_by(columns["next_run_at"]).limit(1)
        found = await self.select(statement)
        return found[0].next_run_at if found else None

    async def run_due(self, queue: QueueManager) -> builtins.list[Job]:
        """Put a job into the queue for each schedule whose time has come, unless another worker has done so.

        Times that have passed while nobody looked are made up for by one job.
        """
        made: builtins.list[Job] = []
        for schedule in await self.due():
            write = self._run(schedule, queue)
            job = await self.run(write)
            if job is not None:
                made.append(queue.plans.hydrate.build(job))
        return made

    def _run(self, schedule: JobSchedule, queue: QueueManager) -> Callable[[Executor], dict[str, Any] | None]:
        now, columns = self._clock(), self.plans.columns
        time = schedule.next_run_at
        following = next_time(schedule.cron, schedule.timezone, max(now, time + timedelta(microseconds=1)))
        move = (
            update(self.plans.table)
            .where(columns["name"] == schedule.name, columns["next_run_at"] == time, columns["is_active"])
            .values(next_run_at=following, last_run_at=time, updated_at=now)
        )
        insert = queue.enqueueing(
            {
                "task_type": schedule.task_type,
                "payload": schedule.payload,
                "priority": schedule.priority,
                "created_by": f"schedule {schedule.name}",
                "metadata": {"schedule": schedule.name, "time": time.isoformat()},
            }
        )

        def work(executor: Executor) -> dict[str, Any] | None:
            # Of several workers that saw the time come one moves it on.
            return insert(executor) if executor.execute(move).rowcount else None

        return work
