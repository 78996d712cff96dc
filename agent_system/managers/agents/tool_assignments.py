"""Tools that a task may use for a while, whoever works on it."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select, update

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.agents.agent_tools import counts_at
from agent_system.managers.core.audit import AuditTrail
from agent_system.managers.core.base import Manager
from agent_system.managers.core.images import image
from agent_system.models import Task, TaskToolAssignment, metadata
from agent_system.models.naming import name_key
from agent_system.types import EntityType

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import RowMapping

    from agent_system.database.executor import Executor

__all__ = ["ToolAssignmentManager"]

_assignments = metadata.tables["task_tool_assignments"]
_tasks = metadata.tables["tasks"]
_tools = metadata.tables["tools"]


class ToolAssignmentManager(Manager[TaskToolAssignment]):
    """Assignments of tools to tasks; `em.tools` offers its verbs."""

    entity = TaskToolAssignment

    async def assign(
        self, task_id: Any, tool_name: str, *, duration_seconds: float | None = None, **fields: Any
    ) -> TaskToolAssignment:
        """Let a task use a tool; an assignment that is there, revoked or not, is renewed.

        Raises:
            NotFoundError: There is no such task.
            ValidationError: A value was refused, or the assignment would end before it began.
        """
        now = self._clock()
        if duration_seconds is not None:
            fields["expires_at"] = self._end(now, duration_seconds, fields.get("expires_at"))
        values = self.new_values({"task_id": task_id, "tool_name": tool_name} | fields)
        if values["expires_at"] is not None and values["expires_at"] <= now:
            message = f"expires_at is {values['expires_at'].isoformat()}, which is over"
            raise ValidationError(message, field="expires_at", entity=self.store.name)

        trail = self._trail

        def work(executor: Executor) -> dict[str, Any]:
            tree_id = self._lock_task(executor, values["task_id"])
            if tree_id is None:
                raise NotFoundError(Task.__name__, values["task_id"])
            row = self._renew(executor, dict(values))
            trail.write(executor, _event(trail, "tool_assigned", row, tree_id))
            return row

        return self.plans.hydrate.build(await self.run(work, values))

    async def revoke(self, task_id: Any, tool_name: str) -> bool:
        """Take a tool away from a task; False when it has no active assignment of it."""
        key = self.store.keys.possible(task_id)
        if key is None:
            return False
        trail = self._trail

        def work(executor: Executor) -> bool:
            tree_id = self._lock_task(executor, key["id"])
            found = self._find(executor, key["id"], tool_name)
            if found is None or not found["is_active"]:
                return False
            changes = {"is_active": False, "revoked_at": self._clock()}
            row = self.store.change(executor, {"id": found["id"]}, changes)
            trail.write(executor, _event(trail, "tool_revoked", row, tree_id))
            return True

        return await self.run(work)

    async def active(self, task_id: Any = None) -> builtins.list[TaskToolAssignment]:
        """Return the assignments that count now, of one task or of all, the newest first."""
        statement = self.query().where(counts_at(_assignments, self._clock()))
        if task_id is not None:
            key = self.store.keys.possible(task_id)
            if key is None:
                return []
            statement = statement.where(_assignments.c.task_id == key["id"])
        return await self.select(statement.order_by(_assignments.c.id.desc()))

    async def cleanup_expired(self) -> int:
        """Mark the assignments that are over as inactive, and return how many there were."""
        now = self._clock()
        is_over = and_(_assignments.c.is_active, _assignments.c.expires_at <= now)
        statement = update(_assignments).where(is_over).values(is_active=False, updated_at=now)
        return await self.run(lambda executor: executor.execute(statement).rowcount)

    @cached_property
    def _trail(self) -> AuditTrail:
        return AuditTrail(EntityType.TASK, self._db.dialect, self._clock)

    def _end(self, now: datetime, duration_seconds: float, expires_at: datetime | None) -> datetime:
        if expires_at is not None:
            message = "give either duration_seconds or expires_at"
            raise ValidationError(message, field="expires_at", entity=self.store.name)
        try:
            return now + timedelta(seconds=duration_seconds)
        except (OverflowError, TypeError, ValueError) as exc:
            message = f"duration_seconds: {exc}"
            raise ValidationError(message, field="duration_seconds", entity=self.store.name) from exc

    def _lock_task(self, executor: Executor, task_id: UUID) -> UUID | None:
        """Let nobody else change the task's assignments before this transaction ends, and return the task's tree."""
        statement = select(_tasks.c.tree_id).where(_tasks.c.id == task_id).with_for_update()
        return executor.execute(statement).scalar()

    def _renew(self, executor: Executor, values: dict[str, Any]) -> dict[str, Any]:
        """Write the assignment under the registered spelling of the tool's name, if it is registered."""
        named = select(_tools.c.id, _tools.c.name).where(_tools.c.name_key == name_key(values["tool_name"]))
        tool = executor.execute(named).first()
        if tool is not None:
            values |= {"tool_id": tool.id, "tool_name": tool.name}
        found = self._find(executor, values["task_id"], values["tool_name"])
        if found is None:
            self.insertion(values)(executor)
            return values
        again = {key: value for key, value in values.items() if key not in {"id", "task_id", "created_at"}}
        return self.store.change(executor, {"id": found["id"]}, again)

    def _find(self, executor: Executor, task_id: UUID, tool_name: str) -> RowMapping | None:
        rows = executor.execute(self.query({"task_id": task_id})).mappings().all()
        wanted = name_key(tool_name)
        return next((row for row in rows if name_key(row["tool_name"]) == wanted), None)


def _event(trail: AuditTrail, event_type: str, row: Mapping[str, Any], tree_id: UUID | None) -> Sequence[Any]:
    told = image({key: row[key] for key in ("tool_name", "reason", "expires_at")})
    return trail.parameters(event_type, row["task_id"], data=told, tree_id=tree_id)
