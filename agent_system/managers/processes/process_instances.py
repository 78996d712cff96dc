"""Process instances: each run of a process, and where it stands."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, update

from agent_system.database.plans import compile_plan
from agent_system.errors import TransitionError, ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.json_edits import merged
from agent_system.managers.processes.process_states import OVER, UNDER_WAY, counted, move
from agent_system.managers.processes.processes import ProcessManager
from agent_system.models import ProcessInstance
from agent_system.types import ProcessInstanceStatus as Status

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan

__all__ = ["ProcessInstanceManager"]

COUNTERS = ("usage_count", "success_count", "failure_count", "total_execution_seconds")


class ProcessInstanceManager(Manager[ProcessInstance]):
    """Process instances: each run of a process.

    The states that may follow each other are those of `process_states.TRANSITIONS`. The counters of the process (runs,
    successes, failures, running time) change in the same unit of work as the run.

    Example:
        >>> run = await em.process_instances.start(process.id, {"branch": "main"})
        >>> await em.process_instances.advance(run.id, "build", {"log": "build.txt"})
        >>> await em.process_instances.complete(run.id, {"artifacts": 3})
    """

    entity = ProcessInstance
    fixed = frozenset({"process_id"})

    async def start(
        self, process_id: UUID, parameters: Mapping[str, Any] | None = None, task_id: UUID | None = None
    ) -> ProcessInstance:
        """Begin a run of a process.

        Args:
            process_id: The process.
            parameters: What the run is started with.
            task_id: The task that sets it off.

        Raises:
            ForeignKeyError: There is no such process.
        """
        return await self.create({"process_id": process_id, "parameters": dict(parameters or {}), "task_id": task_id})

    async def advance(
        self,
        id: UUID,  # noqa: A002
        step: str | None,
        state: Mapping[str, Any] | None = None,
    ) -> ProcessInstance:
        """Enter a step and merge what is to be remembered into the state; a run that waited goes on.

        Args:
            id: Key of the run.
            step: The step that it is at now; None after the last.
            state: A merge patch (RFC 7396): objects merge, None removes, the rest replaces.

        Raises:
            NotFoundError: There is no such run.
            TransitionError: The run is over.
        """

        def changes(row: Mapping[str, Any]) -> dict[str, Any]:
            if row["status"] in OVER:
                message = f"process instance {id} is {row['status']}: it has no next step"
                raise TransitionError(message, entity=self.store.name, entity_id=id)
            entered: dict[str, Any] = {"current_step_id": step}
            if row["status"] is not Status.ROLLING_BACK:
                entered["status"] = Status.RUNNING
            return entered | ({"state": merged(row, "state", state)} if state else {})

        return await self.revise(id, changes)

    async def wait(self, id: UUID) -> ProcessInstance:  # noqa: A002
        """Let the run wait for something; `advance` lets it go on.

        Raises:
            NotFoundError: There is no such run.
            TransitionError: It is not running.
        """
        return await self.update(id, {"status": Status.WAITING})

    async def complete(self, id: UUID, result: Mapping[str, Any] | None = None) -> ProcessInstance:  # noqa: A002
        """End the run as a success.

        Raises:
            NotFoundError: There is no such run.
            TransitionError: It is not under way.
        """
        return await self._end(id, {"status": Status.COMPLETED, "current_step_id": None, "result": dict(result or {})})

    async def fail(self, id: UUID, error: str) -> ProcessInstance:  # noqa: A002
        """End the run, or its undoing, as a failure.

        Raises:
            NotFoundError: There is no such run.
            TransitionError: It is over already.
        """
        return await self._end(id, {"status": Status.FAILED, "error": error})

    async def cancel(self, id: UUID, reason: str | None = None) -> ProcessInstance:  # noqa: A002
        """End the run because nobody wants it any more.

        Raises:
            NotFoundError: There is no such run.
            TransitionError: It is not under way.
        """
        return await self._end(id, {"status": Status.CANCELLED, "error": reason})

    async def roll_back(self, id: UUID) -> ProcessInstance:  # noqa: A002
        """Begin to undo the run; `advance` goes through the rollback steps, `finish_roll_back` ends it.

        Raises:
            NotFoundError: There is no such run.
            TransitionError: It has not begun, or is undone already.
            ValidationError: Its process has no rollback steps.
        """
        return await self._end(id, {"status": Status.ROLLING_BACK, "current_step_id": None})

    async def finish_roll_back(self, id: UUID) -> ProcessInstance:  # noqa: A002
        """Say that the run is undone.

        Raises:
            NotFoundError: There is no such run.
            TransitionError: It is not being undone.
        """
        return await self._end(id, {"status": Status.ROLLED_BACK, "current_step_id": None})

    async def find_under_way(self, process_id: UUID | None = None) -> builtins.list[ProcessInstance]:
        """Return the runs that are not over, of one process or of all, the oldest first."""
        columns = self.plans.columns
        statement = self.query().where(columns["status"].in_((*UNDER_WAY, Status.ROLLING_BACK)))
        if process_id is not None:
            statement = statement.where(columns["process_id"] == process_id)
        return await self.select(statement.order_by(columns["id"]))

    async def _end(self, id_: UUID, changes: dict[str, Any]) -> ProcessInstance:
        def end(row: Mapping[str, Any]) -> dict[str, Any]:
            # A second `complete` is a mistake, not a repetition: what it says may differ.
            move(row, changes["status"], self._clock())
            return changes

        return await self.revise(id_, end)

    # What a run writes besides itself.

    def fill_in(self, values: dict[str, Any]) -> None:
        """Say when the run began, and, of one that is over, when it ended."""
        if values["status"] is not Status.PENDING and values["started_at"] is None:
            values["started_at"] = values["created_at"]
        if values["status"] in OVER and values["completed_at"] is None:
            values["completed_at"] = values["created_at"]

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """Write the run and count it."""
        insert = super().insertion(values, audit=audit)

        def write(executor: Executor) -> None:
            insert(executor)
            self._count(executor, None, values)

        return write

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Keep to the allowed transitions, and count a run that ends.

        Raises:
            TransitionError: The status may not follow the present one.
            ValidationError: The run cannot be undone.
        """
        status = changes.get("status", before["status"])
        if status == before["status"]:
            return
        if status is Status.ROLLING_BACK:
            self._refuse_without_rollback(executor, before["process_id"])
        for key, value in move(before, status, self._clock()).items():
            changes.setdefault(key, value)
        self._count(executor, before["status"], before | changes)

    def _refuse_without_rollback(self, executor: Executor, process_id: UUID) -> None:
        process = self._processes.store.get(executor, {"id": process_id})
        if process is None or not process["rollback_steps"]:
            message = "the process has no rollback steps: its runs cannot be undone"
            raise ValidationError(message, field="rollback_steps", entity="Process")

    def _count(self, executor: Executor, before: Status | None, row: Mapping[str, Any]) -> None:
        added = counted(before, row)
        if any(added.values()):
            values = {f"add_{key}": value for key, value in added.items()}
            plan = self._count_plan
            executor.change(plan, plan.encode(values | {"process_id": row["process_id"], "now": self._clock()}))

    @cached_property
    def _processes(self) -> ProcessManager:
        return ProcessManager(self._db, clock=self._clock)

    @cached_property
    def _count_plan(self) -> Plan:
        plans = self._processes.plans
        columns = plans.columns
        values: dict[str, Any] = {
            key: columns[key] + bindparam(f"add_{key}", type_=columns[key].type) for key in COUNTERS
        }
        values["updated_at"] = bindparam("now", type_=columns["updated_at"].type)
        statement = update(plans.table).where(columns["id"] == bindparam("process_id", type_=columns["id"].type))
        plan = compile_plan(statement.values(values), plans.dialect, writes=plans.table.name)
        return replace(plan, key_position=plan.parameters.index("process_id"))
