"""Reports about tasks: by any of their columns, how long they take, how it goes from day to day, what they called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from sqlalchemy import func, literal, select

from agent_system.database.dialects.durations import epoch_bucket, seconds_between
from agent_system.errors import ValidationError
from agent_system.managers.core.moments import aware
from agent_system.managers.core.where import conditions
from agent_system.managers.tasks.states import ENDED
from agent_system.managers.tasks.statistics import TaskStatistics
from agent_system.models import metadata
from agent_system.models.columns import Real
from agent_system.types import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.where import Where
    from agent_system.models import Task

__all__ = ["TaskDimension", "TaskDurations", "TaskGroup", "TaskReports", "TaskTrend", "TaskWithCalls"]

TaskDimension: TypeAlias = Literal[
    "agent_id", "user_id", "agent_type", "workflow", "model", "project_id", "workspace", "current_phase"
]

DAY = timedelta(days=1)
# 1970 began on a Thursday; weeks begin on a Monday.
MONDAY = 4 * 86_400

_calls = metadata.tables["tool_usage"]
_tasks = metadata.tables["tasks"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskGroup:
    """The tasks with one value in a column."""

    key: Any
    """The value; None for tasks without one."""
    statistics: TaskStatistics


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDurations:
    """How long tasks took from when they first began to their end."""

    tasks: int
    average_seconds: float
    min_seconds: float
    max_seconds: float
    p50_seconds: float
    """The shortest time that at least half of them did not exceed."""
    p95_seconds: float
    """The shortest time that at least 95 % of them did not exceed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTrend:
    """The tasks that were made in one day or week."""

    start: datetime
    """The beginning of the day, or of the Monday, in UTC."""
    total: int = 0
    completed: int = 0
    failed: int = 0
    stopped: int = 0
    cancelled: int = 0
    average_seconds: float | None = None
    """How long those that completed took; None when none did."""

    @property
    def success_rate(self) -> float | None:
        """The share of those that are over which completed, 0 to 1; None when none is over."""
        ended = self.completed + self.failed + self.stopped + self.cancelled
        return self.completed / ended if ended else None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskWithCalls:
    """A task, and what its tool calls come to."""

    task: Task
    calls: int = 0
    failed_calls: int = 0
    calls_in_progress: int = 0
    last_call_at: datetime | None = None
    """When the last of them began; None when there is none."""


