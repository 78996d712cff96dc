"""Task trees, what was said in their course, and the tools that they may use and have used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.conflicts import Merge
from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    constant,
    count,
    flag,
    future,
    integer,
    json_object,
    json_value,
    moment,
    number,
    reference,
    required,
    text,
    texts,
    word,
)
from agent_system.importers.legacy.description import Link, Table
from agent_system.importers.legacy.systems.the_system.agents import CREATED, STATE, UPDATED, facts
from agent_system.models import TaskToolAssignment
from agent_system.types import (
    MESSAGE_PRIORITY_LEGACY,
    PROCESS_INSTANCE_STATUS_LEGACY,
    TASK_STATUS_LEGACY,
    MessageRole,
    ProcessInstanceStatus,
    TaskStatus,
    ToolCallState,
)

if TYPE_CHECKING:
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

ROLES = {
    "user_input": MessageRole.USER,
    "agent_response": MessageRole.ASSISTANT,
    "tool_call": MessageRole.ASSISTANT,
    "tool_response": MessageRole.TOOL,
    "system_event": MessageRole.SYSTEM,
    "error": MessageRole.SYSTEM,
}
_success = flag("success")
_seconds = number("average_execution_time", 0.0, negative=False)
_uses = count("usage_count", 0)
_rate = number("success_rate", 0.0, negative=False)


def _role(row: SourceRow) -> MessageRole:
    """Who spoke follows from the kind of message; the kind itself is kept."""
    kind = text("message_type", "")(row) or ""
    found = ROLES.get(kind.strip().casefold())
    if found is None:
        row.mend("message_type", f"{kind!r} is a message of the system here")
    return found or MessageRole.SYSTEM


def _priority(row: SourceRow) -> int:
    spelled = (text("priority", "normal")(row) or "").strip().casefold()
    found: int | None = MESSAGE_PRIORITY_LEGACY.get(spelled)
    if found is None:
        row.mend("priority", f"{spelled!r} is normal here")
    return found or 0


def call_state(row: SourceRow) -> ToolCallState:
    """Where a call stands by its success; one that never ended will not end any more."""
    found = _success(row)
    if found is None:
        return ToolCallState.INTERRUPTED
    return ToolCallState.DONE if found else ToolCallState.FAILED


def _successes(row: SourceRow) -> int:
    # Their rate is a share from 0 to 1.
    return round(int(_uses(row)) * min(float(_rate(row)), 1.0))


def _failures(row: SourceRow) -> int:
    return int(_uses(row)) - _successes(row)


def _total_seconds(row: SourceRow) -> float:
    return float(_seconds(row) * _uses(row))


def _steps(row: SourceRow) -> list[Any]:
    found = json_value("steps")(row) if row.get("steps") is not None else json_value("template")(row)
    return found if isinstance(found, list) else [] if found is None else [found]


def _criteria(row: SourceRow) -> list[Any]:
    found = json_value("success_criteria")(row)
    return found if isinstance(found, list) else [] if found is None else [found]


TASKS = Table(
    source="tasks",
    target="tasks",
    identity=("id", "tree_id", "instruction", "created_at"),
    key=("id", "tree_id"),
    needs=frozenset({"tree_id", "instruction"}),
    columns={
        "id": OWN_ID,
        "tree_id": OWN_ID,
        "agent_id": reference("agent_id", "agents"),
        "instruction": text("instruction", ""),
        "status": word("status", TaskStatus, TaskStatus.PENDING, TASK_STATUS_LEGACY),
        "result": text("result"),
        "summary": text("summary"),
        "error": text("error_message"),
        "priority": integer("priority", 0),
        "max_execution_seconds": number("max_execution_time", negative=False),
        "meta": facts(metadata=True),
        "created_at": moment("created_at", "started_at", NOW),
        "updated_at": moment("completed_at", "started_at", "created_at", NOW),
        "started_at": moment("started_at"),
        "completed_at": moment("completed_at"),
    },
    links=(Link(column="parent_task_id", source="parent_task_id", tree="tree_id"),),
)
MESSAGES = Table(
    source="messages",
    target="messages",
    identity=("id", "task_id", "message_type", "content", "timestamp"),
    needs=frozenset({"task_id", "message_type", "content"}),
    columns={
        "uid": OWN_ID,
        "task_id": reference("task_id", "tasks"),
        "role": _role,
        "message_type": text("message_type"),
        "content": text("content", ""),
        "response_time_ms": number("execution_time_ms", negative=False),
        "meta": facts("token_count", metadata=True),
        "created_at": moment("timestamp", NOW),
    },
    links=(Link(column="parent_id", source="parent_message_id"),),
)
USER_MESSAGES = Table(
    source="user_messages",
    target="messages",
    identity=("id", "agent_name", "message", "timestamp"),
    needs=frozenset({"agent_name", "message"}),
    columns={
        "uid": OWN_ID,
        "task_id": reference("task_id", "tasks"),
        # `system` and agents that were deleted speak, too.
        "agent_id": reference("agent_name", "agents.name", quiet=True),
        "role": constant(MessageRole.AGENT),
        "author_name": text("agent_name"),
        "message_type": text("message_type"),
        "content": text("message", ""),
        "priority": _priority,
        "requires_response": flag("requires_response", default=False),
        "suggested_actions": json_value("suggested_actions"),
        "read_at": moment("read_at"),
        "responded_at": moment("responded_at"),
        "meta": facts("user_response"),
        "created_at": moment("timestamp", NOW),
    },
    is_referenced=False,
)
ASSIGNMENTS = Table(
    source="task_tool_assignments",
    target=TaskToolAssignment,
    identity=("id", "task_id", "tool_name", "assigned_at"),
    needs=frozenset({"task_id", "tool_name", "expires_at"}),
    columns={
        "id": OWN_ID,
        "task_id": reference("task_id", "tasks", otherwise="reject"),
        "tool_name": text("tool_name", ""),
        "tool_id": reference("tool_name", "tools.name", quiet=True),
        "permissions": texts("tool_permissions"),
        "assigned_by_agent_id": reference("assigned_by_agent_id", "agents"),
        "reason": text("assignment_reason"),
        "is_active": flag("is_active", default=True),
        "expires_at": future("expires_at"),
        "created_at": moment("assigned_at", NOW),
        "updated_at": moment("assigned_at", NOW),
    },
    conflicts=(Merge(on=("task_id", "tool_name")),),
    is_referenced=False,
)
TOOL_USAGE = Table(
    source="tool_usage_events",
    target="tool_usage",
    identity=("id", "task_id", "tool_name", "used_at"),
    needs=frozenset({"tool_name", "used_at"}),
    columns={
        "timestamp": moment("used_at", NOW),
        "tool_name": text("tool_name", ""),
        "tool_id": reference("tool_name", "tools.name", quiet=True),
        "operation": text("operation"),
        "task_id": reference("task_id", "tasks"),
        "state": call_state,
        "success": flag("success"),
        "duration_ms": number("execution_time_ms", negative=False),
        "parameter_hash": text("parameters_hash"),
        "result": text("result_summary"),
        "error": text("error_message"),
        "meta": facts("agent_type"),
        "created_at": moment("used_at", NOW),
    },
    is_referenced=False,
)
PROCESSES = Table(
    source="processes",
    target="processes",
    identity=("id", "name", "created_at"),
    needs=frozenset({"name", "parameters_schema"}),
    columns={
        "id": OWN_ID,
        "name": text("name", "(no name)", empty=False),
        "description": text("description"),
        "category": text("category", "general", empty=False),
        "steps": _steps,
        "parameters_schema": json_object("parameters_schema"),
        "success_criteria": _criteria,
        "status": STATE,
        "usage_count": _uses,
        "success_count": _successes,
        "failure_count": _failures,
        "total_execution_seconds": _total_seconds,
        "meta": facts("version"),
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
)
INSTANCES = Table(
    source="process_instances",
    target="process_instances",
    identity=("id", "process_id", "task_id", "started_at"),
    needs=frozenset({"process_id", "state"}),
    columns={
        "id": OWN_ID,
        "process_id": reference("process_id", "processes", otherwise="reject"),
        "task_id": reference("task_id", "tasks"),
        "status": word("status", ProcessInstanceStatus, ProcessInstanceStatus.PENDING, PROCESS_INSTANCE_STATUS_LEGACY),
        "parameters": json_object("parameters"),
        "state": json_object("state"),
        "current_step_id": text("current_step_id"),
        "error": text("error_message"),
        "started_at": moment("started_at"),
        "completed_at": moment("completed_at"),
        "created_at": required(moment("started_at", "completed_at", NOW), "started_at"),
    },
    is_referenced=False,
)
TABLES = (PROCESSES, TASKS, INSTANCES, MESSAGES, USER_MESSAGES, ASSIGNMENTS, TOOL_USAGE)
