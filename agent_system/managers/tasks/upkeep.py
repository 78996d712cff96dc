"""Keeping many tasks in order: stopping and retrying all, those whose program is gone, those that got stale."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, not_, or_, select

from agent_system.managers.tasks.states import ENDED, STARTABLE
from agent_system.models import metadata
from agent_system.types import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.managers.tasks.store import TaskStore

__all__ = [
    "NOT_BEGUN",
    "UNENDED",
    "delete_some",
    "fail_stale",
    "is_running",
    "recover_dead",
    "retry_stopped",
    "silent_since",
    "stop_unended",
]

UNENDED = tuple(status for status in TaskStatus if status not in ENDED)

NOT_BEGUN = (*STARTABLE, TaskStatus.QUEUED)
"""Waiting for an agent."""

_calls = metadata.tables["tool_usage"]
_edges = metadata.tables["task_dependencies"]
_lines = metadata.tables["task_activities"]
_tasks = metadata.tables["tasks"]

Rows = list[dict[str, Any]]


def is_running(pid: int) -> bool:
    """Tell whether a process of this machine runs under an id."""
    if pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        # Somebody else's process is one, too; an id that is too large is nobody's.
        return pid < 2**31
    return True


def stop_unended(
    store: TaskStore, conditions: Sequence[Any], statuses: Sequence[TaskStatus], reason: str
) -> Callable[[Executor], Rows]:
    """What stops the tasks of some states."""

    def work(executor: Executor) -> Rows:
        found = _locked(store, executor, [_tasks.c.status.in_(statuses), *conditions])
        return store.endings.end(executor, found, TaskStatus.STOPPED, reason) if found else []

    return work


def retry_stopped(store: TaskStore, conditions: Sequence[Any], reason: str) -> Callable[[Executor], Rows]:
    """What lets all stopped tasks wait for an agent again."""

    def work(executor: Executor) -> Rows:
        found = _locked(store, executor, [_tasks.c.status == TaskStatus.STOPPED, *conditions])
        return store.endings.take_up(executor, found, reason) if found else []

    return work


def recover_dead(
    store: TaskStore, conditions: Sequence[Any], is_alive: Callable[[int], bool], reason: str
) -> Callable[[Executor], Rows]:
    """What stops the running tasks whose process is gone; a task that nobody's process runs is left alone."""

    def work(executor: Executor) -> Rows:
        wanted = [_tasks.c.status == TaskStatus.RUNNING, _tasks.c.pid.is_not(None), *conditions]
        dead = [task for task in _locked(store, executor, wanted) if not is_alive(task["pid"])]
        return store.endings.interrupt(executor, dead, reason)

    return work


def fail_stale(
    store: TaskStore, conditions: Sequence[Any], statuses: Sequence[TaskStatus], reason: str
) -> Callable[[Executor], Rows]:
    """What fails the tasks of some states, and what is to fail with them."""

    def work(executor: Executor) -> Rows:
        stale = _locked(store, executor, [_tasks.c.status.in_(statuses), *conditions])
        if not stale:
            return []
        failed = store.endings.end(executor, stale, TaskStatus.FAILED, reason, error=reason)
        ids = [task["id"] for task in failed]
        needed = executor.execute(select(_edges.c.depends_on_id).where(_edges.c.depends_on_id.in_(ids)).distinct())
        for task_id in needed.scalars().all():
            store.endings.fail_dependents(executor, task_id, TaskStatus.FAILED)
        return failed

    return work


def silent_since(moment: datetime) -> ColumnElement[bool]:
    """The condition that nothing was heard of a task since a moment: no change, no line of its log, no tool call."""
    lines = select(_lines.c.id).where(_lines.c.task_id == _tasks.c.id, _lines.c.created_at >= moment)
    calls = select(_calls.c.id).where(_calls.c.task_id == _tasks.c.id, _calls.c.updated_at >= moment)
    is_heard = or_(lines.correlate(_tasks).exists(), calls.correlate(_tasks).exists())
    return and_(_tasks.c.updated_at < moment, not_(is_heard))


def delete_some(
    store: TaskStore, conditions: Sequence[Any], statuses: Sequence[TaskStatus], before: datetime, limit: int
) -> Callable[[Executor], int]:
    """What deletes some tasks that ended before a moment, with their parts; returns how many it found."""
    wanted = (_tasks.c.status.in_(statuses), _tasks.c.completed_at < before, *conditions)
    statement = select(_tasks.c.id).where(*wanted).order_by(_tasks.c.id).limit(limit)

    def work(executor: Executor) -> int:
        ids = executor.execute(statement).scalars().all()
        # The parts of a task are deleted with it: then one of them is not there any more.
        return sum(store.remove(executor, {"id": task_id}) for task_id in ids) if ids else 0

    return work


def _locked(store: TaskStore, executor: Executor, wanted: Sequence[Any]) -> Rows:
    keys = store.plans.hydrate.keys
    statement = select(*_tasks.columns).where(*wanted).order_by(_tasks.c.id).with_for_update()
    return [dict(zip(keys, row, strict=True)) for row in executor.execute(statement)]
