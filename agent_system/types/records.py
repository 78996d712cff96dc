"""How grave a log entry is, and where a to-do and a goal stand."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GOAL_STATUS_LEGACY", "LOG_LEVEL_LEGACY", "GoalStatus", "LogLevel", "TodoStatus"]


class LogLevel(StrEnum):
    """How grave a log entry is, the least first."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"


# The names of Python's levels and of the loggers of Node.js.
LOG_LEVEL_LEGACY: Mapping[str, LogLevel] = spellings(
    silly=LogLevel.DEBUG,
    trace=LogLevel.DEBUG,
    verbose=LogLevel.DEBUG,
    notset=LogLevel.DEBUG,
    http=LogLevel.INFO,
    notice=LogLevel.INFO,
    warning=LogLevel.WARN,
    err=LogLevel.ERROR,
    critical=LogLevel.FATAL,
)


class TodoStatus(StrEnum):
    """Where a to-do stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class GoalStatus(StrEnum):
    """Where a goal stands."""

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


GOAL_STATUS_LEGACY: Mapping[str, GoalStatus] = spellings(
    active=GoalStatus.IN_PROGRESS,
    pending=GoalStatus.NOT_STARTED,
    done=GoalStatus.COMPLETED,
    canceled=GoalStatus.CANCELLED,
)
