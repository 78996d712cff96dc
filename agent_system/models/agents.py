"""Agents, the tools they may use, and their base permissions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Relationship

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    REQUIRED,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    json_array_field,
    json_object_field,
    meta_field,
    moment_field,
    non_negative,
    partial_index,
    present_index,
    reference,
    text_field,
    updated_at_field,
    uuid_field,
    uuid_key,
    version_field,
)
from agent_system.models.naming import keep_keys
from agent_system.models.tools import Tool
from agent_system.types import AgentStatus, Counter, Int64, JsonObject, LifecycleStatus, StringList

__all__ = ["Agent", "AgentPermission", "AgentTool"]


class AgentTool(TableModel, table=True):
    """An agent may use a tool."""

    __tablename__ = "agent_tools"

    agent_id: UUID = reference("agents.id", "The agent.", ondelete="CASCADE", primary_key=True, default=REQUIRED)
    tool_id: UUID = reference(
        "tools.id", "The tool.", ondelete="CASCADE", primary_key=True, default=REQUIRED, index=True
    )
    permission: str = text_field("What the agent may do with the tool.", "use")
    is_active: bool = flag_field("Whether the permission counts; false: withdrawn.", default=True)
    granted_by: str | None = text_field("Who gave the permission; null when not known.", None)
    expires_at: datetime | None = moment_field("When the permission ends; null: never.")
    configuration: JsonObject = json_object_field("Settings of the tool for this agent.")
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class AgentPermission(TableModel, table=True):
    """What one agent, or every agent of a kind, may do before any task assigns more."""

    __tablename__ = "agent_permissions"
    __table_args__ = (
        CheckConstraint("(agent_id IS NULL) <> (agent_type IS NULL)", name="subject"),
        partial_index("agent_id", where="agent_id IS NOT NULL", name="uq_agent_permissions_agent_id", unique=True),
        partial_index(
            "agent_type", where="agent_type IS NOT NULL", name="uq_agent_permissions_agent_type", unique=True
        ),
        *non_negative("max_concurrent_tools"),
    )

    id: UUID = uuid_key("Key of the permission, a UUIDv7.")
    agent_id: UUID | None = reference(
        "agents.id", "The agent that it is for; null when it is for a kind.", ondelete="CASCADE"
    )
    agent_type: str | None = text_field(
        "The kind of agent (its specialization, or name) that it is for; null when it is for one agent.", None
    )
    entity_permissions: JsonObject = json_object_field('Actions by entity type, such as {"task": ["read", "write"]}.')
    base_tools: StringList = json_array_field('Names of the tools that are always allowed; "all" is every tool.')
    max_concurrent_tools: Counter = count_field("How many tools may run at once.", 5)
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class Agent(TableModel, table=True):
    """An agent: what it is told, what it can do, and what it is doing."""

    __tablename__ = "agents"
    __table_args__ = (
        Index(None, "user_id", "name_key", unique=True),
        partial_index("name_key", where="user_id IS NULL", name="uq_agents_shared_name_key", unique=True),
        present_index("specialization"),
        enum_check("status", AgentStatus),
        enum_check("state", LifecycleStatus),
    )

    id: UUID = uuid_key("Key of the agent, a UUIDv7.")
    user_id: UUID | None = reference("users.id", "Owner; null: shared by all.", ondelete="CASCADE")
    name_key: str = text_field("The name as it is compared (casefolded), unique per owner; kept with `name`.", None)
    name: str = text_field("Name of the agent.", index=True)
    description: str | None = text_field("What the agent is for; null when not given.", None)
    instruction: str = text_field("What the agent is told to do and to be.", "")
    specialization: str | None = text_field("The kind of work that the agent does; null: any.", None)
    capabilities: StringList = json_array_field("Names of what the agent can do.")
    configuration: JsonObject = json_object_field("Provider, model, temperature and other settings of its runtime.")
    context_documents: StringList = json_array_field("Names of the documents that the agent always reads.")
    permissions: JsonObject = json_object_field("Permissions of its own, as the runtime understands them.")
    constraints: JsonObject = json_object_field("Limits that the runtime has to keep.")
    status: AgentStatus = enum_field(AgentStatus.IDLE, "What the agent is doing now.")
    state: LifecycleStatus = enum_field(LifecycleStatus.ACTIVE, "Whether the agent is in use; archived: deleted.")
    created_by_task_id: UUID | None = uuid_field(
        "The task that made the agent; no foreign key, for it may have been deleted. Null when no task did.", None
    )
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()

    tools: list[Tool] = Relationship(
        sa_relationship_kwargs={
            "secondary": "agent_tools",
            "viewonly": True,
            "lazy": "raise",
            "order_by": "Tool.name_key",
        }
    )


keep_keys(Agent, "name")
