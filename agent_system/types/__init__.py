"""The vocabulary: identifiers, JSON, and every enumeration that a column knows, a module for each family.

An enumeration whose values come from one of the five legacy systems has a table beside it that tells what their other
spellings mean here; a spelling that is in neither is reported by an importer, never guessed.
"""

from __future__ import annotations

from agent_system.types.agents import AGENT_STATUS_LEGACY, AgentStatus
from agent_system.types.audit import EventOutcome, RelationshipType, SealKind, Severity
from agent_system.types.budgets import BudgetPeriod, BudgetScope, ReservationState
from agent_system.types.configuration import CONFIG_TYPE_LEGACY, ConfigType
from agent_system.types.conversations import (
    CONVERSATION_STATUS_LEGACY,
    FEEDBACK_RATING_LEGACY,
    MESSAGE_PRIORITY_LEGACY,
    MESSAGE_ROLE_LEGACY,
    ConversationStatus,
    FeedbackRating,
    MessageRole,
    StreamingState,
)
from agent_system.types.credits import CREDIT_ALERT_TYPE_LEGACY, AlertSeverity, CreditAlertType
from agent_system.types.entities import ENTITY_TYPE_LEGACY, LIFECYCLE_STATUS_LEGACY, EntityType, LifecycleStatus
from agent_system.types.files import FILE_OPERATION_LEGACY, DocumentStatus, FileOperation
from agent_system.types.games import GameStatus
from agent_system.types.knowledge import KnowledgeGapStatus, KnowledgeUse
from agent_system.types.ledger import CostSource, ExportFormat, LedgerEntryKind, UsageState
from agent_system.types.links import LINK_STATUS_LEGACY, LinkStatus
from agent_system.types.memories import MEMORY_KIND_LEGACY, MemoryKind, MemoryLinkType, MemoryStatus
from agent_system.types.processes import PROCESS_INSTANCE_STATUS_LEGACY, ProcessInstanceStatus
from agent_system.types.projects import ProjectStatus
from agent_system.types.queue import (
    JOB_STATUS_LEGACY,
    PROMISE_STATUS_LEGACY,
    EffectState,
    Fraction,
    JobStatus,
    PositiveCount,
    PositiveSeconds,
    PromiseStatus,
    PromiseType,
)
from agent_system.types.records import GOAL_STATUS_LEGACY, LOG_LEVEL_LEGACY, GoalStatus, LogLevel, TodoStatus
from agent_system.types.reviews import CounterType, Effort, OpportunityStatus, ReviewFrequency
from agent_system.types.tasks import TASK_STATUS_LEGACY, DependencyPolicy, TaskStatus
from agent_system.types.telemetry import TOOL_CALL_STATE_LEGACY, ToolCallState, ToolErrorCategory
from agent_system.types.users import USER_ROLE_LEGACY, UserRole
from agent_system.types.values import (
    Counter,
    IdentityId,
    Importance,
    Int64,
    JsonArray,
    JsonObject,
    JsonValue,
    Percentage,
    Priority,
    RowId,
    StringList,
)

__all__ = [
    "AGENT_STATUS_LEGACY",
    "CONFIG_TYPE_LEGACY",
    "CONVERSATION_STATUS_LEGACY",
    "CREDIT_ALERT_TYPE_LEGACY",
    "ENTITY_TYPE_LEGACY",
    "FEEDBACK_RATING_LEGACY",
    "FILE_OPERATION_LEGACY",
    "GOAL_STATUS_LEGACY",
    "JOB_STATUS_LEGACY",
    "LIFECYCLE_STATUS_LEGACY",
    "LINK_STATUS_LEGACY",
    "LOG_LEVEL_LEGACY",
    "MEMORY_KIND_LEGACY",
    "MESSAGE_PRIORITY_LEGACY",
    "MESSAGE_ROLE_LEGACY",
    "PROCESS_INSTANCE_STATUS_LEGACY",
    "PROMISE_STATUS_LEGACY",
    "TASK_STATUS_LEGACY",
    "TOOL_CALL_STATE_LEGACY",
    "USER_ROLE_LEGACY",
    "AgentStatus",
    "AlertSeverity",
    "BudgetPeriod",
    "BudgetScope",
    "ConfigType",
    "ConversationStatus",
    "CostSource",
    "Counter",
    "CounterType",
    "CreditAlertType",
    "DependencyPolicy",
    "DocumentStatus",
    "EffectState",
    "Effort",
    "EntityType",
    "EventOutcome",
    "ExportFormat",
    "FeedbackRating",
    "FileOperation",
    "Fraction",
    "GameStatus",
    "GoalStatus",
    "IdentityId",
    "Importance",
    "Int64",
    "JobStatus",
    "JsonArray",
    "JsonObject",
    "JsonValue",
    "KnowledgeGapStatus",
    "KnowledgeUse",
    "LedgerEntryKind",
    "LifecycleStatus",
    "LinkStatus",
    "LogLevel",
    "MemoryKind",
    "MemoryLinkType",
    "MemoryStatus",
    "MessageRole",
    "OpportunityStatus",
    "Percentage",
    "PositiveCount",
    "PositiveSeconds",
    "Priority",
    "ProcessInstanceStatus",
    "ProjectStatus",
    "PromiseStatus",
    "PromiseType",
    "RelationshipType",
    "ReservationState",
    "ReviewFrequency",
    "RowId",
    "SealKind",
    "Severity",
    "StreamingState",
    "StringList",
    "TaskStatus",
    "TodoStatus",
    "ToolCallState",
    "ToolErrorCategory",
    "UsageState",
    "UserRole",
]
