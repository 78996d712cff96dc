"""Create conversations and the task tree.

Conversations of seed 004, tasks of seeds 001 and 002. Tasks refer to conversations, messages refer to both. The log of
a task is rows and not a JSON list, which two writers would overwrite.

The downgrade drops the tables conversations, tasks, task_dependencies, task_activities and task_tool_assignments with
all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
REAL = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    create_conversations()
    create_tasks()
    create_task_dependencies()
    create_task_activities()
    create_task_tool_assignments()


def downgrade() -> None:
    op.drop_table("task_tool_assignments")
    op.drop_table("task_activities")
    op.drop_table("task_dependencies")
    op.drop_table("tasks")
    op.drop_table("conversations")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", UUID, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("agent_id", UUID),
        sa.Column("project_id", UUID),
        sa.Column("workspace_id", UUID),
        sa.Column("parent_conversation_id", UUID),
        sa.Column("fork_message_id", INTEGER),
        sa.Column("title", TEXT, server_default="", nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("session_uuid", TEXT),
        sa.Column("head_message_id", INTEGER),
        sa.Column("is_forked", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("revision", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("message_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("last_message_at", MOMENT),
        sa.Column("archived_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'archived')", name=op.f("ck_conversations_status")),
        sa.CheckConstraint("revision >= 0", name=op.f("ck_conversations_revision")),
        sa.CheckConstraint("message_count >= 0", name=op.f("ck_conversations_message_count")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_conversations_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_conversations_agent_id_agents"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_conversations_project_id_projects"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_conversations_workspace_id_workspaces"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["parent_conversation_id"],
            ["conversations.id"],
            name=op.f("fk_conversations_parent_conversation_id_conversations"),
            ondelete="SET NULL",
        ),
    )
    op.create_index(op.f("idx_conversations_agent_id"), "conversations", ["agent_id"])
    partial_index(
        op.f("idx_conversations_parent_conversation_id"),
        "conversations",
        ["parent_conversation_id"],
        where="parent_conversation_id IS NOT NULL",
    )
    partial_index(op.f("idx_conversations_project_id"), "conversations", ["project_id"], where="project_id IS NOT NULL")
    partial_index(
        op.f("idx_conversations_session_uuid"), "conversations", ["session_uuid"], where="session_uuid IS NOT NULL"
    )
    op.create_index(op.f("idx_conversations_user_id_last_message_at"), "conversations", ["user_id", "last_message_at"])
    partial_index(
        op.f("idx_conversations_workspace_id"), "conversations", ["workspace_id"], where="workspace_id IS NOT NULL"
    )


def create_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", UUID, nullable=False),
        sa.Column("parent_task_id", UUID),
        sa.Column("tree_id", UUID, nullable=False),
        sa.Column("process_instance_id", UUID),
        sa.Column("agent_id", UUID),
        sa.Column("user_id", UUID),
        sa.Column("project_id", UUID),
        sa.Column("workspace_id", UUID),
        sa.Column("conversation_id", UUID),
        sa.Column("title", TEXT),
        sa.Column("instruction", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("priority", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("result", TEXT),
        sa.Column("summary", TEXT),
        sa.Column("error", TEXT),
        sa.Column("workflow", TEXT),
        sa.Column("current_phase", TEXT),
        sa.Column("phase_number", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("agent_type", TEXT),
        sa.Column("model", TEXT),
        sa.Column("workspace", TEXT),
        sa.Column("session_uuid", TEXT),
        sa.Column("context", JSON),
        sa.Column("pid", INTEGER),
        sa.Column("max_execution_seconds", REAL),
        sa.Column("started_at", MOMENT),
        sa.Column("completed_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('created', 'pending', 'queued', 'running', 'waiting', 'on_hold', 'completed', "
            "'failed', 'stopped', 'cancelled')",
            name=op.f("ck_tasks_status"),
        ),
        sa.CheckConstraint("phase_number >= 0", name=op.f("ck_tasks_phase_number")),
        sa.CheckConstraint("max_execution_seconds >= 0", name=op.f("ck_tasks_max_execution_seconds")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.ForeignKeyConstraint(
            ["parent_task_id"], ["tasks.id"], name=op.f("fk_tasks_parent_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["process_instance_id"],
            ["process_instances.id"],
            name=op.f("fk_tasks_process_instance_id_process_instances"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_tasks_agent_id_agents"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tasks_user_id_users"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_tasks_project_id_projects"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_tasks_workspace_id_workspaces"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_tasks_conversation_id_conversations"),
            ondelete="SET NULL",
        ),
    )
    op.create_index(op.f("idx_tasks_agent_id_status"), "tasks", ["agent_id", "status"])
    partial_index(op.f("idx_tasks_conversation_id"), "tasks", ["conversation_id"], where="conversation_id IS NOT NULL")
    op.create_index(op.f("idx_tasks_created_at"), "tasks", ["created_at"])
    partial_index(op.f("idx_tasks_parent_task_id"), "tasks", ["parent_task_id"], where="parent_task_id IS NOT NULL")
    partial_index(
        op.f("idx_tasks_process_instance_id"), "tasks", ["process_instance_id"], where="process_instance_id IS NOT NULL"
    )
    partial_index(op.f("idx_tasks_project_id"), "tasks", ["project_id"], where="project_id IS NOT NULL")
    partial_index(op.f("idx_tasks_session_uuid"), "tasks", ["session_uuid"], where="session_uuid IS NOT NULL")
    op.create_index(op.f("idx_tasks_status_priority_created_at"), "tasks", ["status", "priority", "created_at"])
    op.create_index(op.f("idx_tasks_tree_id"), "tasks", ["tree_id"])
    op.create_index(op.f("idx_tasks_user_id_status_created_at"), "tasks", ["user_id", "status", "created_at"])
    partial_index(op.f("idx_tasks_workspace_id"), "tasks", ["workspace_id"], where="workspace_id IS NOT NULL")


def create_task_dependencies() -> None:
    op.create_table(
        "task_dependencies",
        sa.Column("task_id", UUID, nullable=False),
        sa.Column("depends_on_id", UUID, nullable=False),
        sa.Column("on_failure", TEXT, server_default="fail", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("task_id <> depends_on_id", name=op.f("ck_task_dependencies_not_itself")),
        sa.CheckConstraint("on_failure IN ('fail', 'block', 'ignore')", name=op.f("ck_task_dependencies_on_failure")),
        sa.PrimaryKeyConstraint("task_id", "depends_on_id", name=op.f("pk_task_dependencies")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_task_dependencies_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["depends_on_id"], ["tasks.id"], name=op.f("fk_task_dependencies_depends_on_id_tasks"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("idx_task_dependencies_depends_on_id"), "task_dependencies", ["depends_on_id"])


def create_task_activities() -> None:
    op.create_table(
        "task_activities",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("task_id", UUID, nullable=False),
        sa.Column("activity_type", TEXT, server_default="message", nullable=False),
        sa.Column("message", TEXT, server_default="", nullable=False),
        sa.Column("actor", TEXT),
        sa.Column("phase", TEXT),
        sa.Column("data", JSON),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_activities")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_task_activities_task_id_tasks"), ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_task_activities_task_id_id"), "task_activities", ["task_id", "id"])


def create_task_tool_assignments() -> None:
    op.create_table(
        "task_tool_assignments",
        sa.Column("id", UUID, nullable=False),
        sa.Column("task_id", UUID, nullable=False),
        sa.Column("tool_name", TEXT, nullable=False),
        sa.Column("tool_id", UUID),
        sa.Column("permissions", JSON, server_default="[]", nullable=False),
        sa.Column("assigned_by_agent_id", UUID),
        sa.Column("reason", TEXT),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_tool_assignments")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_task_tool_assignments_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tool_id"], ["tools.id"], name=op.f("fk_task_tool_assignments_tool_id_tools"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["assigned_by_agent_id"],
            ["agents.id"],
            name=op.f("fk_task_tool_assignments_assigned_by_agent_id_agents"),
            ondelete="SET NULL",
        ),
    )
    op.create_index(
        op.f("idx_task_tool_assignments_assigned_by_agent_id"), "task_tool_assignments", ["assigned_by_agent_id"]
    )
    partial_index(
        op.f("idx_task_tool_assignments_expires_at"),
        "task_tool_assignments",
        ["expires_at"],
        where="expires_at IS NOT NULL",
    )
    op.create_index(
        op.f("idx_task_tool_assignments_task_id_tool_name"),
        "task_tool_assignments",
        ["task_id", "tool_name"],
        unique=True,
    )
    op.create_index(op.f("idx_task_tool_assignments_tool_id"), "task_tool_assignments", ["tool_id"])
