"""The tables, one class each; a column's meaning stands in its `Field(description=...)`.

Read `base.py` and `fields.py` first, then the family you need: `users`, `projects`, `tools`, `agents`, `tasks`,
`documents`, `processes`, `events`, `relations`, `conversations`, `ledger`, `prices`, `telemetry`, `queue`, `promises`.
"""

from agent_system.models.agents import Agent, AgentPermission, AgentTool
from agent_system.models.base import TableModel, metadata
from agent_system.models.conversations import Conversation, ConversationHead, Message
from agent_system.models.documents import ContextDocument, DocumentVersion
from agent_system.models.events import Event
from agent_system.models.ledger import Host, Model, TokenUsage
from agent_system.models.prices import ModelPrice
from agent_system.models.processes import Process, ProcessInstance
from agent_system.models.projects import Project, ProjectAgent, Workspace
from agent_system.models.promises import ChatState, Promise, PromiseDependency
from agent_system.models.queue import Effect, Job, JobSchedule, JobType, QueueClock
from agent_system.models.relations import EntityRelationship
from agent_system.models.tasks import Task, TaskActivity, TaskDependency, TaskToolAssignment
from agent_system.models.telemetry import ToolUsage
from agent_system.models.tools import Tool
from agent_system.models.users import User, UserIdentity

__all__ = [
    "Agent",
    "AgentPermission",
    "AgentTool",
    "ChatState",
    "ContextDocument",
    "Conversation",
    "ConversationHead",
    "DocumentVersion",
    "Effect",
    "EntityRelationship",
    "Event",
    "Host",
    "Job",
    "JobSchedule",
    "JobType",
    "Message",
    "Model",
    "ModelPrice",
    "Process",
    "ProcessInstance",
    "Project",
    "ProjectAgent",
    "Promise",
    "PromiseDependency",
    "QueueClock",
    "TableModel",
    "Task",
    "TaskActivity",
    "TaskDependency",
    "TaskToolAssignment",
    "TokenUsage",
    "Tool",
    "ToolUsage",
    "User",
    "UserIdentity",
    "Workspace",
    "metadata",
]
