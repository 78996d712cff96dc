"""What every write of a task obeys, whichever verb it comes from: the tree, the states, and what a failure means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.errors import ForeignKeyError, ValidationError
from agent_system.managers.core.rules import TableRules
from agent_system.managers.core.store import RowStore
from agent_system.managers.tasks.endings import TaskEndings
from agent_system.managers.tasks.states import UNSUCCESSFUL, move
from agent_system.models import Task
from agent_system.types import EntityType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor
    from agent_system.managers.core.store import Check
    from agent_system.managers.tasks.activities import ActivityLog

__all__ = ["TaskStore"]


class TaskStore(RowStore[Task]):
    """Writes tasks: each in its tree, and each change of a status by the table of transitions."""

    def __init__(
        self, dialect: Dialect, clock: Callable[[], datetime], log: ActivityLog, fixed: frozenset[str]
    ) -> None:
        super().__init__(Task, dialect, clock, TableRules(audited=EntityType.TASK, fixed=fixed))
        self.log = log
        self.endings = TaskEndings(self, log, clock)

    def prepare_insert(
        self, values: dict[str, Any], *, audit: bool = True, late: tuple[str, ...] = ()
    ) -> Callable[[Executor], None]:
        """As for other rows; a task with a parent gets its parent's tree when it is written."""
        parent_id, given = values["parent_task_id"], values["tree_id"]
        if parent_id is None:
            self._check_tree(given, values["id"])
            values["tree_id"] = values["id"]
            return super().prepare_insert(values, audit=audit, late=late)
        prepare = super().prepare_insert

        def insert(executor: Executor) -> None:
            parent = self.get(executor, {"id": parent_id})
            if parent is None:
                message = f"tasks.parent_task_id: there is no tasks row {parent_id}; nothing was written"
                raise ForeignKeyError(message, table="tasks", fields=("parent_task_id",))
            self._check_tree(given, parent["tree_id"])
            values["tree_id"] = parent["tree_id"]
            prepare(values, audit=audit, late=late)(executor)

        return insert

    def change(
        self,
        executor: Executor,
        key: Mapping[str, Any],
        changes: Mapping[str, Any],
        *,
        expected_version: int | None = None,
        check: Check | None = None,
        event_type: str = "updated",
        reason: str | None = None,
    ) -> dict[str, Any]:
        """As for other rows; a change of the status is written to the log, and a failure reaches the dependents.

        Args:
            reason: Why the status changes, for the log.

        Raises:
            TransitionError: The status may not follow the present one.
        """

        def follow(executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> str | None:
            named = None if check is None else check(executor, before, changes)
            return self._follow(executor, before, changes, reason) or named

        after = super().change(
            executor, key, changes, expected_version=expected_version, check=follow, event_type=event_type
        )
        if "status" in changes and after["status"] in UNSUCCESSFUL:
            self.endings.fail_dependents(executor, after["id"], after["status"])
        return after

    def _follow(
        self, executor: Executor, before: Mapping[str, Any], changes: dict[str, Any], reason: str | None
    ) -> str | None:
        """Complete a change by what its new status brings with it, and write the line of the log."""
        status = changes.get("status")
        if status is None or status == before["status"]:
            return None
        for key, value in move(before, status, self._clock()).items():
            changes.setdefault(key, value)
        data = {"from": before["status"], "to": status, "reason": reason}
        if before["error"] is not None and changes.get("error", before["error"]) is None:
            # A retry clears the error; here it stays on record.
            data["error"] = before["error"]
        message = f"{before['status']} → {status}" + (f": {reason}" if reason else "")
        self.log.record(executor, {**before, **changes}, "status", message, data)
        return "status_changed"

    def _check_tree(self, given: Any, tree_id: Any) -> None:
        if given not in {None, tree_id}:
            message = f"tasks.tree_id: the task belongs to the tree {tree_id}, which the layer finds out; leave it out"
            raise ValidationError(message, field="tree_id", entity=self.name)
