"""The dashboard: what a monitor shows of a running system, read at once by a handful of statements."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal, select

from agent_system.clock import utc_now
from agent_system.database.dialects.durations import epoch_bucket
from agent_system.managers.core.base import Manager
from agent_system.managers.tasks.activities import ActivityManager
from agent_system.managers.telemetry.agent_status import AgentStatusManager, status_counts
from agent_system.managers.telemetry.call_figures import CallFigures, figures_of_all
from agent_system.managers.telemetry.call_log import IN_PROGRESS
from agent_system.managers.telemetry.timeline import TimelineReader
from agent_system.managers.telemetry.tool_usage import CallBucket, ToolUsageManager, buckets, filled, recent_errors
from agent_system.models import Task, metadata
from agent_system.types import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_system.database.dialects.base import EngineHealth
    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.pagination import Page
    from agent_system.managers.telemetry.timeline import Kind, TimelineEntry
    from agent_system.models import ToolUsage

__all__ = ["ActiveSession", "DashboardManager", "DashboardSnapshot", "TaskBucket"]

ACTIVE = timedelta(minutes=5)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

_calls = metadata.tables["tool_usage"]
_entries = metadata.tables["agent_status"]
_tasks = metadata.tables["tasks"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActiveSession:
    """A session of the runtime in which tools were called just now."""

    session_uuid: str
    calls: int
    """Calls in the last minutes."""
    in_progress: int
    """Those of them that have not ended."""
    first_seen_at: datetime
    """The first of these calls."""
    last_seen_at: datetime
    """The last of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskBucket:
    """The tasks that ended in one stretch of time."""

    start: datetime
    """The beginning of the stretch, in UTC; it ends where the next one begins."""
    completed: int = 0
    failed: int = 0
    stopped: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DashboardSnapshot:
    """What a monitor shows of a running system."""

    at: datetime
    """When it was read."""
    since: datetime
    """The beginning of the time that its figures are about."""
    tasks_by_status: dict[TaskStatus, int]
    """How many tasks there are now in each status; all of them are listed."""
    tasks_ended: dict[TaskStatus, int]
    """How many tasks ended in each way since then."""
    running: list[Task]
    """The tasks that run now, the latest begun first."""
    calls: CallFigures
    """What the tool calls since then add up to."""
    series: list[CallBucket]
    """The same by stretches of time."""
    task_series: list[TaskBucket]
    """The tasks that ended, by the same stretches."""
    errors: list[ToolUsage]
    """The latest calls that failed."""
    sessions: list[ActiveSession]
    """The sessions in which tools were called in the last five minutes, the latest first."""
    statuses: dict[str, int]
    """How many entries agents made of each status since then."""
    health: EngineHealth | None = field(default=None)
    """Figures of the engine, with the sizes of its files; None when they were not asked for."""

    @property
    def success_rate(self) -> float | None:
        """The share of the tasks that ended which completed, 0 to 1; None when none ended."""
        ended = sum(self.tasks_ended.values())
        return self.tasks_ended[TaskStatus.COMPLETED] / ended if ended else None


class _Tasks(Manager[Task]):
    """Reads tasks; the verbs are those of `em.tasks`."""

    entity = Task


