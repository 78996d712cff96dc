"""Processes: how work is done, step by step, and how it is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, literal, select

from agent_system.database.dialects.expressions import json_array_length, transaction_lock
from agent_system.managers.core.base import Manager
from agent_system.managers.core.json_edits import has_item, with_items, without_items
from agent_system.managers.core.store import differing
from agent_system.models import Process
from agent_system.models.naming import name_key
from agent_system.types import EntityType, LifecycleStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor

__all__ = ["ProcessManager"]


class ProcessManager(Manager[Process]):
    """Processes: how work is done, step by step, and how it is undone.

    At most one process of a type is its default: the one that is used when none is asked for by name.
    """

    entity = Process
    audited = EntityType.PROCESS
    kept = frozenset({"usage_count", "success_count", "failure_count", "total_execution_seconds"})

    # Writing.

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """Write the process; a new default replaces the old one."""
        insert = super().insertion(values, audit=audit)
        if not values["is_default"]:
            return insert

        def write(executor: Executor) -> None:
            self._replace_default(executor, values["process_type"])
            insert(executor)

        return write

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Let a new default replace the old one."""
        after = before | changes
        place = (after["is_default"], after["process_type"])
        if after["is_default"] and place != (before["is_default"], before["process_type"]):
            self._replace_default(executor, after["process_type"])

    def _replace_default(self, executor: Executor, process_type: str) -> None:
        executor.execute(select(transaction_lock(literal(f"processes.is_default:{process_type}"))))
        columns = self.plans.columns
        statement = select(columns["id"]).where(columns["process_type"] == process_type, columns["is_default"])
        for key in executor.execute(statement).scalars().all():
            self.store.change(executor, {"id": key}, {"is_default": False})

    async def set_default(self, id: UUID) -> Process:  # noqa: A002
        """Make a process the default of its type, in place of the one that is it.

        Raises:
            NotFoundError: There is no such process.
        """
        return await self.revise(id, lambda row: {} if row["is_default"] else {"is_default": True})

    async def add_trigger(self, id: UUID, *triggers: str) -> Process:  # noqa: A002
        """Let names set the process off; one that does already stays as it is."""
        return await self.revise(id, lambda row: differing(row, triggers=with_items(row, "triggers", triggers)))

    async def remove_trigger(self, id: UUID, *triggers: str) -> Process:  # noqa: A002
        """Let names no longer set the process off; one that does not is no error."""
        return await self.revise(id, lambda row: differing(row, triggers=without_items(row, "triggers", triggers)))

    # Reading.

    async def get_by_name(self, name: str) -> Process | None:
        """Return the process of this name, whatever the case, or None; of several, the newest that is in use."""
        columns = self.plans.columns
        archived_last = case((columns["status"] == LifecycleStatus.ARCHIVED, 1), else_=0)
        statement = self.query().where(columns["name_key"] == name_key(name))
        found = await self.select(statement.order_by(archived_last, columns["id"].desc()).limit(1))
        return found[0] if found else None

    async def get_default(self, process_type: str = "general") -> Process | None:
        """Return the process that is used for a type when none is asked for by name, or None."""
        return await self.find_one(process_type=process_type, is_default=True)

    async def find_by_type(self, process_type: str) -> builtins.list[Process]:
        """Return the active processes of a type, by name."""
        return await self._find(self.plans.columns["process_type"] == process_type)

    async def find_by_trigger(self, trigger: str) -> builtins.list[Process]:
        """Return the active processes that a name sets off, by name."""
        return await self._find(has_item(self.plans.columns["triggers"], trigger))

    async def find_by_required_tool(self, tool_name: str) -> builtins.list[Process]:
        """Return the active processes that need a tool, by name."""
        return await self._find(has_item(self.plans.columns["required_tools"], tool_name))

    async def find_by_required_document(self, document_name: str) -> builtins.list[Process]:
        """Return the active processes that need a context document, by name."""
        return await self._find(has_item(self.plans.columns["required_documents"], document_name))

    async def find_rollback_capable(self) -> builtins.list[Process]:
        """Return the active processes that can be undone, by name."""
        return await self._find(json_array_length(self.plans.columns["rollback_steps"]) > 0)

    async def _find(self, condition: ColumnElement[bool]) -> builtins.list[Process]:
        columns = self.plans.columns
        statement = self.query().where(condition, columns["status"] == LifecycleStatus.ACTIVE)
        return await self.select(statement.order_by(columns["name_key"], columns["id"]))
