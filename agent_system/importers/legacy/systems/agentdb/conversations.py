"""What was said in AgentDB9, and what people thought of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    json_object,
    moment,
    reference,
    required,
    text,
    word,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.items import parsed
from agent_system.importers.legacy.keeping import metadata
from agent_system.importers.legacy.systems.agentdb.people import (
    CREATED,
    UPDATED,
    owner_of,
    owner_to_remember,
)
from agent_system.models import MessageFeedback
from agent_system.types import (
    CONVERSATION_STATUS_LEGACY,
    FEEDBACK_RATING_LEGACY,
    MESSAGE_ROLE_LEGACY,
    ConversationStatus,
    FeedbackRating,
    MessageRole,
    StreamingState,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

RATING, COMMENT = "rating", "comment"

_metadata = metadata(("conversationId", "role", "content", "timestamp"), "metadata")
_role = word("role", MessageRole, MessageRole.USER, MESSAGE_ROLE_LEGACY)
_facts = json_object("metadata")
_conversation_owner = owner_of("conversationId", "conversations")

CONVERSATIONS = Table(
    source="conversations",
    target="conversations",
    identity=("id", "createdAt"),
    needs=frozenset({"agentId", "userId", "title"}),
    columns={
        "id": OWN_ID,
        "agent_id": reference("agentId", "agents"),
        "user_id": owner_to_remember("conversations"),
        "project_id": reference("projectId", "projects"),
        "workspace_id": reference("workspaceId", "workspaces"),
        "title": text("title", ""),
        "status": word("status", ConversationStatus, ConversationStatus.ACTIVE, CONVERSATION_STATUS_LEGACY),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            ("agentId", "userId", "projectId", "workspaceId", "title", "status", "createdAt", "updatedAt")
        ),
    },
)


def _streaming_state(row: SourceRow) -> StreamingState:
    """A message that still grows in a file grows no more."""
    value = _facts(row).get("streaming")
    if value is None:
        return StreamingState.NONE
    return StreamingState.INTERRUPTED if value is True else StreamingState.COMPLETE


def _model(row: SourceRow) -> str | None:
    value = _facts(row).get("model")
    return value if isinstance(value, str) else None


def _response_time(row: SourceRow) -> float | None:
    value = _facts(row).get("responseTime")
    is_time = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    return float(value) if is_time else None


def _tool_calls(row: SourceRow) -> list[Any] | None:
    value = _facts(row).get("toolCalls")
    return value if isinstance(value, list) else None


def _message_meta(row: SourceRow) -> dict[str, Any]:
    found: dict[str, Any] = _metadata(row)
    readers = {"model": _model, "responseTime": _response_time, "toolCalls": _tool_calls}
    # What is of another kind than the column stays where it was.
    taken = {"streaming"} | {name for name, read in readers.items() if read(row) is not None}
    return {name: value for name, value in found.items() if name not in taken}


def _author(row: SourceRow) -> str | None:
    found: str | None = _conversation_owner(row) if _role(row) is MessageRole.USER else None
    return found


MESSAGES = Table(
    source="messages",
    target="messages",
    # The content grew while it was streamed, and the metadata with it.
    identity=("id", "conversationId"),
    needs=frozenset({"conversationId", "role", "content"}),
    columns={
        "uid": OWN_ID,
        "conversation_id": reference("conversationId", "conversations"),
        "user_id": _author,
        "role": _role,
        "content": text("content", ""),
        "model": _model,
        "response_time_ms": _response_time,
        "tool_calls": _tool_calls,
        "streaming_state": _streaming_state,
        "created_at": moment("timestamp", NOW),
        "meta": _message_meta,
    },
)


def _opinions(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What somebody thought of a message: a word in its metadata, or an object with one."""
    found = parsed(raw.get("metadata"))
    opinion = found.get("feedback") if isinstance(found, dict) else None
    if isinstance(opinion, dict):
        yield {**raw, RATING: opinion.get("rating") or opinion.get("type"), COMMENT: opinion.get("comment")}
    elif isinstance(opinion, str):
        yield {**raw, RATING: opinion}


FEEDBACK = Table(
    source="messages",
    part="feedback",
    target=MessageFeedback,
    identity=("id", "conversationId"),
    needs=frozenset({"conversationId", "role", "content", "metadata"}),
    expand=_opinions,
    columns={
        "message_id": reference("id", "messages", otherwise="reject"),
        "user_id": _conversation_owner,
        "rating": required(word(RATING, FeedbackRating, None, FEEDBACK_RATING_LEGACY), RATING),
        "comment": text(COMMENT, empty=False),
        "created_at": moment("timestamp", NOW),
    },
    is_referenced=False,
)
TABLES = (CONVERSATIONS, MESSAGES, FEEDBACK)
