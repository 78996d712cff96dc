"""Ending many tasks at once: what a failure does to those that depend on it, and what a restart finds still running."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, literal, literal_column, null, update

from agent_system.database.plans import compile_plan
from agent_system.managers.tasks.dependencies import depending_on
from agent_system.managers.tasks.states import WAITING
from agent_system.models import metadata
from agent_system.types import TaskStatus, ToolCallState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.managers.core.store import RowStore
    from agent_system.managers.tasks.activities import ActivityLog
    from agent_system.models import Task

__all__ = ["TaskEndings"]

CHUNK = 10_000
OPEN_CALLS = (ToolCallState.REQUESTED, ToolCallState.RUNNING)

_calls = metadata.tables["tool_usage"]
_tasks = metadata.tables["tasks"]


class TaskEndings:
    """Ends tasks in a unit of work, with a line in the log of each and an event for each."""

    def __init__(self, store: RowStore[Task], log: ActivityLog, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._plan = _plan(store.plans.dialect)
        self._again_plan = _again_plan(store.plans.dialect)

    def end(
        self,
        executor: Executor,
        tasks: Sequence[Mapping[str, Any]],
        status: TaskStatus,
        reason: str,
        *,
        error: str | None = None,
        because_of: UUID | None = None,
    ) -> list[dict[str, Any]]:
        """End tasks that the unit of work has locked, and return them as they are now.

        Args:
            error: What goes to those that have no error yet; None: nothing.
            because_of: The task whose end ends these.
        """
        now, plan = self._clock(), self._plan
        changes = {"status": status, "completed_at": now, "updated_at": now, "pid": None}
        given = {"status": status, "now": now, "error": error}
        ended = [
            {**task, **changes, "error": task["error"] if error is None else task["error"] or error}
            | {"version": task["version"] + 1}
            for task in tasks
        ]
        executor.change_many(plan, [plan.encode(given | {"id": task["id"]}) for task in tasks])
        data = {"to": status, "reason": reason} | ({} if because_of is None else {"because_of": str(because_of)})
        self._log.record_many(executor, ended, "status", f"→ {status}: {reason}", data)
        self._write_events(executor, tasks, ended, data)
        return ended

    def interrupt(self, executor: Executor, tasks: Sequence[Mapping[str, Any]], reason: str) -> list[dict[str, Any]]:
        """Stop tasks, which are locked, because what ran them is gone, and give up the tool calls that they made."""
        if not tasks:
            return []
        now, ids = self._clock(), [task["id"] for task in tasks]
        stopped = self.end(executor, tasks, TaskStatus.STOPPED, reason)
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            executor.execute(update(_tasks).where(_tasks.c.id.in_(part)).values(interrupted_at=now, updated_at=now))
            calls = update(_calls).where(_calls.c.task_id.in_(part), _calls.c.state.in_(OPEN_CALLS))
            given_up = {"state": ToolCallState.INTERRUPTED, "error": reason, "completed_at": now, "updated_at": now}
            executor.execute(calls.values(given_up))
        return [task | {"interrupted_at": now, "updated_at": now} for task in stopped]

    def take_up(self, executor: Executor, tasks: Sequence[Mapping[str, Any]], reason: str) -> list[dict[str, Any]]:
        """Let tasks that have ended, which are locked, wait for an agent again, each as its next attempt."""
        now, plan = self._clock(), self._again_plan
        changes = {"status": TaskStatus.PENDING, "completed_at": None, "updated_at": now, "pid": None, "error": None}
        waiting = [
            {**task, **changes, "interrupted_at": None, "attempt": task["attempt"] + 1, "version": task["version"] + 1}
            for task in tasks
        ]
        executor.change_many(plan, [plan.encode({"now": now, "id": task["id"]}) for task in tasks])
        data = {"to": TaskStatus.PENDING, "reason": reason}
        self._log.record_many(executor, waiting, "status", f"→ {TaskStatus.PENDING}: {reason}", data)
        self._write_events(executor, tasks, waiting, data)
        return waiting

    def fail_dependents(self, executor: Executor, task_id: UUID, status: TaskStatus) -> None:
        """Let everything fail that waits for a task, directly or through others, and is to fail with it."""
        keys = self._store.plans.hydrate.keys
        found = [dict(zip(keys, row, strict=True)) for row in executor.execute(depending_on(task_id))]
        # On PostgreSQL a row may have changed while its lock was waited for; this is what it is now.
        waiting = [task for task in found if task["status"] in WAITING]
        if waiting:
            reason = f"task {task_id}, which it depends on, {_past_tense(status)}"
            self.end(executor, waiting, TaskStatus.FAILED, reason, error=reason, because_of=task_id)

    def _write_events(
        self,
        executor: Executor,
        before: Sequence[Mapping[str, Any]],
        after: Sequence[Mapping[str, Any]],
        data: Mapping[str, Any],
    ) -> None:
        trail = self._store.trail
        if trail is None:
            return
        events = []
        for old, new in zip(before, after, strict=True):
            changed = [key for key in ("status", "completed_at", "updated_at", "pid", "error") if old[key] != new[key]]
            images = {"before": {key: old[key] for key in changed}, "after": {key: new[key] for key in changed}}
            tree_id = new["tree_id"]
            events.append(trail.parameters("status_changed", new["id"], **images, data=data, tree_id=tree_id))
        trail.write_many(executor, events)


def _past_tense(status: TaskStatus) -> str:
    return "failed" if status is TaskStatus.FAILED else f"was {status}"


def _again_plan(dialect: Dialect) -> Plan:
    columns = _tasks.c
    statement = (
        update(_tasks)
        .where(columns.id == bindparam("id", type_=columns.id.type))
        .values(
            status=literal(TaskStatus.PENDING, columns.status.type),
            completed_at=null(),
            interrupted_at=null(),
            error=null(),
            pid=null(),
            updated_at=bindparam("now", type_=columns.updated_at.type),
            attempt=columns.attempt + literal_column("1"),
            version=columns.version + literal_column("1"),
        )
    )
    plan = compile_plan(statement, dialect, writes=_tasks.name)
    return replace(plan, key_position=plan.parameters.index("id"))


def _plan(dialect: Dialect) -> Plan:
    columns = _tasks.c
    now = bindparam("now", type_=columns.updated_at.type)
    statement = (
        update(_tasks)
        .where(columns.id == bindparam("id", type_=columns.id.type))
        .values(
            status=bindparam("status", type_=columns.status.type),
            completed_at=now,
            updated_at=now,
            pid=null(),
            error=func.coalesce(columns.error, bindparam("error", type_=columns.error.type)),
            version=columns.version + literal_column("1"),
        )
    )
    plan = compile_plan(statement, dialect, writes=_tasks.name)
    return replace(plan, key_position=plan.parameters.index("id"))
