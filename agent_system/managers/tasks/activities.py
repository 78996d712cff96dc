"""The log of a task: lines that are added and never changed, so that any number of writers can add them at once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select

from agent_system.database.plans import compile_plan
from agent_system.errors import NotFoundError
from agent_system.managers.core.audit import current_audit_context
from agent_system.managers.core.base import Manager
from agent_system.models import Task, TaskActivity, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.managers.core.store import RowStore

__all__ = ["ActivityLog", "ActivityManager"]

_tasks = metadata.tables["tasks"]


class ActivityManager(Manager[TaskActivity]):
    """Activities of tasks; `em.tasks` offers its verbs."""

    entity = TaskActivity

    async def add(self, task_id: Any, fields: Mapping[str, Any]) -> TaskActivity:
        """Add a line, by one statement; without a phase of its own it gets the task's present one.

        Raises:
            NotFoundError: There is no such task.
            ValidationError: A value was refused.
        """
        actor = fields.get("actor") or current_audit_context().actor
        values = self.new_values({"task_id": task_id, **fields, "actor": actor})
        plan = self._add_plan
        parameters = self.store.encode(plan, values)
        rows = await self.run(lambda executor: executor.fetch(plan, parameters), values)
        if not rows:
            raise NotFoundError(Task.__name__, task_id)
        return self.plans.hydrate(rows[0])

    @cached_property
    def _add_plan(self) -> Plan:
        given = {key: bindparam(key, type_=column.type) for key, column in self.plans.columns.items() if key != "id"}
        line = given | {"phase": func.coalesce(given["phase"], _tasks.c.current_phase)}
        from_task = select(*line.values()).where(_tasks.c.id == given["task_id"])
        statement = insert(self.plans.table).from_select(list(line), from_task, include_defaults=False)
        statement = statement.returning(*self.plans.table.columns)
        return compile_plan(statement, self._db.dialect, writes=self.plans.table.name, adds_rows=True)


class ActivityLog:
    """Writes lines in the unit of work that they tell about."""

    def __init__(self, store: RowStore[TaskActivity], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    def record(self, executor: Executor, task: Mapping[str, Any], activity_type: str, message: str, data: Any) -> None:
        """Add a line in the running unit of work."""
        self._store.prepare_insert(self._line(task, activity_type, message, data))(executor)

    def record_many(
        self, executor: Executor, tasks: Iterable[Mapping[str, Any]], activity_type: str, message: str, data: Any
    ) -> None:
        """Add the same line to the logs of many tasks in the running unit of work."""
        plan = self._store.plans.insert([key for key in self._store.plans.columns if key != "id"])
        lines = (self._line(task, activity_type, message, data) for task in tasks)
        executor.change_many(plan, [plan.encode(line) for line in lines])

    def _line(self, task: Mapping[str, Any], activity_type: str, message: str, data: Any) -> dict[str, Any]:
        return {
            "task_id": task["id"],
            "activity_type": activity_type,
            "message": message,
            "actor": current_audit_context().actor,
            "phase": task["current_phase"],
            "data": data,
            "created_at": self._clock(),
        }
