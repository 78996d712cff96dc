"""Tasks: the tree of work, its states, and what waits for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func

from agent_system.clock import utc_now
from agent_system.errors import NotFoundError
from agent_system.managers.core.pagination import conditions
from agent_system.managers.tasks.dependencies import (
    DependencyManager,
    WaitingTask,
    dependents_of,
    prerequisites_of,
    ready,
    waiting,
)
from agent_system.managers.tasks.lifecycle import TaskLifecycle
from agent_system.managers.tasks.states import UNSUCCESSFUL
from agent_system.managers.tasks.statistics import TaskStatistics
from agent_system.managers.tasks.tree import TaskNode, above, branch_of, path_of, under
from agent_system.types import DependencyPolicy

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.pagination import Page, Where
    from agent_system.managers.tasks.store import TaskStore
    from agent_system.models import Task, TaskDependency

__all__ = ["TaskManager"]


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
