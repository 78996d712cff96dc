"""The tree of tasks: a task with everything under it, or everything above it, in one recursive statement."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm.attributes import set_committed_value

from agent_system.models import Task

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy import Select

__all__ = ["TaskNode", "above", "branch_of", "nested", "path_of", "under"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskNode:
    """A task at its place in a tree."""

    task: Task
    """The task; its `children` are loaded."""
    depth: int
    """Steps from the task that was asked for, which is at 0."""


def under(task_id: UUID) -> Select[Any]:
    """The task and everything under it, older tasks first."""
    tasks = _table()
    # UNION, not UNION ALL: a ring of parents, which only plain SQL can make, ends instead of running for ever.
    branch = select(tasks.c.id).where(tasks.c.id == task_id).cte("branch", recursive=True)
    branch = branch.union(select(tasks.c.id).join(branch, tasks.c.parent_task_id == branch.c.id))
    return select(*tasks.columns).join(branch, tasks.c.id == branch.c.id).order_by(tasks.c.id)


def above(task_id: UUID) -> Select[Any]:
    """The task and everything that it is a part of, in no order."""
    tasks = _table()
    path = select(tasks.c.id, tasks.c.parent_task_id).where(tasks.c.id == task_id).cte("path", recursive=True)
    path = path.union(select(tasks.c.id, tasks.c.parent_task_id).join(path, tasks.c.id == path.c.parent_task_id))
    return select(*tasks.columns).join(path, tasks.c.id == path.c.id)


def branch_of(task_id: UUID, tasks: Iterable[Task]) -> list[TaskNode]:
    """Order the tasks of a branch depth-first, and give each its children; empty when the task is not among them."""
    parts: dict[UUID | None, list[Task]] = defaultdict(list)
    by_id: dict[UUID, Task] = {}
    for task in tasks:
        by_id[task.id] = task
        if task.id != task_id:
            parts[task.parent_task_id].append(task)
    nodes: list[TaskNode] = []
    waiting = [(by_id[task_id], 0)] if task_id in by_id else []
    while waiting:
        task, depth = waiting.pop()
        children = parts[task.id]
        set_committed_value(task, "children", children)
        nodes.append(TaskNode(task=task, depth=depth))
        waiting.extend((child, depth + 1) for child in reversed(children))
    return nodes


def nested(nodes: Iterable[TaskNode]) -> dict[str, Any]:
    """The tasks of a branch, ordered by `branch_of`, as objects within objects, as JSON can hold them."""
    objects: dict[UUID, dict[str, Any]] = {}
    root: dict[str, Any] = {}
    for node in nodes:
        values = node.task.model_dump(mode="json") | {"depth": node.depth, "children": []}
        objects[node.task.id] = values
        if node.depth == 0:
            root = values
        elif node.task.parent_task_id is not None:
            objects[node.task.parent_task_id]["children"].append(values)
    return root


def path_of(task_id: UUID, tasks: Iterable[Task]) -> list[Task]:
    """Order the tasks of a path from the task up to its root; empty when the task is not among them."""
    by_id = {task.id: task for task in tasks}
    path: list[Task] = []
    following: UUID | None = task_id
    while following is not None and following in by_id:
        task = by_id.pop(following)
        path.append(task)
        following = task.parent_task_id
    return path


def _table() -> Any:
    # SQLModel types a class attribute as the value it holds; the table knows its columns as columns.
    return Task.metadata.tables["tasks"]
