"""Tasks: the tree of work, its states, and what waits for what."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Task

__all__ = ["TaskManager"]


class TaskManager(Manager[Task]):
    """Tasks: the tree of work, its states, and what waits for what."""

    entity = Task
    audited = "task"
