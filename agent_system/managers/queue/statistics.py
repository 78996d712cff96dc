"""How a queue is: what waits, what runs, what is dead, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.models import metadata
from agent_system.types import JobStatus

if TYPE_CHECKING:
    from datetime import datetime

    from agent_system.database.executor import Executor

__all__ = ["QueueStatistics", "TypeStatistics", "count_jobs"]

_jobs = metadata.tables["queue"]
_columns = _jobs.c


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeStatistics:
    """The jobs of one type that are not over."""

    task_type: str
    ready: int
    """How many may be begun."""
    running: int
    """How many are being done."""
    is_paused: bool
    """Whether none is begun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueStatistics:
    """How a queue is."""

    by_status: dict[JobStatus, int]
    """How many jobs are in each status; all of them are listed. The failed ones are the dead letters."""
    scheduled: int
    """How many of the pending ones wait for their time."""
    stalled: int
    """How many are in progress whose worker did not come back before its lease ran out."""
    oldest_ready_at: datetime | None
    """Since when the one may be begun that waits longest; None when none may."""
    types: list[TypeStatistics]
    """What is not over, by type."""

    @property
    def ready(self) -> int:
        """How many may be begun now."""
        return self.by_status[JobStatus.PENDING] - self.scheduled

    @property
    def total(self) -> int:
        """How many there are in all."""
        return sum(self.by_status.values())


def count_jobs(executor: Executor, steady: datetime) -> QueueStatistics:
    """Count, each figure along an index that holds little more than what it counts."""
    by_status: dict[Any, int] = dict.fromkeys(JobStatus, 0)
    by_status |= _counts(executor, _columns.status)
    lease, ready = _columns.lease_expires_at, _columns.ready_at
    stalled = select(func.count()).select_from(_jobs).where(lease <= steady)
    scheduled = select(func.count()).select_from(_jobs).where(_columns.due_at.is_not(None))
    # min() would be looked for in the whole index; of each priority the first is the oldest.
    oldest = [
        executor.execute(
            select(ready).where(ready.is_not(None), _columns.priority == priority).order_by(ready).limit(1)
        ).scalar()
        for priority in range(1, 11)
    ]
    kind = _columns.task_type
    waiting = _counts(executor, kind, ready.is_not(None))
    running = _counts(executor, kind, lease.is_not(None))
    types = metadata.tables["queue_types"].c
    paused = set(executor.execute(select(types.task_type).where(types.is_paused)).scalars())
    return QueueStatistics(
        by_status=by_status,
        scheduled=executor.execute(scheduled).scalar_one(),
        stalled=executor.execute(stalled).scalar_one(),
        oldest_ready_at=min((moment for moment in oldest if moment is not None), default=None),
        types=[
            TypeStatistics(
                task_type=task_type,
                ready=waiting.get(task_type, 0),
                running=running.get(task_type, 0),
                is_paused=task_type in paused,
            )
            for task_type in sorted(waiting.keys() | running.keys() | paused)
        ],
    )


def _counts(executor: Executor, column: Any, *conditions: Any) -> dict[Any, int]:
    statement = select(column, func.count()).where(*conditions).group_by(column)
    rows: list[Any] = list(executor.execute(statement))
    return dict(rows)
