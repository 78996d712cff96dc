"""Where a task stands."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TASK_STATUS_LEGACY", "DependencyPolicy", "TaskStatus"]


class TaskStatus(StrEnum):
    """Where an agent's work stands."""

    CREATED = "created"
    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    ON_HOLD = "on_hold"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


# The states of seed 001's two state machines and of seed 000's promises.
TASK_STATUS_LEGACY: Mapping[str, TaskStatus] = spellings(
    process_assigned=TaskStatus.PENDING,
    ready_for_agent=TaskStatus.QUEUED,
    agent_selected=TaskStatus.QUEUED,
    agent_responding=TaskStatus.RUNNING,
    tool_processing=TaskStatus.RUNNING,
    evaluating=TaskStatus.RUNNING,
    documenting=TaskStatus.RUNNING,
    summarizing=TaskStatus.RUNNING,
    in_progress=TaskStatus.RUNNING,
    processing=TaskStatus.RUNNING,
    waiting_subtasks=TaskStatus.WAITING,
    waiting_on_dependencies=TaskStatus.WAITING,
    manual_hold=TaskStatus.ON_HOLD,
    review_flagged=TaskStatus.ON_HOLD,
    complete=TaskStatus.COMPLETED,
    canceled=TaskStatus.CANCELLED,
)


class DependencyPolicy(StrEnum):
    """What a failed prerequisite does to the task that waits for it."""

    FAIL = "fail"
    BLOCK = "block"
    IGNORE = "ignore"
