"""The tables, one class each; a column's meaning stands in its `Field(description=...)`.

Read `base.py` and `fields.py` first, then the family you need: `users`, `projects`, `tools`, `agents`, `tasks`,
`documents`, `knowledge`, `processes`, `events`, `reviews`, `relations`, `conversations`, `ledger`, `prices`,
`telemetry`, `files`, `queue`, `promises`, `budgets`, `credits`, `model_usage`, `links`, `games`, `prompts`,
`configuration`, `logs`, `goals`, `todos`, `memories`, `embeddings`, `imports`.
"""

from agent_system.models.agents import Agent, AgentPermission, AgentTool
from agent_system.models.audit import AuditSeal
from agent_system.models.base import TableModel, metadata
from agent_system.models.budgets import Budget, BudgetAccount, BudgetReservation
from agent_system.models.configuration import Capability, CapabilityHistory, Config, ConfigHistory, FeatureFlag
from agent_system.models.conversations import Conversation, ConversationHead, Message, MessageFeedback
from agent_system.models.credits import CreditAlert, CreditBalance
from agent_system.models.documents import ContextDocument, ContextDocumentKey, DocumentVersion
from agent_system.models.embeddings import Embedding, EmbeddingModel
from agent_system.models.events import Event
from agent_system.models.files import Document, File, FileAccess
from agent_system.models.games import Game
from agent_system.models.goals import Goal
from agent_system.models.imports import Import, ImportedRow
from agent_system.models.knowledge import KnowledgeGap, KnowledgeUsage
from agent_system.models.ledger import Host, Model, TokenUsage
from agent_system.models.links import Link
from agent_system.models.logs import LogEntry
from agent_system.models.memories import Memory, MemoryLink, MemoryTag
from agent_system.models.model_usage import ModelUsage
from agent_system.models.prices import ModelPrice
from agent_system.models.processes import Process, ProcessInstance
from agent_system.models.projects import Project, ProjectAgent, Workspace
from agent_system.models.promises import ChatState, Promise, PromiseDependency
from agent_system.models.prompts import Prompt, PromptHistory, PromptLabel, PromptLabelMove
from agent_system.models.queue import Effect, Job, JobSchedule, JobType, QueueClock
from agent_system.models.relations import EntityRelationship
from agent_system.models.reviews import EffectivenessMetric, OptimizationOpportunity, ReviewCounter
from agent_system.models.tasks import Task, TaskActivity, TaskDependency, TaskToolAssignment
from agent_system.models.telemetry import AgentStatusEntry, ToolUsage
from agent_system.models.todos import TodoItem, TodoList
from agent_system.models.tools import Tool
from agent_system.models.users import ErasureReceipt, User, UserIdentity

__all__ = [
    "Agent",
    "AgentPermission",
    "AgentStatusEntry",
    "AgentTool",
    "AuditSeal",
    "Budget",
    "BudgetAccount",
    "BudgetReservation",
    "Capability",
    "CapabilityHistory",
    "ChatState",
    "Config",
    "ConfigHistory",
    "ContextDocument",
    "ContextDocumentKey",
    "Conversation",
    "ConversationHead",
    "CreditAlert",
    "CreditBalance",
    "Document",
    "DocumentVersion",
    "Effect",
    "EffectivenessMetric",
    "Embedding",
    "EmbeddingModel",
    "EntityRelationship",
    "ErasureReceipt",
    "Event",
    "FeatureFlag",
    "File",
    "FileAccess",
    "Game",
    "Goal",
    "Host",
    "Import",
    "ImportedRow",
    "Job",
    "JobSchedule",
    "JobType",
    "KnowledgeGap",
    "KnowledgeUsage",
    "Link",
    "LogEntry",
    "Memory",
    "MemoryLink",
    "MemoryTag",
    "Message",
    "MessageFeedback",
    "Model",
    "ModelPrice",
    "ModelUsage",
    "OptimizationOpportunity",
    "Process",
    "ProcessInstance",
    "Project",
    "ProjectAgent",
    "Promise",
    "PromiseDependency",
    "Prompt",
    "PromptHistory",
    "PromptLabel",
    "PromptLabelMove",
    "QueueClock",
    "ReviewCounter",
    "TableModel",
    "Task",
    "TaskActivity",
    "TaskDependency",
    "TaskToolAssignment",
    "TodoItem",
    "TodoList",
    "TokenUsage",
    "Tool",
    "ToolUsage",
    "User",
    "UserIdentity",
    "Workspace",
    "metadata",
]
