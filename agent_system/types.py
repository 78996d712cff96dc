"""The vocabulary: identifiers, JSON, and every enumeration that a column knows.

An enumeration whose values come from one of the five legacy systems has a table beside it that tells what their other
spellings mean here; a spelling that is in neither is reported by an importer, never guessed.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, NewType

from pydantic import Field, PlainSerializer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AGENT_STATUS_LEGACY",
    "CONVERSATION_STATUS_LEGACY",
    "ENTITY_TYPE_LEGACY",
    "LIFECYCLE_STATUS_LEGACY",
    "MESSAGE_PRIORITY_LEGACY",
    "MESSAGE_ROLE_LEGACY",
    "PROCESS_INSTANCE_STATUS_LEGACY",
    "TASK_STATUS_LEGACY",
    "TOOL_CALL_STATE_LEGACY",
    "USER_ROLE_LEGACY",
    "AgentStatus",
    "ConversationStatus",
    "CostSource",
    "Counter",
    "DependencyPolicy",
    "EntityType",
    "EventOutcome",
    "IdentityId",
    "Int64",
    "JsonArray",
    "JsonObject",
    "JsonValue",
    "LedgerEntryKind",
    "LifecycleStatus",
    "MessageRole",
    "ProcessInstanceStatus",
    "ProjectStatus",
    "RelationshipType",
    "RowId",
    "Severity",
    "StreamingState",
    "StringList",
    "TaskStatus",
    "ToolCallState",
    "UsageState",
    "UserRole",
]

# What a JSON column gives back need not be what its annotation says (a malformed text comes back as text): dumping a
# row must not warn about it.
_AsItIs = PlainSerializer(lambda value: value, return_type=Any)

JsonValue = Annotated[Any, _AsItIs]
"""Any JSON value; None is SQL NULL."""

JsonObject = Annotated[dict[str, Any], _AsItIs]
"""A JSON object; the raw text if the stored JSON is malformed."""

JsonArray = Annotated[list[Any], _AsItIs]
"""A JSON array; the raw text if the stored JSON is malformed."""

StringList = Annotated[list[str], _AsItIs]
"""A JSON array of texts; the raw text if the stored JSON is malformed."""

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""An integer that both engines can store."""

Counter = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A number of things: zero or more."""

RowId = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), _AsItIs]
"""A key that the database counts up; None only before the row is written."""

IdentityId = NewType("IdentityId", str)
"""The text that identifies somebody on some platform: `user_identities.id`."""


def _legacy(**spellings: Any) -> Mapping[str, Any]:
    return MappingProxyType(spellings)


class EntityType(StrEnum):
    """The six fundamental entity types of seed 001; polymorphic columns take other types as well."""

    AGENT = "agent"
    TASK = "task"
    TOOL = "tool"
    CONTEXT_DOCUMENT = "context_document"
    PROCESS = "process"
    EVENT = "event"


ENTITY_TYPE_LEGACY: Mapping[str, EntityType] = _legacy(document=EntityType.CONTEXT_DOCUMENT)


class LifecycleStatus(StrEnum):
    """Whether an agent, tool, document or process is in use; `archived` is the soft delete."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    DEPRECATED = "deprecated"
    TESTING = "testing"
    ARCHIVED = "archived"


LIFECYCLE_STATUS_LEGACY: Mapping[str, LifecycleStatus] = _legacy(deleted=LifecycleStatus.ARCHIVED)


class AgentStatus(StrEnum):
    """What an agent is doing now."""

    IDLE = "idle"
    THINKING = "thinking"
    CODING = "coding"
    TESTING = "testing"
    ERROR = "error"
    OFFLINE = "offline"


