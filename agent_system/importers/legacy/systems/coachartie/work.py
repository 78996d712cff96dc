"""What waited and what was reported: the queue, lists of things to do, goals, and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.importers.legacy.accounts import person
from agent_system.importers.legacy.conflicts import Suffix
from agent_system.importers.legacy.converters import (
    NOW,
    constant,
    flag,
    future,
    integer,
    json_object,
    json_value,
    moment,
    reference,
    text,
    word,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.jobs import JOB_STATUS, OVER, job_columns
from agent_system.importers.legacy.keeping import metadata
from agent_system.models import TodoItem
from agent_system.types import (
    GOAL_STATUS_LEGACY,
    LOG_LEVEL_LEGACY,
    GoalStatus,
    LogLevel,
    TodoStatus,
)

if TYPE_CHECKING:
    from datetime import datetime

    from agent_system.importers.legacy.converters import Converter
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

CREATED = moment("created_at", "updated_at", NOW)
UPDATED = moment("updated_at", "created_at", NOW)
PRIORITY = integer("priority", 5, low=1, high=10)
TODO_STATUS_LEGACY = {"done": TodoStatus.COMPLETED, "canceled": TodoStatus.CANCELLED}

_job_over_at = moment("completed_at", "updated_at", "created_at", NOW)
_todo_status = word("status", TodoStatus, TodoStatus.PENDING, TODO_STATUS_LEGACY)
_todo_done_at = moment("completed_at", "updated_at", "created_at", NOW)
_goal_status = word("status", GoalStatus, GoalStatus.NOT_STARTED, GOAL_STATUS_LEGACY)


def _end(row: SourceRow, when: Converter, *, is_over: bool) -> datetime | None:
    """When something ended; what goes on has no end, whatever its row says."""
    if is_over:
        found: datetime = when(row)
        return found
    if row.raw.get("completed_at") not in {None, ""}:
        row.mend("completed_at", "of what is not over, now empty")
    return None


def _job_end(row: SourceRow) -> datetime | None:
    return _end(row, _job_over_at, is_over=JOB_STATUS(row) in OVER)


def _todo_end(row: SourceRow) -> datetime | None:
    return _end(row, _todo_done_at, is_over=_todo_status(row) is TodoStatus.COMPLETED)


def _goal_end(row: SourceRow) -> datetime | None:
    return _end(row, _todo_done_at, is_over=_goal_status(row) is GoalStatus.COMPLETED)


QUEUE = Table(
    source="queue",
    target="queue",
    identity=("id", "task_type", "payload", "created_at"),
    needs=frozenset({"task_type", "payload", "max_retries"}),
    columns={
        **job_columns(payload="payload", retries="retries", max_retries="max_retries"),
        # Theirs ran the higher one first, too.
        "priority": PRIORITY,
        "assigned_to": text("assigned_to"),
        "created_by": text("created_by"),
        "respond_to": json_value("respond_to"),
        "responded": flag("responded", default=False),
        "memorized": flag("memorized", default=False),
        "started_at": moment("started_at"),
        "completed_at": _job_end,
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            (
                "id",
                "task_type",
                "payload",
                "priority",
                "status",
                "retries",
                "max_retries",
                "error_message",
                "assigned_to",
                "created_by",
                "respond_to",
                "responded",
                "memorized",
                "scheduled_for",
                "started_at",
                "completed_at",
                "created_at",
                "updated_at",
            ),
            "metadata",
        ),
    },
    is_referenced=False,
)
LOGS = Table(
    source="logs",
    target="logs",
    identity=("id", "timestamp", "level", "message"),
    needs=frozenset({"level", "message"}),
    columns={
        "timestamp": moment("timestamp", NOW),
        "level": word("level", LogLevel, LogLevel.INFO, LOG_LEVEL_LEGACY),
        "message": text("message", ""),
        "service": text("service"),
        "created_at": moment("timestamp", NOW),
        "meta": metadata(("id", "timestamp", "level", "message", "service"), "metadata"),
    },
    is_referenced=False,
)
GOALS = Table(
    source="goals",
    target="goals",
    identity=("id", "user_id", "created_at"),
    needs=frozenset({"objective"}),
    columns={
        "user_id": person("user_id"),
        "objective": text("objective", ""),
        "status": _goal_status,
        "priority": PRIORITY,
        "deadline_at": future("deadline"),
        "completed_at": _goal_end,
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            (
                "id",
                "user_id",
                "objective",
                "status",
                "priority",
                "deadline",
                "completed_at",
                "created_at",
                "updated_at",
            ),
            "metadata",
        ),
    },
)
# A row of `todos` is a thing to do; here such things stand in a list, which has its name and what they kept with it.
TODOS = Table(
    source="todos",
    target="todos",
    identity=("id", "name", "created_at"),
    needs=frozenset({"name", "data"}),
    columns={
        "name": text("name", "(no name)", empty=False),
        "description": text("description"),
        "data": json_object("data"),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            (
                "id",
                "name",
                "description",
                "data",
                "status",
                "priority",
                "assigned_to",
                "due_date",
                "completed_at",
                "created_at",
                "updated_at",
            )
        ),
    },
    conflicts=(Suffix(column="name", owner="user_id"),),
)
TODO_ENTRIES = Table(
    source="todos",
    part="entries",
    target=TodoItem,
    identity=("id", "name", "created_at"),
    needs=frozenset({"name", "data"}),
    columns={
        "todo_id": reference("id", "todos", otherwise="reject"),
        "position": constant(1),
        "content": text("name", "(no name)", empty=False),
        "status": _todo_status,
        "priority": PRIORITY,
        "assigned_to": text("assigned_to"),
        "due_at": future("due_date"),
        "completed_at": _todo_end,
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
    is_referenced=False,
)
TODO_LISTS = Table(
    source="todo_lists",
    target="todos",
    identity=("id", "user_id", "name", "created_at"),
    needs=frozenset({"user_id", "name"}),
    columns={
        "user_id": person("user_id"),
        "name": text("name", "(no name)", empty=False),
        "description": text("description"),
        "goal_id": reference("goal_id", "goals"),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(("id", "user_id", "name", "description", "goal_id", "created_at", "updated_at")),
    },
    conflicts=(Suffix(column="name", owner="user_id"),),
)
TODO_ITEMS = Table(
    source="todo_items",
    target=TodoItem,
    identity=("id", "list_id", "content", "created_at"),
    needs=frozenset({"list_id", "content"}),
    columns={
        "todo_id": reference("list_id", "todo_lists", otherwise="reject"),
        "position": integer("position", 0),
        "content": text("content", ""),
        "status": _todo_status,
        "priority": PRIORITY,
        "due_at": future("due_date"),
        "completed_at": _todo_end,
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            (
                "id",
                "list_id",
                "position",
                "content",
                "status",
                "priority",
                "due_date",
                "completed_at",
                "created_at",
                "updated_at",
            )
        ),
    },
    is_referenced=False,
)
TABLES = (QUEUE, LOGS, GOALS, TODOS, TODO_ENTRIES, TODO_LISTS, TODO_ITEMS)
