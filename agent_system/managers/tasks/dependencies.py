"""What waits for what: the graph of dependencies, which never has a ring, and who is ready in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, literal_column, or_, select

from agent_system.database.dialects.expressions import transaction_lock
from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.tasks.states import UNSUCCESSFUL, WAITING
from agent_system.models import Task, TaskDependency, metadata
from agent_system.types import DependencyPolicy, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.executor import Executor

__all__ = ["DependencyManager", "WaitingTask", "dependents_of", "depending_on", "prerequisites_of", "ready", "waiting"]

_tasks = metadata.tables["tasks"]
_edges = metadata.tables["task_dependencies"]
_prerequisites = _tasks.alias("prerequisites")
# In the words of the index over such tasks, which holds them in the order in which they are to be started.
_STARTABLE: Any = literal_column("NOT (tasks.status <> 'created' AND tasks.status <> 'pending')")


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingTask:
    """A task with what it still waits for."""

    task: Task
    """The task."""
    waits_for: list[Task]
    """The tasks that have not ended as it needs them to; one that has ended will not, unless it is taken up again."""


class DependencyManager(Manager[TaskDependency]):
    """The edges of the graph; `em.tasks` offers its verbs."""

    entity = TaskDependency

    def edge(self, task_id: Any, depends_on_id: Any, on_failure: DependencyPolicy | str) -> dict[str, Any]:
        """Check an edge that is to be added.

        Raises:
            ValidationError: A value was refused, or the task would wait for itself.
        """
        values = self.new_values({"task_id": task_id, "depends_on_id": depends_on_id, "on_failure": on_failure})
        if values["task_id"] == values["depends_on_id"]:
            message = f"task {values['task_id']} cannot depend on itself"
            raise ValidationError(message, field="depends_on_id", entity=self.store.name)
        return values

    def connect(self, executor: Executor, values: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[UUID, Any]]:
        """Write an edge, or the policy of one that is there; returns it with its two tasks, locked.

        Raises:
            NotFoundError: One of the two tasks does not exist.
            ValidationError: The other task waits for this one already, directly or through others.
        """
        task_id, depends_on_id = values["task_id"], values["depends_on_id"]
        # No lock of a row keeps a graph free of rings: two edges far apart may close one together.
        executor.execute(select(transaction_lock(_edges.name)))
        tasks = self._lock(executor, (task_id, depends_on_id))
        if executor.execute(_path(depends_on_id, task_id)).first() is not None:
            message = (
                f"task {task_id} cannot depend on task {depends_on_id}, which depends on it already, directly or "
                "through others: both would wait for ever"
            )
            raise ValidationError(message, field="depends_on_id", entity=self.store.name)
        key = {"task_id": task_id, "depends_on_id": depends_on_id}
        present = self.store.get(executor, key)
        if present is None:
            edge = dict(values)
            self.insertion(edge)(executor)
        elif present["on_failure"] != values["on_failure"]:
            edge = self.store.change(executor, key, {"on_failure": values["on_failure"]})
        else:
            edge = present
        return edge, tasks

    def _lock(self, executor: Executor, task_ids: tuple[UUID, UUID]) -> Mapping[UUID, Any]:
        statement = select(*_tasks.columns).where(_tasks.c.id.in_(task_ids)).order_by(_tasks.c.id).with_for_update()
        found = {row["id"]: row for row in executor.execute(statement).mappings()}
        for task_id in task_ids:
            if task_id not in found:
                raise NotFoundError(Task.__name__, task_id)
        return found


def prerequisites_of(task_id: UUID) -> Select[Any]:
    """The tasks that a task waits for, older ones first."""
    return _beside(_edges.c.depends_on_id).where(_edges.c.task_id == task_id)


def dependents_of(task_id: UUID) -> Select[Any]:
    """The tasks that wait for a task, older ones first."""
    return _beside(_edges.c.task_id).where(_edges.c.depends_on_id == task_id)


def depending_on(task_id: UUID) -> Select[Any]:
    """The waiting tasks that are to fail with a task, directly or through others, locked."""
    fails = and_(_edges.c.on_failure == DependencyPolicy.FAIL, _tasks.c.status.in_(WAITING))
    direct = select(_edges.c.task_id).join(_tasks, _tasks.c.id == _edges.c.task_id)
    doomed = direct.where(_edges.c.depends_on_id == task_id, fails).cte("doomed", recursive=True)
    doomed = doomed.union(direct.join(doomed, _edges.c.depends_on_id == doomed.c.task_id).where(fails))
    wanted = _tasks.c.id.in_(select(doomed.c.task_id))
    return select(*_tasks.columns).where(wanted).order_by(_tasks.c.id).with_for_update(of=_tasks)


def ready(conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any]:
    """The tasks that could be started now, what is most urgent first."""
    wanted = select(*_tasks.columns).where(_STARTABLE, ~_unfinished(), *conditions)
    return wanted.order_by(*_urgency(_tasks)).limit(limit)


def waiting(conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any]:
    """The tasks that wait for others, each once for every task that it waits for."""
    held_up = select(*_tasks.columns).where(_tasks.c.status.in_(WAITING), _unfinished(), *conditions)
    tasks = held_up.order_by(*_urgency(_tasks)).limit(limit).subquery("waiting")
    return (
        select(*tasks.columns, *_prerequisites.columns)
        .join(_edges, _edges.c.task_id == tasks.c.id)
        .join(_prerequisites, _prerequisites.c.id == _edges.c.depends_on_id)
        .where(_holds_up())
        .order_by(*_urgency(tasks), _prerequisites.c.id)
    )


def _urgency(table: Any) -> tuple[Any, ...]:
    return table.c.priority.desc(), table.c.created_at, table.c.id


def _beside(end: Any) -> Select[Any]:
    return select(*_tasks.columns).join(_edges, end == _tasks.c.id).order_by(_tasks.c.id)


def _unfinished() -> ColumnElement[bool]:
    """The condition that a task waits for at least one other."""
    edge = select(_edges.c.task_id).join(_prerequisites, _prerequisites.c.id == _edges.c.depends_on_id)
    return edge.where(_edges.c.task_id == _tasks.c.id, _holds_up()).correlate(_tasks).exists()


def _holds_up() -> ColumnElement[bool]:
    """The condition that a prerequisite still holds the task up: it has not completed, nor failed without mattering."""
    does_not_matter = and_(_edges.c.on_failure == DependencyPolicy.IGNORE, _prerequisites.c.status.in_(UNSUCCESSFUL))
    return ~or_(_prerequisites.c.status == TaskStatus.COMPLETED, does_not_matter)


def _path(start: UUID, goal: UUID) -> Select[Any]:
    """A row if one task waits for another, directly or through others."""
    path = select(_edges.c.depends_on_id).where(_edges.c.task_id == start).cte("path", recursive=True)
    path = path.union(select(_edges.c.depends_on_id).join(path, _edges.c.task_id == path.c.depends_on_id))
    return select(path.c.depends_on_id).where(path.c.depends_on_id == goal).limit(1)
