"""What runs report while they run: tool calls, each a row from before it runs, and what agents say of themselves."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index

from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt
from agent_system.models.fields import (
    COUNTED_KEY,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    int_key,
    json_field,
    meta_field,
    moment_field,
    non_negative,
    partial_index,
    present_index,
    real_field,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.types import Counter, JsonObject, JsonValue, RowId, ToolCallState

__all__ = ["AgentStatusEntry", "ToolUsage"]


class ToolUsage(TableModel, table=True):
    """One call of a tool."""

    __tablename__ = "tool_usage"
    __table_args__ = (
        Index("idx_tool_usage_timestamp", "timestamp"),
        Index("idx_tool_usage_task", "task_id", "timestamp"),
        # The figures of a tool are added up over this index alone: 30 ms for 100,000 calls, where it took 180.
        Index("idx_tool_usage_tool", "tool_name", "timestamp", "state", "success", "duration_ms"),
        present_index("user_id", "timestamp"),
        present_index("session_uuid", "timestamp"),
        present_index("tool_id"),
        present_index("agent_id"),
        present_index("conversation_id"),
        present_index("message_id"),
        partial_index("timestamp", where="state IN ('requested', 'running')", name="idx_tool_usage_in_progress"),
        partial_index("timestamp", where="state = 'failed'", name="idx_tool_usage_failed"),
        enum_check("state", ToolCallState),
        *non_negative(
            "duration_ms",
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        ),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the call; rises in the order of writing.")
    call_id: str | None = text_field(
        "Id of the call, which matches start and finish; null when it has none.", None, unique=True
    )
    timestamp: datetime = created_at_field("When the call was asked for or began, in UTC.")
    user_id: UUID | None = reference(
        "users.id", "Whose call it is, which is who has the task; null: shared by all.", ondelete="CASCADE"
    )
    tool_name: str = text_field("Name of the tool as it was called; empty when only the end of the call is known.")
    tool_id: UUID | None = reference(
        "tools.id", "The tool in the registry; null when it is not registered.", ondelete="SET NULL"
    )
    operation: str | None = text_field("Which operation of the tool; null when it has only one.", None)
    task_id: UUID | None = reference("tasks.id", "The task that it was for; null when none.", ondelete="SET NULL")
    agent_id: UUID | None = reference("agents.id", "The agent that called; null when not known.", ondelete="SET NULL")
    conversation_id: UUID | None = reference(
        "conversations.id", "The conversation in which it was called; null when in none.", ondelete="SET NULL"
    )
    message_id: int | None = reference(
        "messages.id", "The message that asked for it; null when none did.", ondelete="SET NULL", key=BigInt
    )
    session_uuid: str | None = text_field("Id of the runtime's session; null when not known.", None)
    state: ToolCallState = enum_field(ToolCallState.REQUESTED, "Where the call stands.")
    success: bool | None = flag_field("Whether it succeeded; null: it has not ended, or nobody can tell.", default=None)
    success_source: str | None = text_field(
        "How `success` is known, such as reported or exit_code; null while it is not.", None
    )
    duration_ms: float | None = real_field("Milliseconds that it ran; null when not measured.", None)
    error: str | None = text_field("What went wrong, in words; null when nothing did.", None)
    error_category: str | None = text_field("What kind of error it was; null when there was none.", None)
    parameters: JsonValue = json_field("What the tool was called with, secrets removed; null when not recorded.")
    parameter_hash: str | None = text_field("Digest of the parameters, to find equal calls; null when not made.", None)
    result: str | None = text_field("What the tool answered; null when not recorded.", None)
    screenshot_path: str | None = text_field("Picture that was taken; null when none was.", None)
    input_tokens: Counter | None = count_field("Tokens that the model read for the call; null when not known.", None)
    output_tokens: Counter | None = count_field("Tokens that the model wrote for the call; null when not known.", None)
    cache_read_input_tokens: Counter | None = count_field(
        "Those of input_tokens that came from a cache; null when not known.", None
    )
    cache_creation_input_tokens: Counter | None = count_field(
        "Those of input_tokens that were written to a cache; null when not known.", None
    )
    started_at: datetime | None = moment_field("When the tool began to run; null: it has not, or nobody keeps track.")
    completed_at: datetime | None = moment_field("When the call ended; null: it has not.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class AgentStatusEntry(TableModel, table=True):
    """What an agent was doing at one moment; rows are added, never changed."""

    __tablename__ = "agent_status"
    __table_args__ = (
        Index("idx_agent_status_timestamp", "timestamp"),
        present_index("task_id", "timestamp"),
        present_index("agent_id", "timestamp"),
        present_index("user_id", "timestamp"),
        present_index("session_uuid", "timestamp"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the entry; rises in the order of writing.")
    timestamp: datetime = created_at_field("When the agent was doing it, in UTC.")
    user_id: UUID | None = reference(
        "users.id", "Whose agent it is, which is who has the task; null: shared by all.", ondelete="CASCADE"
    )
    task_id: UUID | None = reference("tasks.id", "The task that it was for; null when none.", ondelete="SET NULL")
    agent_id: UUID | None = reference("agents.id", "The agent; null when not known.", ondelete="SET NULL")
    session_uuid: str | None = text_field("Id of the runtime's session; null when not known.", None)
    status: str = text_field("What it was doing, in the runtime's own words, such as started, tool_call or completed.")
    message: str | None = text_field("More about it for people; null when there is no more to say.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
