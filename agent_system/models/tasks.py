"""What agents work on: the task tree, what waits for what, who may use which tool, and what happened."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Relationship

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    int_field,
    int_key,
    json_array_field,
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
    uuid_field,
    uuid_key,
    version_field,
)
from agent_system.types import (
    Counter,
    DependencyPolicy,
    Int64,
    JsonObject,
    JsonValue,
    RowId,
    StringList,
    TaskStatus,
)

__all__ = ["Task", "TaskActivity", "TaskDependency", "TaskToolAssignment"]


def _own_tree(context: Any) -> UUID:
    """The tree of a root task is the task itself; that of a child is known to whoever knows its parent."""
    row: Mapping[str, Any] = context.get_current_parameters()
    if row.get("parent_task_id") is not None:
        message = "a task with a parent needs the tree_id of its parent"
        raise ValueError(message)
    tree: UUID = row["id"]
    return tree


class TaskDependency(TableModel, table=True):
    """A task waits for another one."""

    __tablename__ = "task_dependencies"
    __table_args__ = (
        CheckConstraint("task_id <> depends_on_id", name="not_itself"),
        enum_check("on_failure", DependencyPolicy),
    )

    task_id: UUID = reference(
        "tasks.id", "The task that waits.", ondelete="CASCADE", primary_key=True, default=REQUIRED
    )
    depends_on_id: UUID = reference(
        "tasks.id", "The task that it waits for.", ondelete="CASCADE", primary_key=True, default=REQUIRED, index=True
    )
    on_failure: DependencyPolicy = enum_field(
        DependencyPolicy.FAIL, "What a failure of the other task does: fail (this one fails too), block or ignore."
    )
    created_at: datetime = created_at_field()


class TaskActivity(TableModel, table=True):
    """One line of a task's log; rows are added, never changed."""

    __tablename__ = "task_activities"
    __table_args__ = (Index(None, "task_id", "id"), COUNTED_KEY)

    id: RowId = int_key("Key of the activity; rises in the order of writing.")
    task_id: UUID = reference("tasks.id", "The task.", ondelete="CASCADE", default=REQUIRED)
    activity_type: str = text_field("What kind of activity: message, status, phase, tool, error ...", "message")
    message: str = text_field("What happened, for people.", "")
    actor: str | None = text_field("Who did it, such as the type of the agent; null when not known.", None)
    phase: str | None = text_field("The phase that the task was in; null when it has none.", None)
    data: JsonValue = json_field("What belongs to it, as JSON; null when nothing does.")
    created_at: datetime = created_at_field()


class TaskToolAssignment(TableModel, table=True):
    """A task may use a tool, for a while."""

    __tablename__ = "task_tool_assignments"
    __table_args__ = (Index(None, "task_id", "tool_name", unique=True), present_index("expires_at"))

    id: UUID = uuid_key("Key of the assignment, a UUIDv7.")
    task_id: UUID = reference("tasks.id", "The task.", ondelete="CASCADE", default=REQUIRED)
    tool_name: str = text_field("Name of the tool; one assignment per task and tool.")
    tool_id: UUID | None = reference(
        "tools.id", "The tool in the registry; null when it is not registered.", ondelete="CASCADE", index=True
    )
    permissions: StringList = json_array_field("What the task may do with the tool.")
    assigned_by_agent_id: UUID | None = reference(
        "agents.id", "The agent that gave it; null when no agent did.", ondelete="SET NULL", index=True
    )
    reason: str | None = text_field("Why the task needs the tool; null when not given.", None)
    is_active: bool = flag_field("Whether the assignment counts; false: revoked.", default=True)
    expires_at: datetime | None = moment_field("When the assignment ends; null: with the task.")
    revoked_at: datetime | None = moment_field("When it was revoked; null: it was not.")
    created_at: datetime = created_at_field("When the tool was assigned, in UTC.")
    updated_at: datetime = updated_at_field()


