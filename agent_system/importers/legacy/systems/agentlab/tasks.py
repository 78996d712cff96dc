"""What AMIGA's agents worked on: tasks with their logs, calls of tools, and what agents said of themselves."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.accounts import account
from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    count,
    flag,
    integer,
    json_list,
    json_value,
    moment,
    number,
    reference,
    text,
    word,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.items import ITEM, POSITION, items_of
from agent_system.importers.legacy.keeping import metadata
from agent_system.importers.legacy.references import reference_key
from agent_system.importers.legacy.systems.agentlab.people import NAME, owner
from agent_system.models import TaskActivity
from agent_system.types import TASK_STATUS_LEGACY, TaskStatus, ToolCallState

if TYPE_CHECKING:
    from datetime import datetime

    from agent_system.importers.legacy.converters import Converter
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES", "all_input_tokens"]

OWNERS = "tasks.user_id"
ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.STOPPED, TaskStatus.CANCELLED})
# One of the texts by which the bot found the tasks that it had stopped itself.
RESTARTED = "Task stopped due to bot restart"

# As a UUID is written.
SESSION = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_log = json_list("activity_log")
_status = word("status", TaskStatus, TaskStatus.PENDING, TASK_STATUS_LEGACY)
_ended_at = moment("updated_at", "created_at", NOW)
_succeeded = flag("success")
_duration = number("duration_ms", negative=False)
_called_at = moment("timestamp", NOW)


def _task_owner(row: SourceRow) -> Any:
    """The task's owner; remembered, because whatever was recorded for the task is theirs, too."""
    value = row.raw.get("user_id")
    names = (row.raw.get("task_id"), row.raw.get("session_uuid"))
    row.reading.references.add(OWNERS, [(reference_key(name), value) for name in names if value is not None])
    return owner(row)


def _end(row: SourceRow) -> datetime | None:
    spelled = str(row.raw.get("status") or "").strip().casefold()
    found: datetime | None = _ended_at(row) if TASK_STATUS_LEGACY.get(spelled, spelled) in ENDED else None
    return found


def _interrupted_at(row: SourceRow) -> datetime | None:
    return _end(row) if row.raw.get("error") == RESTARTED else None


def _task_meta(row: SourceRow) -> dict[str, Any]:
    # The log's entries are rows of their own; here it is told when there are none to be read.
    _log(row)
    found: dict[str, Any] = _rest_of_task(row)
    return found


_rest_of_task = metadata(
    (
        "user_id",
        "description",
        "status",
        "created_at",
        "updated_at",
        "model",
        "workspace",
        "agent_type",
        "result",
        "error",
        "pid",
        "activity_log",
        "session_uuid",
        "workflow",
        "context",
        "current_phase",
        "phase_number",
    )
)

TASKS = Table(
    source="tasks",
    target="tasks",
    identity=("task_id", "created_at"),
    key=("task_id", "session_uuid"),
    needs=frozenset({"user_id", "description", "status"}),
    columns={
        "id": OWN_ID,
        "tree_id": OWN_ID,
        "user_id": _task_owner,
        "instruction": text("description", ""),
        "status": _status,
        "agent_type": text("agent_type"),
        "model": text("model"),
        "workspace": text("workspace"),
        "workflow": text("workflow"),
        "context": text("context"),
        "current_phase": text("current_phase"),
        "phase_number": count("phase_number", 0),
        "session_uuid": text("session_uuid", empty=False),
        "result": text("result"),
        "error": text("error"),
        "pid": integer("pid"),
        "completed_at": _end,
        "interrupted_at": _interrupted_at,
        "created_at": moment("created_at", "updated_at", NOW),
        "updated_at": moment("updated_at", "created_at", NOW),
        "meta": _task_meta,
    },
)


def _activity_message(row: SourceRow) -> str:
    item = row.raw[ITEM]
    if isinstance(item, dict):
        return text(f"{ITEM}.message", "")(row) or ""
    return item if isinstance(item, str) else str(item)


def _activity_data(row: SourceRow) -> Any:
    item = row.raw[ITEM]
    if not isinstance(item, dict):
        return None
    return {key: value for key, value in item.items() if key not in {"timestamp", "message", "level"}} or None