class TaskReports:
    """Reports about tasks, computed by the database; ranges of time are half-open and about when tasks were made."""

    def __init__(self, db: DatabaseManager, plans: TablePlans[Task], clock: Callable[[], datetime]) -> None:
        self._db = db
        self._plans = plans
        self._clock = clock

    async def by(
        self,
        dimension: TaskDimension,
        where: Where = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> list[TaskGroup]:
        """Count the tasks of each agent, owner, type, workflow ... by status, the most active first.

        Args:
            dimension: The column.
            limit: At most so many groups; None is all.

        Raises:
            ValidationError: There is no such dimension or column.
        """
        if dimension not in get_args(TaskDimension):
            message = f"dimension must be one of {', '.join(get_args(TaskDimension))}, not {dimension!r}"
            raise ValidationError(message, field="dimension", entity="Task")
        column = _tasks.c[dimension]
        wanted = self._wanted(where, since, until)
        total = func.sum(func.count()).over(partition_by=column).label("total")
        counted = select(column.label("key"), _tasks.c.status, func.count().label("count"), total)
        groups = counted.where(*wanted).group_by(column, _tasks.c.status).subquery("groups")
        place = func.dense_rank().over(order_by=(groups.c.total.desc(), groups.c.key)).label("place")
        ranked = select(groups, place).subquery("ranked")
        statement = select(ranked.c.key, ranked.c.status, ranked.c.count).order_by(ranked.c.place)
        if limit is not None:
            statement = statement.where(ranked.c.place <= limit)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        found: dict[Any, list[tuple[Any, int]]] = {}
        for key, status, count in rows:
            found.setdefault(key, []).append((status, count))
        return [TaskGroup(key=key, statistics=TaskStatistics.of(counts)) for key, counts in found.items()]

    async def durations(
        self, where: Where = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> dict[TaskStatus, TaskDurations]:
        """Return how long the tasks took that began and ended, by how they ended."""
        seconds = seconds_between(_tasks.c.started_at, _tasks.c.completed_at)
        timed = (_tasks.c.started_at.is_not(None), _tasks.c.completed_at.is_not(None), _tasks.c.status.in_(ENDED))
        inner = select(_tasks.c.status, seconds.label("seconds")).where(*timed, *self._wanted(where, since, until))
        taken = inner.subquery("taken")
        share = func.cume_dist().over(partition_by=taken.c.status, order_by=taken.c.seconds).label("share")
        ranked = select(taken.c.status, taken.c.seconds, share).subquery("ranked")
        least = func.min(ranked.c.seconds)
        middle = [least.filter(ranked.c.share >= literal(part, Real())) for part in (0.5, 0.95)]
        figures = (func.count(), func.avg(ranked.c.seconds), least, func.max(ranked.c.seconds), *middle)
        statement = select(ranked.c.status, *figures).group_by(ranked.c.status)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        names = ("tasks", "average_seconds", "min_seconds", "max_seconds", "p50_seconds", "p95_seconds")
        return {row[0]: TaskDurations(**dict(zip(names, row[1:], strict=True))) for row in rows}

    async def daily(self, days: int = 7, where: Where = None) -> list[TaskTrend]:
        """Return how it went on each of the last days, today included, the oldest first."""
        today = self._clock().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return await self._trend(DAY, today - DAY * (days - 1), days, 0, where)

    async def weekly(self, weeks: int = 8, where: Where = None) -> list[TaskTrend]:
        """Return how it went in each of the last weeks, this one included, the oldest first."""
        today = self._clock().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        monday = today - DAY * today.weekday()
        return await self._trend(DAY * 7, monday - DAY * 7 * (weeks - 1), weeks, MONDAY, where)

    async def recent(self, limit: int = 20, where: Where = None) -> list[TaskWithCalls]:
        """Return the newest tasks, each with what its tool calls come to, by two statements however many there are."""
        order = (_tasks.c.created_at.desc(), _tasks.c.id.desc())
        newest = select(*_tasks.columns).where(*conditions(self._plans, where)).order_by(*order).limit(limit)
        failed, running = (func.count().filter(_calls.c.success.is_(False)), func.count().filter(_open()))
        figures = (func.count(), failed, running, func.max(_calls.c.timestamp))

        def read(executor: Executor) -> tuple[list[dict[str, Any]], dict[Any, Any]]:
            keys = self._plans.hydrate.keys
            tasks = [dict(zip(keys, row, strict=True)) for row in executor.execute(newest)]
            ids = [task["id"] for task in tasks]
            counted = select(_calls.c.task_id, *figures).where(_calls.c.task_id.in_(ids)).group_by(_calls.c.task_id)
            return tasks, {row[0]: row[1:] for row in executor.execute(counted).all()} if ids else {}

        tasks, calls = await self._db.read(read)
        names = ("calls", "failed_calls", "calls_in_progress", "last_call_at")
        build = self._plans.hydrate.build
        return [
            TaskWithCalls(task=build(task), **dict(zip(names, calls.get(task["id"], ()), strict=False)))
            for task in tasks
        ]

    async def _trend(
        self, length: timedelta, first: datetime, count: int, offset: int, where: Where
    ) -> list[TaskTrend]:
        if count < 1:
            message = f"there must be at least one day or week, not {count}"
            raise ValidationError(message, field="days", entity="Task")
        seconds = int(length.total_seconds())
        start = epoch_bucket(_tasks.c.created_at, literal(seconds), literal(offset)).label("start")
        ways = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.STOPPED, TaskStatus.CANCELLED)
        counts = [func.count().filter(_tasks.c.status == way) for way in ways]
        completed = _tasks.c.status == TaskStatus.COMPLETED
        average = func.avg(seconds_between(_tasks.c.started_at, _tasks.c.completed_at)).filter(completed)
        wanted = [_tasks.c.created_at >= first, *conditions(self._plans, where)]
        statement = select(start, func.count(), *counts, average).where(*wanted).group_by(start)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        names = ("total", "completed", "failed", "stopped", "cancelled", "average_seconds")
        found: dict[int, Any] = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
        moments = [first + length * number for number in range(count)]
        return [TaskTrend(start=moment, **found.get(int(moment.timestamp()), {})) for moment in moments]

    def _wanted(self, where: Where, since: datetime | None, until: datetime | None) -> list[Any]:
        wanted = conditions(self._plans, where)
        if since is not None:
            wanted.append(_tasks.c.created_at >= aware(since, "since"))
        if until is not None:
            wanted.append(_tasks.c.created_at < aware(until, "until"))
        return wanted


def _open() -> Any:
    return _calls.c.state.in_(("requested", "running"))