class Task(TableModel, table=True):
    """A piece of an agent's work, in a tree of such pieces."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "status", "priority", "created_at"),
        Index(None, "user_id", "status", "created_at"),
        Index(None, "agent_id", "status"),
        present_index("parent_task_id"),
        present_index("process_instance_id"),
        present_index("project_id"),
        present_index("workspace_id"),
        present_index("conversation_id"),
        present_index("session_uuid", "id"),
        present_index("interrupted_at"),
        enum_check("status", TaskStatus),
        CheckConstraint("attempt >= 1", name="attempt"),
        *non_negative("phase_number", "max_execution_seconds"),
    )

    id: UUID = uuid_key("Key of the task, a UUIDv7.")
    parent_task_id: UUID | None = reference(
        "tasks.id", "The task that this one is a part of; null for a root.", ondelete="CASCADE"
    )
    tree_id: UUID = uuid_field(
        "Key of the root of the tree, which is the task's own for a root.", None, index=True, computed_by=_own_tree
    )
    process_instance_id: UUID | None = reference(
        "process_instances.id", "The run of a process that it belongs to; null when none.", ondelete="SET NULL"
    )
    agent_id: UUID | None = reference(
        "agents.id", "The agent that does it; null: not assigned, or the agent was deleted.", ondelete="SET NULL"
    )
    user_id: UUID | None = reference("users.id", "Whose task it is; null: shared by all.", ondelete="CASCADE")
    project_id: UUID | None = reference(
        "projects.id", "The project that it is for; null when none.", ondelete="SET NULL"
    )
    workspace_id: UUID | None = reference(
        "workspaces.id", "The workspace that it runs in; null when none.", ondelete="SET NULL"
    )
    conversation_id: UUID | None = reference(
        "conversations.id", "The conversation that it is part of; null when none.", ondelete="SET NULL"
    )
    title: str | None = text_field("A few words for a list; null when not given.", None)
    instruction: str = text_field("What is to be done.")
    description: str | None = text_field("More about it for people; null when not given.", None)
    status: TaskStatus = enum_field(TaskStatus.PENDING, "Where the work stands.")
    priority: Int64 = int_field("Higher runs first.", 0)
    result: str | None = text_field("What came out; null until there is a result.", None)
    summary: str | None = text_field("The result in short; null until there is one.", None)
    error: str | None = text_field("What went wrong; null when nothing did.", None)
    workflow: str | None = text_field("Name of the workflow that it follows; null when none.", None)
    current_phase: str | None = text_field("The phase that the work is in; null when it has no phases.", None)
    phase_number: Counter = count_field("How many phases it has entered.")
    agent_type: str | None = text_field("The kind of agent that is wanted or at work; null: any.", None)
    model: str | None = text_field("Name of the model that does it; null when not fixed.", None)
    workspace: str | None = text_field("Folder or name of the workspace as the runtime knows it; null when none.", None)
    session_uuid: str | None = text_field(
        "Id of the runtime's session, under which tool calls may be recorded; null when none.", None
    )
    context: JsonValue = json_field("What the agent is given besides the instruction; null when nothing is.")
    pid: Int64 | None = int_field("Process id of the runtime while it works; null otherwise.", None)
    attempt: Int64 = int_field("Which attempt this is, from 1; a retry begins the next.", 1)
    max_execution_seconds: float | None = real_field("Seconds that it may take; null: no limit.", None)
    started_at: datetime | None = moment_field("When it first began to run; null: it has not.")
    completed_at: datetime | None = moment_field("When it ended, in whatever way; null: it has not.")
    interrupted_at: datetime | None = moment_field(
        "When it was stopped because whatever ran it was gone; null: it was not, or it was taken up again."
    )
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field(index=True)
    updated_at: datetime = updated_at_field()

    children: list["Task"] = Relationship(
        sa_relationship_kwargs={
            "primaryjoin": "Task.id == foreign(Task.parent_task_id)",
            "viewonly": True,
            "lazy": "raise",
            "order_by": "Task.id",
        }
    )
    dependencies: list["Task"] = Relationship(
        sa_relationship_kwargs={
            "secondary": "task_dependencies",
            "primaryjoin": "Task.id == TaskDependency.task_id",
            "secondaryjoin": "Task.id == TaskDependency.depends_on_id",
            "viewonly": True,
            "lazy": "raise",
            "order_by": "Task.id",
        }
    )
    activities: list[TaskActivity] = Relationship(
        sa_relationship_kwargs={"viewonly": True, "lazy": "raise", "order_by": "TaskActivity.id"}
    )


_task: Any = Task
_columns = _task.__table__.c
# What could be started now, in the order in which it is to be: read from one end, however many wait. With IN for the
# condition SQLite would rather search by the status and sort what it finds.
partial_index(
    _columns.priority.desc(),
    _columns.created_at,
    _columns.id,
    where="NOT (status <> 'created' AND status <> 'pending')",
    name="idx_tasks_ready",
)
