"""What happens to one task, from its beginning to its end, and the log of it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.clock import utc_now
from agent_system.managers.core.base import Manager
from agent_system.managers.core.where import conditions
from agent_system.managers.tasks.activities import ActivityLog, ActivityManager
from agent_system.managers.tasks.states import RESUMABLE, RETRIABLE, check_is_one_of
from agent_system.managers.tasks.store import TaskStore
from agent_system.managers.tasks.upkeep import is_running, recover_dead
from agent_system.models import Task
from agent_system.types import EntityType, TaskStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.pagination import Page
    from agent_system.managers.core.store import Check
    from agent_system.managers.core.where import Where
    from agent_system.models import TaskActivity

__all__ = ["TaskLifecycle"]


class TaskLifecycle(Manager[Task]):
    """The states of tasks, who works on them and in which phase, and their logs.

    `task_states.py` tells which status may follow which, and `update` obeys it like every other verb. The change is
    written to the log of the task and to the audit trail, and a failure reaches what depends on the task, all in one
    transaction.
    """

    entity = Task
    audited = EntityType.TASK
    fixed = frozenset({"parent_task_id", "tree_id"})

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(db, clock=clock)
        self._activities = ActivityManager(db, clock=clock)

    @cached_property
    def store(self) -> TaskStore:
        """What units of work are made of; needs a connected database, because statements differ by engine."""
        return TaskStore(self._db.dialect, self._clock, ActivityLog(self._activities.store, self._clock), self.fixed)

    def fill_in(self, values: dict[str, Any]) -> None:
        """Let a task that is running from the first have begun when it was made."""
        if values["status"] is TaskStatus.RUNNING and values["started_at"] is None:
            values["started_at"] = values["created_at"]

    # States.

    async def set_status(
        self, task_id: Any, status: TaskStatus | str, *, reason: str | None = None, expected_version: int | None = None
    ) -> Task:
        """Move a task to another status; `started_at` is set when it first runs, `completed_at` when it ends.

        The result and the error stay as they are.

        Args:
            reason: Why, for the log of the task.

        Raises:
            NotFoundError: There is no such task.
            TransitionError: The status may not follow the present one; the error lists those that may.
            ConflictError: The task is at another version.
        """
        return await self._change(task_id, {"status": status}, reason=reason, expected_version=expected_version)

    async def set_result(self, task_id: Any, result: str, summary: str | None = None) -> Task:
        """Write what came out of a task, which completes it.

        Raises:
            NotFoundError: There is no such task.
            TransitionError: It neither runs nor waits for its parts.
        """
        short = {} if summary is None else {"summary": summary}
        return await self._change(task_id, {"result": result, "status": TaskStatus.COMPLETED, **short})

    async def set_error(self, task_id: Any, error: str) -> Task:
        """Write what went wrong with a task, which fails it and what is to fail with it.

        Raises:
            NotFoundError: There is no such task.
            TransitionError: It has ended already in another way.
        """
        return await self._change(task_id, {"error": error, "status": TaskStatus.FAILED}, reason=error)

    async def stop(self, task_id: Any, reason: str | None = None) -> Task:
        """End a task for now; it can be resumed. Raises as `set_status` does."""
        return await self.set_status(task_id, TaskStatus.STOPPED, reason=reason)

    async def cancel(self, task_id: Any, reason: str | None = None) -> Task:
        """End a task for good. Raises as `set_status` does."""
        return await self.set_status(task_id, TaskStatus.CANCELLED, reason=reason)

    async def hold(self, task_id: Any, reason: str | None = None) -> Task:
        """Set a task aside until it is resumed. Raises as `set_status` does."""
        return await self.set_status(task_id, TaskStatus.ON_HOLD, reason=reason)

    async def resume(self, task_id: Any, reason: str | None = None) -> Task:
        """Let a task that is on hold, or was stopped, wait for an agent again.

        Raises:
            NotFoundError: There is no such task.
            TransitionError: It is neither on hold nor stopped.
        """

        def check(_executor: Executor, before: dict[str, Any], _changes: dict[str, Any]) -> None:
            check_is_one_of(before, RESUMABLE, "resumed")

        return await self._change(task_id, {"status": TaskStatus.PENDING}, check=check, reason=reason)

    async def retry(self, task_id: Any, reason: str | None = None) -> Task:
        """Let a task that failed, or was stopped, be done again, as its next attempt; its error moves to its log.

        One that failed with another waits until that one has been done again too.

        Raises:
            NotFoundError: There is no such task.
            TransitionError: It neither failed nor was stopped.
        """

        def check(_executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
            check_is_one_of(before, RETRIABLE, "retried")
            changes["attempt"] = before["attempt"] + 1

        return await self._change(task_id, {"status": TaskStatus.PENDING, "error": None}, check=check, reason=reason)

    async def recover_interrupted(
        self, where: Where = None, reason: str = "interrupted: the program that ran it has ended"
    ) -> builtins.list[Task]:
        """Stop the tasks that are still running; to be called when a runtime starts, before it runs any.

        They are the interrupted ones until they are taken up again, and the calls that they were making are given up.

        Args:
            where: Which of them, where several runtimes share a database; None is all.
        """
        running = self.query({"status": TaskStatus.RUNNING}).where(*conditions(self.plans, where))
        statement = running.order_by(self.plans.columns["id"]).with_for_update()
        keys, endings = self.plans.hydrate.keys, self.store.endings

        def work(executor: Executor) -> builtins.list[dict[str, Any]]:
            found = [dict(zip(keys, row, strict=True)) for row in executor.execute(statement)]
            return endings.interrupt(executor, found, reason)

        return [self.plans.hydrate.build(values) for values in await self.run(work)]

    async def recover_dead(
        self,
        where: Where = None,
        *,
        is_alive: Callable[[int], bool] = is_running,
        reason: str = "interrupted: its process has ended",
    ) -> builtins.list[Task]:
        """Stop the running tasks whose process, by their `pid`, is gone; for a runtime that looks while it runs.

        Args:
            where: Only such tasks, for instance those of this machine.
            is_alive: Tells whether a process runs; called within the transaction, so it has to be quick.
        """
        return await self._end_many(recover_dead(self.store, conditions(self.plans, where), is_alive, reason))

    async def interrupted(self, limit: int = 100, after: str | None = None, where: Where = None) -> Page[Task]:
        """Return one page of the tasks that were stopped because what ran them was gone, the latest first."""
        columns = self.plans.columns
        wanted = [columns["interrupted_at"].is_not(None), columns["status"] == TaskStatus.STOPPED]
        return await self.list([*wanted, *conditions(self.plans, where)], "-interrupted_at", limit, after)

    # Work.

    async def assign_agent(self, task_id: Any, agent_id: Any) -> Task:
        """Give a task to an agent; None takes it from whoever has it.

        Raises:
            NotFoundError: There is no such task.
            ForeignKeyError: There is no such agent.
        """
        log = self.store.log

        def check(executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> str:
            old, new = before["agent_id"], changes["agent_id"]
            data = {"from": None if old is None else str(old), "to": None if new is None else str(new)}
            log.record(executor, before, "agent", "assigned" if new else "taken from its agent", data)
            return "agent_assigned"

        return await self._change(task_id, {"agent_id": agent_id}, check=check)

    async def update_phase(
        self, task_id: Any, phase: str, *, phase_number: int | None = None, agent_type: str | None = None
    ) -> Task:
        """Let a task enter a phase.

        Args:
            phase_number: Which phase it is; None is the one after the present.
            agent_type: The kind of agent that works in it; None leaves it.

        Raises:
            NotFoundError: There is no such task.
        """
        log = self.store.log

        def check(executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> str:
            number = changes.setdefault("phase_number", before["phase_number"] + 1)
            data = {"from": before["current_phase"], "to": phase, "number": number}
            log.record(executor, {**before, **changes}, "phase", phase, data)
            return "phase_changed"

        given = {"phase_number": phase_number, "agent_type": agent_type}
        changes = {"current_phase": phase} | {key: value for key, value in given.items() if value is not None}
        return await self._change(task_id, changes, check=check)

    async def add_activity(
        self,
        task_id: Any,
        message: str,
        *,
        activity_type: str = "message",
        actor: str | None = None,
        phase: str | None = None,
        data: Any = None,
    ) -> TaskActivity:
        """Add a line to the log of a task; any number of writers may at once.

        Args:
            actor: Who did it; None is the actor of the running `audit_context`.
            phase: None is the phase that the task is in.

        Raises:
            NotFoundError: There is no such task.
            ValidationError: A value was refused.
        """
        line = {"activity_type": activity_type, "message": message, "actor": actor, "phase": phase, "data": data}
        return await self._activities.add(task_id, line)

    async def activities(
        self, task_id: Any, *, limit: int = 100, after: str | None = None, newest_first: bool = False
    ) -> Page[TaskActivity]:
        """Return one page of the log of a task."""
        order_by = "-id" if newest_first else "id"
        return await self._activities.list({"task_id": self._key(task_id)}, order_by, limit, after)

    async def _end_many(self, work: Callable[[Executor], builtins.list[dict[str, Any]]]) -> builtins.list[Task]:
        return [self.plans.hydrate.build(values) for values in await self.run(work)]

    def _key(self, task_id: Any) -> Any:
        """The id as a UUID.

        Raises:
            NotFoundError: No task can have it.
        """
        return self.store.keys.existing(task_id)["id"]

    async def _change(
        self,
        task_id: Any,
        changes: dict[str, Any],
        *,
        check: Check | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> Task:
        store = self.store
        key = store.keys.existing(task_id)
        values = store.validator.change_values(changes)

        def work(executor: Executor) -> dict[str, Any]:
            return store.change(executor, key, values, expected_version=expected_version, check=check, reason=reason)

        return self.plans.hydrate.build(await self.run(work, values))
