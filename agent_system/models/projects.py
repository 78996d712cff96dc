"""What users work on: projects, the agents that take part, and the workspaces that hold them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Relationship

from agent_system.models.agents import Agent
from agent_system.models.base import TableModel
from agent_system.models.fields import (
    REQUIRED,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    json_object_field,
    meta_field,
    partial_index,
    reference,
    text_field,
    updated_at_field,
    uuid_field,
    uuid_key,
    version_field,
)
from agent_system.models.naming import keep_keys
from agent_system.types import Int64, JsonObject, ProjectStatus

__all__ = ["Project", "ProjectAgent", "Workspace"]


class Workspace(TableModel, table=True):
    """A place where projects live; one of a user's workspaces is the default."""

    __tablename__ = "workspaces"
    __table_args__ = (
        Index(None, "user_id", "name"),
        partial_index("user_id", where="is_default", name="uq_workspaces_default_user_id", unique=True),
        partial_index(
            "is_default", where="is_default AND user_id IS NULL", name="uq_workspaces_default_shared", unique=True
        ),
    )

    id: UUID = uuid_key("Key of the workspace, a UUIDv7.")
    user_id: UUID | None = reference("users.id", "Owner; null: shared by all.", ondelete="CASCADE")
    name: str = text_field("Name for people; need not be unique.")
    description: str | None = text_field("What the workspace is for; null when not given.", None)
    workspace_type: str = text_field("Kind of workspace, such as local or container.", "local")
    path: str | None = text_field("Folder of the workspace; null when it has none.", None)
    is_default: bool = flag_field("Whether this is the owner's default workspace; at most one is.", default=False)
    current_project_id: UUID | None = uuid_field(
        "The project opened last; no foreign key (projects refer to workspaces), so it may name a deleted project. "
        "Null: none yet.",
        None,
    )
    config: JsonObject = json_object_field("Settings of the workspace.")
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class ProjectAgent(TableModel, table=True):
    """An agent takes part in a project."""

    __tablename__ = "project_agents"

    project_id: UUID = reference("projects.id", "The project.", ondelete="CASCADE", primary_key=True, default=REQUIRED)
    agent_id: UUID = reference(
        "agents.id", "The agent.", ondelete="CASCADE", primary_key=True, default=REQUIRED, index=True
    )
    role: str | None = text_field("What the agent does in the project; null when not said.", None)
    created_at: datetime = created_at_field()


class Project(TableModel, table=True):
    """A body of work: code in a repository, or just the heading that token costs are booked under."""

    __tablename__ = "projects"
    __table_args__ = (
        Index(None, "user_id", "name_key", unique=True),
        partial_index("name_key", where="user_id IS NULL", name="uq_projects_shared_name_key", unique=True),
        enum_check("status", ProjectStatus),
    )

    id: UUID = uuid_key("Key of the project, a UUIDv7.")
    user_id: UUID | None = reference("users.id", "Owner; null: shared by all.", ondelete="CASCADE")
    name_key: str = text_field("The name as it is compared (casefolded), unique per owner; kept with `name`.", None)
    name: str = text_field("Name of the project.")
    description: str | None = text_field("What the project is about; null when not given.", None)
    status: ProjectStatus = enum_field(ProjectStatus.ACTIVE, "active, archived or deleted.")
    repository_url: str | None = text_field("Where the source is kept; null when nowhere.", None)
    local_path: str | None = text_field("Folder on this machine; null when there is none.", None)
    framework: str | None = text_field("Framework that the project uses; null when not known.", None)
    language: str | None = text_field("Main programming language; null when not known.", None)
    workspace_id: UUID | None = reference(
        "workspaces.id", "The workspace that holds it; null when none does.", ondelete="SET NULL", index=True
    )
    volume_name: str | None = text_field("Name of the container volume; null when there is none.", None)
    volume_path: str | None = text_field("Path inside the container volume; null when there is none.", None)
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()

    agents: list[Agent] = Relationship(
        sa_relationship_kwargs={
            "secondary": "project_agents",
            "viewonly": True,
            "lazy": "raise",
            "order_by": "Agent.name_key",
        }
    )


keep_keys(Project, "name")