ACTIVITIES = Table(
    source="tasks",
    part="activity_log",
    target=TaskActivity,
    # Every update wrote the whole list anew, but only to add to its end.
    identity=("task_id", "created_at", POSITION),
    key=("task_id",),
    needs=frozenset({"activity_log", "user_id"}),
    expand=items_of("activity_log"),
    columns={
        "task_id": reference("task_id", "tasks", otherwise="reject"),
        "activity_type": text(f"{ITEM}.level", "message", empty=False),
        "message": _activity_message,
        "data": _activity_data,
        "created_at": moment(f"{ITEM}.timestamp", "updated_at", "created_at", NOW),
    },
    keeps_metadata=False,
    is_referenced=False,
)


def _is_session(value: Any) -> bool:
    return isinstance(value, str) and SESSION.fullmatch(value) is not None


def _task(row: SourceRow) -> Any:
    """The task of a recorded row: the column also holds sessions, which a task may have had or not."""
    value, references = row.raw.get("task_id"), row.reading.references
    found = references.find("tasks", value)
    if found is None:
        found = references.find("tasks.session_uuid", value)
    if found is None and not _is_session(value) and reference_key(value) is not None:
        row.lose_reference("task_id", "tasks")
    return found


def _session(row: SourceRow) -> str | None:
    value = row.raw.get("task_id")
    return value if _is_session(value) else None


def _recorded_owner(row: SourceRow) -> Any:
    value = row.reading.references.find(OWNERS, row.raw.get("task_id"))
    if value is None:
        return None
    known = row.reading.references.find("users", value)
    return account(NAME, value) if known is None else known


def _call_state(row: SourceRow) -> ToolCallState:
    succeeded = _succeeded(row)
    if succeeded is None:
        return ToolCallState.RUNNING
    return ToolCallState.DONE if succeeded else ToolCallState.FAILED


def _success_source(row: SourceRow) -> str | None:
    return None if _succeeded(row) is None else "reported"


def _call_end(row: SourceRow) -> datetime | None:
    if _succeeded(row) is None:
        return None
    began: datetime = _called_at(row)
    return began + timedelta(milliseconds=_duration(row) or 0)


def all_input_tokens(read: str, cached: str, written: str) -> Converter:
    """All tokens that were read: here those of the cache are among them, in the API that they used beside them."""
    counts = [count(name) for name in (read, cached, written)]

    def convert(row: SourceRow) -> int | None:
        fresh, *others = (each(row) for each in counts)
        return None if fresh is None else fresh + sum(each or 0 for each in others)

    return convert


TOOL_USAGE = Table(
    source="tool_usage",
    target="tool_usage",
    # The key by which their own tool merges two files, and the parameters; the number differs between files.
    identity=("timestamp", "task_id", "tool_name", "parameters"),
    needs=frozenset({"timestamp", "task_id", "tool_name"}),
    columns={
        "timestamp": _called_at,
        "user_id": _recorded_owner,
        "tool_name": text("tool_name", ""),
        "task_id": _task,
        "session_uuid": _session,
        "state": _call_state,
        "success": _succeeded,
        "success_source": _success_source,
        "duration_ms": _duration,
        "error": text("error"),
        "error_category": text("error_category"),
        "parameters": json_value("parameters"),
        "screenshot_path": text("screenshot_path"),
        "input_tokens": all_input_tokens("input_tokens", "cache_read_tokens", "cache_creation_tokens"),
        "output_tokens": count("output_tokens"),
        "cache_read_input_tokens": count("cache_read_tokens"),
        "cache_creation_input_tokens": count("cache_creation_tokens"),
        "completed_at": _call_end,
        "created_at": _called_at,
        "meta": metadata(
            (
                "id",
                "timestamp",
                "task_id",
                "tool_name",
                "duration_ms",
                "success",
                "error",
                "parameters",
                "error_category",
                "screenshot_path",
                "input_tokens",
                "output_tokens",
                "cache_creation_tokens",
                "cache_read_tokens",
            )
        ),
    },
    is_referenced=False,
)
AGENT_STATUS = Table(
    source="agent_status",
    target="agent_status",
    identity=("timestamp", "task_id", "status", "message"),
    needs=frozenset({"timestamp", "task_id", "status"}),
    columns={
        "timestamp": _called_at,
        "user_id": _recorded_owner,
        "task_id": _task,
        "session_uuid": _session,
        "status": text("status", ""),
        "message": text("message"),
        "created_at": _called_at,
        "meta": metadata(("id", "timestamp", "task_id", "status", "message"), "metadata"),
    },
    is_referenced=False,
)
TABLES = (TASKS, ACTIVITIES, TOOL_USAGE, AGENT_STATUS)
