"""Tasks: the tree of work, its states, and what waits for what."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import func

from agent_system.clock import utc_now
from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.core.where import conditions
from agent_system.managers.tasks.dependencies import (
    DependencyManager,
    WaitingTask,
    dependents_of,
    prerequisites_of,
    ready,
    waiting,
)
from agent_system.managers.tasks.lifecycle import TaskLifecycle
from agent_system.managers.tasks.reports import TaskReports
from agent_system.managers.tasks.states import ENDED, UNSUCCESSFUL
from agent_system.managers.tasks.statistics import TaskStatistics
from agent_system.managers.tasks.tree import TaskNode, above, branch_of, nested, path_of, under
from agent_system.managers.tasks.upkeep import (
    NOT_BEGUN,
    UNENDED,
    delete_some,
    fail_stale,
    retry_stopped,
    silent_since,
    stop_unended,
)
from agent_system.models.uuids import uuid7
from agent_system.types import DependencyPolicy, TaskStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.pagination import Page
    from agent_system.managers.core.where import Where
    from agent_system.managers.tasks.store import TaskStore
    from agent_system.models import Task, TaskDependency

__all__ = ["TaskManager"]

ROWS_AT_ONCE = 100


class TaskManager(TaskLifecycle):
    """Tasks: the tree of work, its states, and what waits for what.

    A task's tree is found out when it is written and stays, as does its parent.
    """

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(db, clock=clock)
        self._dependencies = DependencyManager(db, clock=clock)

    # The tree.

    async def add_subtask(self, parent_task_id: Any, data: Mapping[str, Any]) -> Task:
        """Write a task that is a part of another one.

        Raises:
            ForeignKeyError: There is no such parent.
            ValidationError: The data were refused.
        """
        return await self.create({**data, "parent_task_id": parent_task_id})

    async def tree(self, task_id: Any) -> builtins.list[TaskNode]:
        """Return a task and everything under it depth-first, each with its depth and its `children`, by one statement.

        The whole tree that a task is in is `tree(task.tree_id)`.

        Raises:
            NotFoundError: There is no such task.
        """
        key = self._key(task_id)
        nodes = branch_of(key, await self.select(under(key)))
        if not nodes:
            raise NotFoundError(self.store.name, task_id)
        return nodes

    async def descendants(self, task_id: Any) -> builtins.list[Task]:
        """Return everything under a task, depth-first.

        Raises:
            NotFoundError: There is no such task.
        """
        return [node.task for node in (await self.tree(task_id))[1:]]

    async def ancestors(self, task_id: Any) -> builtins.list[Task]:
        """Return what a task is a part of, from its parent up to the root, by one statement.

        Raises:
            NotFoundError: There is no such task.
        """
        key = self._key(task_id)
        path = path_of(key, await self.select(above(key)))
        if not path:
            raise NotFoundError(self.store.name, task_id)
        return path[1:]

    async def children(self, task_id: Any) -> builtins.list[Task]:
        """Return the direct parts of a task, older ones first."""
        return await self.find(parent_task_id=self._key(task_id))

    async def roots(self, limit: int = 100, after: str | None = None) -> Page[Task]:
        """Return one page of the tasks that are no part of another, the newest first."""
        return await self.list({"parent_task_id": None}, order_by="-created_at", limit=limit, after=after)

    async def nested(self, task_id: Any) -> dict[str, Any]:
        """Return a task and everything under it as objects within `children`, as JSON can hold them, by one statement.

        Raises:
            NotFoundError: There is no such task.
        """
        return nested(await self.tree(task_id))

    def next_tree_id(self) -> UUID:
        """Return a new key for a root task, which is the key of its tree: `create({"id": tree_id, ...})`."""
        return uuid7()

    async def find_by_session(self, session_uuid: str) -> builtins.list[Task]:
        """Return the tasks of a runtime's session, the newest first."""
        columns = self.plans.columns
        return await self.select(self.query({"session_uuid": session_uuid}).order_by(columns["id"].desc()))

    async def page(
        self,
        shown: Literal["running", "not_completed", "completed", "all"] = "all",
        limit: int = 8,
        after: str | None = None,
        where: Where = None,
    ) -> Page[Task]:
        """Return one page of tasks as a monitor lists them, the newest first.

        Args:
            shown: Those that run, that are not completed (however they ended), that are, or all.
            where: Only such tasks; see `list`.

        Raises:
            ValidationError: There is no such list.
        """
        status = self.plans.columns["status"]
        lists: dict[str, builtins.list[Any]] = {
            "running": [status == TaskStatus.RUNNING],
            "not_completed": [status != TaskStatus.COMPLETED],
            "completed": [status == TaskStatus.COMPLETED],
            "all": [],
        }
        if shown not in lists:
            message = f"shown must be one of {', '.join(lists)}, not {shown!r}"
            raise ValidationError(message, field="shown", entity=self.store.name)
        wanted = [*lists[shown], *conditions(self.plans, where)]
        return await self.list(wanted, "-created_at", limit, after)

    # Many tasks at once.

    async def stop_all(
        self, where: Where = None, *, statuses: Iterable[TaskStatus | str] = UNENDED, reason: str = "all were stopped"
    ) -> builtins.list[Task]:
        """Stop the tasks that have not ended, or those in some states; `retry_all_stopped` takes them up again.

        Args:
            where: Only such tasks; see `list`.
            statuses: Only tasks in these.
        """
        wanted = [TaskStatus(status) for status in statuses if TaskStatus(status) in UNENDED]
        return await self._end_many(stop_unended(self.store, conditions(self.plans, where), wanted, reason))

    async def retry_all_stopped(self, where: Where = None, reason: str = "all were retried") -> builtins.list[Task]:
        """Let all stopped tasks wait for an agent again, each as its next attempt."""
        return await self._end_many(retry_stopped(self.store, conditions(self.plans, where), reason))

    async def fail_stale_pending(
        self, older_than: timedelta = timedelta(hours=1), where: Where = None
    ) -> builtins.list[Task]:
        """Fail the tasks that no agent has begun for so long, and what is to fail with them."""
        reason = f"no agent has begun it for {older_than}"
        before = self.plans.columns["updated_at"] < self._clock() - older_than
        wanted = [*conditions(self.plans, where), before]
        return await self._end_many(fail_stale(self.store, wanted, NOT_BEGUN, reason))

    async def fail_stuck(self, silent_for: timedelta, where: Where = None) -> builtins.list[Task]:
        """Fail the running tasks of which nothing was heard for so long, no change, line or call, and their dependents.

        One that runs longer than its own `max_execution_seconds` has to be told by `where`.
        """
        reason = f"nothing was heard of it for {silent_for}"
        wanted = [*conditions(self.plans, where), silent_since(self._clock() - silent_for)]
        return await self._end_many(fail_stale(self.store, wanted, (TaskStatus.RUNNING,), reason))

    async def clear_old(
        self,
        older_than: timedelta = timedelta(days=7),
        statuses: Iterable[TaskStatus | str] = tuple(ENDED),
        where: Where = None,
    ) -> int:
        """Delete the tasks that ended so long ago, with their parts, a hundred at a time; returns how many.

        Args:
            statuses: Only tasks that ended in these ways.
        """
        wanted = [TaskStatus(status) for status in statuses if TaskStatus(status) in ENDED]
        before = self._clock() - older_than
        work = delete_some(self.store, conditions(self.plans, where), wanted, before, ROWS_AT_ONCE)
        deleted = 0
        while count := await self.run(work):
            deleted += count
        return deleted

    async def clear_old_failed(self, older_than: timedelta = timedelta(hours=24), where: Where = None) -> int:
        """Delete the tasks that failed so long ago, by default a day; returns how many."""
        return await self.clear_old(older_than, (TaskStatus.FAILED,), where)

    @property
    def reports(self) -> TaskReports:
        """Reports: by agent, owner or type, durations, trends, the newest tasks with their tool calls."""
        return TaskReports(self._db, self.plans, self._clock)

    # What waits for what.

    async def add_dependency(
        self, task_id: Any, depends_on_id: Any, on_failure: DependencyPolicy | str = DependencyPolicy.FAIL
    ) -> TaskDependency:
        """Let a task wait for another one; where it does already, the policy is what changes.

        Args:
            on_failure: What happens to the task when the other one fails or is cancelled: it fails too (at once, if
                that has happened already), it is blocked until the other one was done again, or it does not mind.

        Raises:
            NotFoundError: One of the two does not exist.
            ValidationError: They are the same task, or the other one waits for this one already.
        """
        store, dependencies = self.store, self._dependencies
        values = dependencies.edge(task_id, depends_on_id, on_failure)

        def work(executor: Executor) -> dict[str, Any]:
            edge, tasks = dependencies.connect(executor, values)
            task, other = tasks[edge["task_id"]], tasks[edge["depends_on_id"]]
            _write_event(store, executor, "dependency_added", task, edge)
            if other["status"] in UNSUCCESSFUL:
                store.endings.fail_dependents(executor, other["id"], other["status"])
            return edge

        return dependencies.plans.hydrate.build(await dependencies.run(work, values))

    async def remove_dependency(self, task_id: Any, depends_on_id: Any) -> bool:
        """Let a task no longer wait for another one; False when it did not."""
        store, edges = self.store, self._dependencies.store
        key = edges.keys.possible((task_id, depends_on_id))
        if key is None:
            return False

        def work(executor: Executor) -> bool:
            edge = edges.get(executor, key, lock=True)
            task = store.get(executor, {"id": key["task_id"]})
            if edge is None or task is None or not edges.remove(executor, key):
                return False
            _write_event(store, executor, "dependency_removed", task, edge)
            return True

        return await self.run(work)

    async def dependencies_of(self, task_id: Any) -> builtins.list[Task]:
        """Return the tasks that a task waits for, whatever became of them, older ones first."""
        return await self.select(prerequisites_of(self._key(task_id)))

    async def dependents_of(self, task_id: Any) -> builtins.list[Task]:
        """Return the tasks that wait for a task, older ones first."""
        return await self.select(dependents_of(self._key(task_id)))

    async def find_ready(self, where: Where = None, limit: int = 100) -> builtins.list[Task]:
        """Return the created and pending tasks whose dependencies are all completed (or do not matter).

        By descending priority, and among equals the older ones first.

        Args:
            where: Only such tasks; see `list`.
        """
        return await self.select(ready(conditions(self.plans, where), limit))

    async def find_waiting(self, where: Where = None, limit: int = 100) -> builtins.list[WaitingTask]:
        """Return the tasks that wait for others, each with those that it waits for, by one statement.

        In the order of `find_ready`.

        Args:
            where: Only such tasks; see `list`.
        """
        statement = waiting(conditions(self.plans, where), limit)
        rows = await self._db.read(lambda executor: executor.execute(statement).all())
        keys, build = self.plans.hydrate.keys, self.plans.hydrate.build
        found: dict[Any, WaitingTask] = {}
        for row in rows:
            values = dict(zip(keys, row[: len(keys)], strict=True))
            entry = found.get(values["id"])
            if entry is None:
                entry = found[values["id"]] = WaitingTask(task=build(values), waits_for=[])
            entry.waits_for.append(build(dict(zip(keys, row[len(keys) :], strict=True))))
        return [*found.values()]

    async def statistics(self, where: Where = None) -> TaskStatistics:
        """Count tasks by status; what ended well among them is the success rate.

        Args:
            where: Only such tasks, for instance those of an agent or of a time; see `list`.
        """
        status = self.plans.columns["status"]
        counted = self.query().with_only_columns(status, func.count()).where(*conditions(self.plans, where))
        statement = counted.group_by(status)
        return TaskStatistics.of(await self._db.read(lambda executor: executor.execute(statement).all()))


def _write_event(
    store: TaskStore, executor: Executor, event_type: str, task: Mapping[str, Any], edge: Mapping[str, Any]
) -> None:
    if store.trail is not None:
        data = {"depends_on_id": str(edge["depends_on_id"]), "on_failure": edge["on_failure"]}
        store.trail.write(executor, store.trail.parameters(event_type, task["id"], data=data, tree_id=task["tree_id"]))