AGENT_STATUS_LEGACY: Mapping[str, AgentStatus] = _legacy(
    active=AgentStatus.IDLE, deprecated=AgentStatus.OFFLINE, inactive=AgentStatus.OFFLINE
)


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
TASK_STATUS_LEGACY: Mapping[str, TaskStatus] = _legacy(
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


class ProcessInstanceStatus(StrEnum):
    """Where one run of a process stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


PROCESS_INSTANCE_STATUS_LEGACY: Mapping[str, ProcessInstanceStatus] = _legacy(
    complete=ProcessInstanceStatus.COMPLETED, canceled=ProcessInstanceStatus.CANCELLED
)


class EventOutcome(StrEnum):
    """How what an event tells about ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    PARTIAL = "partial"
    ERROR = "error"
    TIMEOUT = "timeout"


class Severity(StrEnum):
    """How much an event matters to the person on call."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class RelationshipType(StrEnum):
    """The eight relationships of seed 001."""

    USES = "uses"
    DEPENDS_ON = "depends_on"
    CREATES = "creates"
    OPTIMIZES = "optimizes"
    TRIGGERS = "triggers"
    REFERENCES = "references"
    CONTAINS = "contains"
    INHERITS = "inherits"


class UserRole(StrEnum):
    """What a user may do."""

    USER = "user"
    ADMIN = "admin"


# Seed 002 has a flag is_admin instead.
USER_ROLE_LEGACY: Mapping[str, UserRole] = MappingProxyType({"0": UserRole.USER, "1": UserRole.ADMIN})


class ProjectStatus(StrEnum):
    """Whether a project is worked on; `deleted` is the soft delete."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    DELETED = "deleted"


class ConversationStatus(StrEnum):
    """Whether a conversation is shown in lists."""

    ACTIVE = "active"
    ARCHIVED = "archived"


CONVERSATION_STATUS_LEGACY: Mapping[str, ConversationStatus] = _legacy(
    open=ConversationStatus.ACTIVE, closed=ConversationStatus.ARCHIVED, deleted=ConversationStatus.ARCHIVED
)


class MessageRole(StrEnum):
    """Who speaks: seed 004's agent and the chat APIs' assistant are both kept as they are."""

    USER = "user"
    ASSISTANT = "assistant"
    AGENT = "agent"
    SYSTEM = "system"
    TOOL = "tool"
    DEVELOPER = "developer"


MESSAGE_ROLE_LEGACY: Mapping[str, MessageRole] = _legacy(
    human=MessageRole.USER,
    ai=MessageRole.ASSISTANT,
    bot=MessageRole.ASSISTANT,
    model=MessageRole.ASSISTANT,
    function=MessageRole.TOOL,
)

# Seed 001 sorts its four words alphabetically; as numbers, higher is first.
MESSAGE_PRIORITY_LEGACY: Mapping[str, int] = _legacy(low=-1, normal=0, high=1, urgent=2)


class StreamingState(StrEnum):
    """Whether a message's text is still growing: `none` was never streamed, `interrupted` is what a crash left."""

    NONE = "none"
    STREAMING = "streaming"
    COMPLETE = "complete"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


class ToolCallState(StrEnum):
    """Where a tool call stands; the row exists from before it runs."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


# What seed 002's nullable success column says; it also holds 2 and 'true'.
TOOL_CALL_STATE_LEGACY: Mapping[str, ToolCallState] = MappingProxyType(
    {
        "": ToolCallState.RUNNING,
        "0": ToolCallState.FAILED,
        "false": ToolCallState.FAILED,
        "1": ToolCallState.DONE,
        "2": ToolCallState.DONE,
        "true": ToolCallState.DONE,
    }
)


class UsageState(StrEnum):
    """What the token counts of a ledger row are worth; missing is not zero."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    PARTIAL = "partial"
    MISSING = "missing"


class CostSource(StrEnum):
    """Where a ledger row's cost comes from."""

    COMPUTED = "computed"
    REPORTED = "reported"


class LedgerEntryKind(StrEnum):
    """A ledger row is a call to a model, or the correction of an earlier row's cost."""

    USAGE = "usage"
    CORRECTION = "correction"
