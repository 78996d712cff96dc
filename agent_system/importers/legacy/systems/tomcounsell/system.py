"""What only system.db has: promises, server tasks, missed messages, chats, sessions, flags and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.conflicts import Merge
from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    constant,
    count,
    flag,
    integer,
    json_object,
    moment,
    reference,
    required,
    text,
    word,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.items import ITEM, items_of
from agent_system.importers.legacy.jobs import JOB_STATUS, OVER, job_columns
from agent_system.managers.promises.chat_states import MISSED_MESSAGE
from agent_system.models import PromiseDependency
from agent_system.types import (
    JOB_STATUS_LEGACY,
    LOG_LEVEL_LEGACY,
    PROMISE_STATUS_LEGACY,
    ConversationStatus,
    LogLevel,
    MessageRole,
    PromiseStatus,
    PromiseType,
)

if TYPE_CHECKING:
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["LEFT_OUT", "TABLES"]

HIGHEST, LOWEST = 10, 1

_priority = integer("priority", 5, low=LOWEST, high=HIGHEST)
_processed_at = moment("processed_at", "created_at")
_is_bot = flag("is_bot_message", default=False)
_is_active = flag("is_active", default=True)
_sent_at = moment("original_timestamp")


def _turned_priority(row: SourceRow) -> int:
    """Theirs runs from 1, the most urgent; here higher runs first."""
    return HIGHEST + LOWEST - int(_priority(row))


def _completed_at(row: SourceRow) -> Any:
    spelled = str(row.raw.get("status") or "").strip().casefold()
    return _processed_at(row) if JOB_STATUS_LEGACY.get(spelled, spelled) in OVER else None


def _role(row: SourceRow) -> MessageRole:
    return MessageRole.ASSISTANT if _is_bot(row) else MessageRole.USER


def _channel(row: SourceRow) -> str | None:
    value = row.raw.get("chat_id")
    return None if value is None else str(value)


def _message_number(row: SourceRow) -> dict[str, Any]:
    return {"message_id": row.raw.get("message_id")}


def _missed(row: SourceRow) -> dict[str, Any]:
    """What `em.chat_states.queue_missed` makes of a message."""
    sent_at = _sent_at(row)
    return {
        "chat_id": row.raw.get("chat_id"),
        "message_id": row.raw.get("message_id"),
        "text": text("message_text", "")(row),
        "sender": text("sender_username")(row),
        "sent_at": None if sent_at is None else sent_at.isoformat(),
    }


def _missed_type(row: SourceRow) -> str:
    kind = text("message_type", "missed")(row)
    return MISSED_MESSAGE if kind == "missed" else f"{kind}_message"


def _session(row: SourceRow) -> dict[str, Any]:
    names = ("chat_id", "username", "tool_name", "working_directory", "task_count")
    found = {name: row.raw.get(name) for name in names}
    return {**json_object("session_metadata")(row), **{k: v for k, v in found.items() if v is not None}}


def _session_status(row: SourceRow) -> ConversationStatus:
    return ConversationStatus.ACTIVE if _is_active(row) else ConversationStatus.ARCHIVED


PROMISES = Table(
    source="promises",
    target="promises",
    identity=("id", "chat_id", "message_id", "created_at"),
    needs=frozenset({"chat_id", "task_description"}),
    columns={
        "chat_id": required(integer("chat_id"), "chat_id"),
        "message_id": integer("message_id", 0),
        "task_description": text("task_description", ""),
        "task_type": word("task_type", PromiseType, PromiseType.CODE),
        "status": word("status", PromiseStatus, PromiseStatus.PENDING, PROMISE_STATUS_LEGACY),
        "completed_at": moment("completed_at"),
        "result_summary": text("result_summary"),
        "error_message": text("error_message"),
        "meta": json_object("metadata"),
        "created_at": moment("created_at", "completed_at", NOW),
    },
)
DEPENDENCIES = Table(
    source="promises",
    part="dependencies",
    target=PromiseDependency,
    identity=("id", "chat_id", "message_id", "created_at", ITEM),
    needs=frozenset({"chat_id", "task_description", "metadata"}),
    # Their writer stored the key `dependencies`, their reader looked for another one, so that nothing ever waited.
    expand=items_of("metadata", "dependencies"),
    columns={
        "promise_id": reference("id", "promises", otherwise="reject"),
        "depends_on_id": reference(ITEM, "promises", otherwise="reject"),
        "created_at": moment("created_at", NOW),
    },
    conflicts=(Merge(on=("promise_id", "depends_on_id")),),
    is_referenced=False,
)
SERVER_TASKS = Table(
    source="server_tasks",
    target="queue",
    identity=("id", "task_type", "task_data", "created_at"),
    needs=frozenset({"task_type", "task_data", "scheduled_for"}),
    columns={
        **job_columns(payload="task_data", retries="attempts", max_retries="max_attempts"),
        "priority": _turned_priority,
        "completed_at": _completed_at,
        "created_at": moment("created_at", "processed_at", NOW),
    },
    is_referenced=False,
)
MISSED_MESSAGES = Table(
    source="message_queue",
    target="queue",
    identity=("id", "chat_id", "message_id", "message_text", "created_at"),
    needs=frozenset({"chat_id", "message_text", "message_type"}),
    columns={
        "task_type": _missed_type,
        "payload": _missed,
        "chat_id": integer("chat_id"),
        "status": JOB_STATUS,
        "error_message": text("error_message"),
        "completed_at": _completed_at,
        "meta": json_object("metadata"),
        "created_at": moment("created_at", "original_timestamp", NOW),
    },
    is_referenced=False,
)
CHAT_STATE = Table(
    source="chat_state",
    target="chat_states",
    identity=("chat_id",),
    key=("chat_id",),
    needs=frozenset({"last_seen_message_id"}),
    columns={
        "chat_id": required(integer("chat_id"), "chat_id"),
        "last_seen_message_id": integer("last_seen_message_id"),
        "last_seen_at": moment("last_seen_timestamp"),
        "bot_last_online_at": moment("bot_last_online"),
        "bot_last_offline_at": moment("bot_last_offline"),
        "scan_completed_at": moment("scan_completed_at"),
        "total_messages_scanned": count("total_messages_scanned", 0),
        "created_at": moment("created_at", "updated_at", NOW),
        "updated_at": moment("updated_at", "created_at", NOW),
    },
    conflicts=(
        Merge(
            on=("chat_id",),
            fills=("last_seen_message_id", "last_seen_at", "bot_last_online_at", "scan_completed_at"),
        ),
    ),
    is_referenced=False,
)
CHAT_MESSAGES = Table(
    source="chat_messages",
    target="messages",
    identity=("chat_id", "message_id", "timestamp"),
    needs=frozenset({"chat_id", "message_id", "is_bot_message"}),
    columns={
        "uid": OWN_ID,
        "channel_id": _channel,
        "role": _role,
        "author_name": text("username"),
        "message_type": constant("chat"),
        "content": text("text", ""),
        "meta": _message_number,
        "created_at": moment("timestamp", "created_at", NOW),
    },
    is_referenced=False,
)
SESSIONS = Table(
    source="claude_code_sessions",
    target="conversations",
    identity=("session_id",),
    needs=frozenset({"session_id", "initial_task"}),
    columns={
        "id": OWN_ID,
        "session_uuid": text("session_id"),
        "title": text("initial_task", ""),
        "status": _session_status,
        "meta": _session,
        "created_at": moment("created_at", "last_activity", NOW),
        "updated_at": moment("last_activity", "created_at", NOW),
    },
    is_referenced=False,
)
FLAGS = Table(
    source="feature_flags",
    target="flags",
    identity=("flag_name",),
    key=("flag_name",),
    needs=frozenset({"enabled"}),
    columns={
        "flag_name": required(text("flag_name", empty=False), "flag_name"),
        "enabled": flag("enabled", default=False),
        "rollout_percentage": integer("rollout_percentage", 0, low=0, high=100),
        "description": text("description"),
        "created_at": moment("created_at", NOW),
        "updated_at": moment("updated_at", "created_at", NOW),
    },
    conflicts=(Merge(on=("flag_name_key",), fills=("description",)),),
    is_referenced=False,
)


def _error(row: SourceRow) -> dict[str, Any]:
    names = ("chat_id", "username", "error_category", "error_type", "retry_count", "resolved", "resolution_time")
    found = {name: row.raw.get(name) for name in names}
    return {**json_object("metadata")(row), **{k: v for k, v in found.items() if v is not None}}


ERRORS = Table(
    source="processing_errors",
    target="logs",
    identity=("id", "timestamp", "error_category", "error_type", "error_message"),
    needs=frozenset({"error_category", "error_type"}),
    columns={
        "timestamp": moment("timestamp", "created_at", NOW),
        "level": word("severity", LogLevel, LogLevel.ERROR, LOG_LEVEL_LEGACY),
        "message": text("error_message", ""),
        "service": constant("message_processing"),
        "meta": _error,
        "created_at": moment("created_at", "timestamp", NOW),
    },
    is_referenced=False,
)
TABLES = (
    PROMISES,
    DEPENDENCIES,
    SERVER_TASKS,
    MISSED_MESSAGES,
    CHAT_STATE,
    CHAT_MESSAGES,
    SESSIONS,
    FLAGS,
    ERRORS,
)
LEFT_OUT = {
    "message_metrics": "figures that are computed here when somebody asks",
    "rate_limits": "a counter of the last minutes",
}