class DashboardManager:
    """The dashboard: what a monitor shows of a running system, and the timeline of a task.

    Example:
        >>> snapshot = await em.dashboard.snapshot()
        >>> snapshot.tasks_by_status[TaskStatus.RUNNING], len(snapshot.errors), snapshot.calls.calls
        (2, 0, 17)
    """

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._db = db
        self._clock = clock
        self._task_rows = _Tasks(db, clock=clock)
        self._call_rows = ToolUsageManager(db, clock=clock)
        self._timelines = TimelineReader(
            {
                "activity": ActivityManager(db, clock=clock),
                "status": AgentStatusManager(db, clock=clock),
                "tool": self._call_rows,
            }
        )

    async def snapshot(
        self, window: timedelta = DAY, bucket: timedelta = HOUR, *, limit: int = 20, with_health: bool = True
    ) -> DashboardSnapshot:
        """Read everything that a monitor shows, by ten statements however much there is.

        Args:
            window: How far back the figures go.
            bucket: Length of the stretches of time of the series.
            limit: At most so many running tasks, errors and sessions.
            with_health: Ask the engine for its own figures too.
        """
        now = self._clock()
        since = now - window
        seconds = int(bucket.total_seconds())
        recent = [_calls.c.timestamp >= since]
        statements = {
            "by_status": select(_tasks.c.status, func.count()).group_by(_tasks.c.status),
            "ended": _ended(seconds, since),
            "running": _running(limit),
            "series": buckets(seconds, recent),
            "errors": recent_errors(recent, limit),
            "sessions": _sessions(now - ACTIVE, limit),
            "statuses": status_counts([_entries.c.timestamp >= since]),
        }

        def read(executor: Executor) -> tuple[CallFigures, dict[str, Sequence[Any]]]:
            rows = {name: executor.execute(statement).all() for name, statement in statements.items()}
            return figures_of_all(executor, recent), rows

        calls, rows = await self._db.read(read)
        by_status, ended = dict.fromkeys(TaskStatus, 0), dict.fromkeys(ENDINGS, 0)
        by_status.update((row[0], row[1]) for row in rows["by_status"])
        for _, status, count in rows["ended"]:
            ended[status] = ended.get(status, 0) + count
        return DashboardSnapshot(
            at=now,
            since=since,
            tasks_by_status=by_status,
            tasks_ended=ended,
            running=_built(self._task_rows, rows["running"]),
            calls=calls,
            series=filled(rows["series"], since, now, seconds),
            task_series=_task_series(rows["ended"], since, now, seconds),
            errors=_built(self._call_rows, rows["errors"]),
            sessions=[ActiveSession(**dict(zip(SESSION, row, strict=True))) for row in rows["sessions"]],
            statuses={row[0]: row[1] for row in rows["statuses"]},
            health=await self._db.health() if with_health else None,
        )

    async def active_sessions(self, within: timedelta = ACTIVE, limit: int = 100) -> list[ActiveSession]:
        """Return the sessions in which tools were called lately, the latest first."""
        statement = _sessions(self._clock() - within, limit)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [ActiveSession(**dict(zip(SESSION, row, strict=True))) for row in rows]

    async def timeline(
        self,
        task_id: Any,
        limit: int = 100,
        after: str | None = None,
        kinds: Sequence[Kind] = ("activity", "status", "tool"),
    ) -> Page[TimelineEntry]:
        """Return one page of what happened in a task, the oldest first: its log, its agents' status, its tool calls.

        Args:
            kinds: Only these.

        Raises:
            NotFoundError: No task can have this id.
            ValidationError: There is no such kind, or the limit is below 1.
            CursorError: `after` is no cursor of a timeline.
        """
        key = self._task_rows.store.keys.existing(task_id)["id"]
        return await self._db.read(self._timelines.page(key, limit, after, tuple(kinds)))


ENDINGS = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.STOPPED, TaskStatus.CANCELLED)
SESSION = ("session_uuid", "calls", "in_progress", "first_seen_at", "last_seen_at")


def _ended(seconds: int, since: datetime) -> Any:
    """How many tasks ended in which way in each stretch of time."""
    start = epoch_bucket(_tasks.c.completed_at, literal(seconds)).label("start")
    statement = select(start, _tasks.c.status, func.count())
    wanted = (_tasks.c.completed_at >= since, _tasks.c.status.in_(ENDINGS))
    return statement.where(*wanted).group_by(start, _tasks.c.status)


def _running(limit: int) -> Any:
    order = (_tasks.c.started_at.desc().nulls_last(), _tasks.c.id.desc())
    wanted = _tasks.c.status == TaskStatus.RUNNING
    return select(*_tasks.columns).where(wanted).order_by(*order).limit(limit)


def _sessions(since: datetime, limit: int) -> Any:
    latest = func.max(_calls.c.timestamp)
    open_calls = func.count().filter(IN_PROGRESS)
    columns = (_calls.c.session_uuid, func.count(), open_calls, func.min(_calls.c.timestamp), latest)
    wanted = (_calls.c.session_uuid.is_not(None), _calls.c.timestamp >= since)
    statement = select(*columns).where(*wanted).group_by(_calls.c.session_uuid)
    return statement.order_by(latest.desc(), _calls.c.session_uuid).limit(limit)


def _task_series(rows: Sequence[Any], since: datetime, until: datetime, seconds: int) -> list[TaskBucket]:
    counts: dict[tuple[int, str], int] = {(row[0], row[1]): row[2] for row in rows}
    series = []
    for bucket in filled([], since, until, seconds):
        start = int(bucket.start.timestamp())
        names = {"completed": TaskStatus.COMPLETED, "failed": TaskStatus.FAILED, "stopped": TaskStatus.STOPPED}
        found = {name: counts.get((start, status), 0) for name, status in names.items()}
        series.append(TaskBucket(start=bucket.start, **found))
    return series


def _built(manager: Manager[Any], rows: Sequence[Any]) -> list[Any]:
    keys, build = manager.plans.hydrate.keys, manager.plans.hydrate.build
    return [build(dict(zip(keys, row, strict=True))) for row in rows]
