"""Tools: the registry of what agents can call."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, literal_column, update

from agent_system.clock import utc_now
from agent_system.database.plans import compile_plan
from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.agents.tool_assignments import ToolAssignmentManager
from agent_system.managers.core.base import Manager
from agent_system.managers.core.json_edits import has_item, with_items, without_items
from agent_system.managers.core.names import NameLookup
from agent_system.managers.core.store import differing
from agent_system.models import Tool
from agent_system.models.columns import Real, UtcDateTime, Uuid
from agent_system.types import EntityType, LifecycleStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import Plan
    from agent_system.managers.core.pagination import Page
    from agent_system.models import TaskToolAssignment

__all__ = ["ToolManager"]


class ToolManager(Manager[Tool]):
    """Tools: the registry of what agents can call, and which tasks were assigned which of them.

    An archived tool is deleted softly: `get_by_*` still return it, the `find_by_*` of this class do not.
    """

    entity = Tool
    hot = True
    audited = EntityType.TOOL

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(db, clock=clock)
        self._assignments = ToolAssignmentManager(db, clock=clock)

    # Finding.

    async def get_by_name(self, name: str) -> Tool | None:
        """Return the tool of this name, without regard to case, or None."""
        return await self._names.find(self._db, name)

    async def find_by_category(self, category: str) -> builtins.list[Tool]:
        """Return the tools of a group."""
        return await self._find(self.plans.columns["category"] == category)

    async def find_by_implementation(self, implementation: str) -> builtins.list[Tool]:
        """Return the tools that run in one way."""
        return await self._find(self.plans.columns["implementation"] == implementation)

    async def find_by_permission(self, permission: str) -> builtins.list[Tool]:
        """Return the tools whose callers need a permission."""
        return await self._find(has_item(self.plans.columns["permissions"], permission))

    async def find_by_trigger(self, process_name: str) -> builtins.list[Tool]:
        """Return the tools that set off the process of this name."""
        return await self._find(has_item(self.plans.columns["triggers"], process_name))

    async def list_active(self, limit: int = 100, after: str | None = None) -> Page[Tool]:
        """Return one page of the tools that are in use, by name."""
        return await self.list({"status": LifecycleStatus.ACTIVE}, order_by="name", limit=limit, after=after)

    # Changing.

    async def record_execution(self, tool_id: Any, success: bool, duration_ms: float = 0.0) -> Tool:  # noqa: FBT001 (seed 001's order)
        """Count a finished call; calls counted at the same time are all counted.

        The counters are not worth an audit event each, and do not raise the version that editors of the tool compare.

        Raises:
            NotFoundError: There is no such tool.
            ValidationError: The duration is negative or no number.
        """
        key = self.store.keys.existing(tool_id)
        if not (math.isfinite(duration_ms) and duration_ms >= 0):
            message = f"duration_ms must be zero or more, not {duration_ms!r}"
            raise ValidationError(message, field="duration_ms", entity=self.store.name)
        plan = self._count_plans[success]
        parameters = plan.encode(key | {"duration_ms": float(duration_ms), "now": self._clock()})
        rows = await self.run(lambda executor: executor.fetch(plan, parameters))
        if not rows:
            raise NotFoundError(self.store.name, tool_id)
        return self.plans.hydrate(rows[0])

    async def enable(self, tool_id: Any) -> Tool:
        """Bring a tool into use; an archived one too."""
        return await self._set_status(tool_id, LifecycleStatus.ACTIVE, "enabled")

    async def disable(self, tool_id: Any) -> Tool:
        """Take a tool out of use: no agent may call it until it is enabled again."""
        return await self._set_status(tool_id, LifecycleStatus.INACTIVE, "disabled")

    async def add_permission(self, tool_id: Any, *permissions: str) -> Tool:
        """Let the callers of a tool need these permissions too."""
        return await self.revise(tool_id, lambda tool: {"permissions": with_items(tool, "permissions", permissions)})

    async def remove_permission(self, tool_id: Any, *permissions: str) -> Tool:
        """No longer let the callers of a tool need these permissions."""
        return await self.revise(tool_id, lambda tool: {"permissions": without_items(tool, "permissions", permissions)})

    # Assignments to tasks.

    async def assign(
        self,
        task_id: Any,
        tool_name: str,
        *,
        duration_seconds: float | None = None,
        expires_at: datetime | None = None,
        reason: str | None = None,
        permissions: Iterable[str] = (),
        assigned_by_agent_id: Any = None,
    ) -> TaskToolAssignment:
        """Let a task use a tool; an assignment that is there, revoked or not, is renewed with these values.

        Args:
            tool_name: It need not be registered; "all" is every tool.
            duration_seconds: For how long; give this or `expires_at` or neither.

        Raises:
            NotFoundError: There is no such task.
            ForeignKeyError: There is no such agent.
            ValidationError: A value was refused, or the assignment would end before it began.
        """
        return await self._assignments.assign(
            task_id,
            tool_name,
            duration_seconds=duration_seconds,
            expires_at=expires_at,
            reason=reason,
            permissions=[*permissions],
            assigned_by_agent_id=assigned_by_agent_id,
        )

    async def revoke(self, task_id: Any, tool_name: str) -> bool:
        """Take a tool away from a task; False when it has no active assignment of it."""
        return await self._assignments.revoke(task_id, tool_name)

    async def active_assignments(self, task_id: Any = None) -> builtins.list[TaskToolAssignment]:
        """Return the assignments that count now, of one task or of all, the newest first."""
        return await self._assignments.active(task_id)

    async def cleanup_expired_assignments(self) -> int:
        """Mark the assignments whose time is over as inactive, and return how many there were."""
        return await self._assignments.cleanup_expired()

    @cached_property
    def _names(self) -> NameLookup[Tool]:
        return NameLookup(self.plans)

    @cached_property
    def _count_plans(self) -> dict[bool, Plan]:
        return {True: self._count_plan("success_count"), False: self._count_plan("failure_count")}

    def _count_plan(self, outcome: str) -> Plan:
        table, columns = self.plans.table, self.plans.columns
        now = bindparam("now", type_=UtcDateTime())
        counted: dict[str, Any] = {key: columns[key] + literal_column("1") for key in ("execution_count", outcome)}
        counted["total_duration_ms"] = columns["total_duration_ms"] + bindparam("duration_ms", type_=Real())
        counted |= {"last_used_at": now, "updated_at": now}
        statement = update(table).where(columns["id"] == bindparam("id", type_=Uuid())).values(counted)
        plan = compile_plan(statement.returning(*table.columns), self._db.dialect, writes=table.name)
        return replace(plan, key_position=plan.parameters.index("id"))

    async def _find(self, condition: Any) -> builtins.list[Tool]:
        columns = self.plans.columns
        in_use = columns["status"] != LifecycleStatus.ARCHIVED
        return await self.select(self.query().where(condition, in_use).order_by(columns["name_key"]))

    async def _set_status(self, tool_id: Any, status: LifecycleStatus, event_type: str) -> Tool:
        return await self.revise(tool_id, partial(differing, status=status), event_type=event_type)
