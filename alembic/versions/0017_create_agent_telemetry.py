"""Create the status of agents, files, what reviews look at, and what agents know and do not know.

Seed 002's status history, index of files and documents; seed 001's review counters, opportunities, figures of
effectiveness, and use and gaps of knowledge. Tool calls get an owner, tasks the number of their attempt and the moment
of an interruption, and an index from which the next ready task is read.

The downgrade drops the tables agent_status, files, file_accesses, documents, review_counters,
optimization_opportunities, entity_effectiveness, knowledge_usage and knowledge_gaps and the new columns with all that
they hold.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
REAL = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")

READY = "NOT (status <> 'created' AND status <> 'pending')"


def upgrade() -> None:
    extend_tasks()
    extend_tool_usage()
    create_agent_status()
    create_files()
    create_file_accesses()
    create_documents()
    create_review_counters()
    create_optimization_opportunities()
    create_entity_effectiveness()
    create_knowledge_usage()
    create_knowledge_gaps()


def downgrade() -> None:
    op.drop_table("knowledge_gaps")
    op.drop_table("knowledge_usage")
    op.drop_table("entity_effectiveness")
    op.drop_table("optimization_opportunities")
    op.drop_table("review_counters")
    op.drop_table("documents")
    op.drop_table("file_accesses")
    op.drop_table("files")
    op.drop_table("agent_status")
    op.drop_index("idx_tool_usage_failed", "tool_usage")
    op.drop_index("idx_tool_usage_user_id_timestamp", "tool_usage")
    op.drop_index("idx_tool_usage_tool", "tool_usage")
    with op.batch_alter_table("tool_usage") as batch:
        batch.drop_constraint(op.f("fk_tool_usage_user_id_users"), type_="foreignkey")
        batch.drop_column("user_id")
    op.create_index(op.f("idx_tool_usage_tool"), "tool_usage", ["tool_name", "timestamp"])
    op.drop_index("idx_tasks_ready", "tasks")
    op.drop_index("idx_tasks_session_uuid_id", "tasks")
    op.drop_index("idx_tasks_interrupted_at", "tasks")
    with op.batch_alter_table("tasks") as batch:
        batch.drop_constraint(op.f("ck_tasks_attempt"), type_="check")
        batch.drop_column("interrupted_at")
        batch.drop_column("attempt")
    partial_index(op.f("idx_tasks_session_uuid"), "tasks", ["session_uuid"], where="session_uuid IS NOT NULL")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[Any], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def extend_tasks() -> None:
    with op.batch_alter_table("tasks") as batch:
        batch.add_column(sa.Column("attempt", INTEGER, server_default=sa.text("1"), nullable=False))
        batch.add_column(sa.Column("interrupted_at", MOMENT))
        batch.create_check_constraint(op.f("ck_tasks_attempt"), "attempt >= 1")
    partial_index(op.f("idx_tasks_interrupted_at"), "tasks", ["interrupted_at"], where="interrupted_at IS NOT NULL")
    # The newest task of a session is looked up for every tool call that names only the session.
    op.drop_index("idx_tasks_session_uuid", "tasks")
    partial_index(op.f("idx_tasks_session_uuid_id"), "tasks", ["session_uuid", "id"], where="session_uuid IS NOT NULL")
    partial_index(op.f("idx_tasks_ready"), "tasks", [sa.text("priority DESC"), "created_at", "id"], where=READY)


def extend_tool_usage() -> None:
    with op.batch_alter_table("tool_usage") as batch:
        batch.add_column(sa.Column("user_id", UUID))
        batch.create_foreign_key(op.f("fk_tool_usage_user_id_users"), "users", ["user_id"], ["id"], ondelete="CASCADE")
    partial_index(
        op.f("idx_tool_usage_user_id_timestamp"), "tool_usage", ["user_id", "timestamp"], where="user_id IS NOT NULL"
    )
    partial_index(op.f("idx_tool_usage_failed"), "tool_usage", ["timestamp"], where="state = 'failed'")
    op.drop_index("idx_tool_usage_tool", "tool_usage")
    # Covers what the figures of a tool are added up from.
    columns = ["tool_name", "timestamp", "state", "success", "duration_ms"]
    op.create_index(op.f("idx_tool_usage_tool"), "tool_usage", columns)


def create_agent_status() -> None:
    op.create_table(
        "agent_status",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("timestamp", MOMENT, server_default=now(), nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("task_id", UUID),
        sa.Column("agent_id", UUID),
        sa.Column("session_uuid", TEXT),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("message", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_status_agent_id_agents"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_agent_status_task_id_tasks"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_agent_status_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_status")),
        sqlite_autoincrement=True,
    )
    partial_index(
        op.f("idx_agent_status_agent_id_timestamp"),
        "agent_status",
        ["agent_id", "timestamp"],
        where="agent_id IS NOT NULL",
    )
    partial_index(
        op.f("idx_agent_status_session_uuid_timestamp"),
        "agent_status",
        ["session_uuid", "timestamp"],
        where="session_uuid IS NOT NULL",
    )
    partial_index(
        op.f("idx_agent_status_task_id_timestamp"),
        "agent_status",
        ["task_id", "timestamp"],
        where="task_id IS NOT NULL",
    )
    op.create_index(op.f("idx_agent_status_timestamp"), "agent_status", ["timestamp"])
    partial_index(
        op.f("idx_agent_status_user_id_timestamp"),
        "agent_status",
        ["user_id", "timestamp"],
        where="user_id IS NOT NULL",
    )


def create_files() -> None:
    op.create_table(
        "files",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("file_path", TEXT, nullable=False),
        sa.Column("access_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("read_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("write_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("edit_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("size_bytes", INTEGER),
        sa.Column("content_hash", TEXT),
        sa.Column("first_seen_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("last_accessed_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("access_count >= 0", name=op.f("ck_files_access_count")),
        sa.CheckConstraint("edit_count >= 0", name=op.f("ck_files_edit_count")),
        sa.CheckConstraint("read_count >= 0", name=op.f("ck_files_read_count")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_files_size_bytes")),
        sa.CheckConstraint("write_count >= 0", name=op.f("ck_files_write_count")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_files_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_files_access_count"), "files", ["access_count"])
    op.create_index(op.f("idx_files_last_accessed_at"), "files", ["last_accessed_at"])
    op.create_index(op.f("idx_files_user_id_file_path"), "files", ["user_id", "file_path"], unique=True)
    partial_index(op.f("uq_files_shared_file_path"), "files", ["file_path"], where="user_id IS NULL", unique=True)


def create_file_accesses() -> None:
    op.create_table(
        "file_accesses",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("timestamp", MOMENT, server_default=now(), nullable=False),
        sa.Column("file_id", INTEGER, nullable=False),
        sa.Column("task_id", UUID),
        sa.Column("session_uuid", TEXT),
        sa.Column("operation", TEXT, nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "operation IN ('read', 'write', 'edit', 'delete', 'search')", name=op.f("ck_file_accesses_operation")
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.id"], name=op.f("fk_file_accesses_file_id_files"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_file_accesses_task_id_tasks"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file_accesses")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_file_accesses_file_id_timestamp"), "file_accesses", ["file_id", "timestamp"])
    partial_index(
        op.f("idx_file_accesses_session_uuid"), "file_accesses", ["session_uuid"], where="session_uuid IS NOT NULL"
    )
    partial_index(
        op.f("idx_file_accesses_task_id_file_id"), "file_accesses", ["task_id", "file_id"], where="task_id IS NOT NULL"
    )
    op.create_index(op.f("idx_file_accesses_timestamp"), "file_accesses", ["timestamp"])


def create_documents() -> None:
    op.create_table(
        "documents",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("task_id", UUID),
        sa.Column("notes", TEXT),
        sa.Column("archived_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("archived_at IS NOT NULL OR status <> 'archived'", name=op.f("ck_documents_archived_at")),
        sa.CheckConstraint("status IN ('active', 'archived', 'deleted')", name=op.f("ck_documents_status")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_documents_task_id_tasks"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_documents_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_documents_status_updated_at"), "documents", ["status", "updated_at"])
    partial_index(op.f("idx_documents_task_id"), "documents", ["task_id"], where="task_id IS NOT NULL")
    op.create_index(op.f("idx_documents_user_id_path"), "documents", ["user_id", "path"], unique=True)
    partial_index(op.f("uq_documents_shared_path"), "documents", ["path"], where="user_id IS NULL", unique=True)


def create_review_counters() -> None:
    op.create_table(
        "review_counters",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("entity_type", TEXT, nullable=False),
        sa.Column("entity_id", TEXT, nullable=False),
        sa.Column("counter_type", TEXT, nullable=False),
        sa.Column("count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("total_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("threshold", INTEGER, server_default=sa.text("100"), nullable=False),
        sa.Column("frequency", TEXT, server_default="threshold", nullable=False),
        sa.Column("period_seconds", REAL),
        sa.Column("review_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("last_review_at", MOMENT),
        sa.Column("next_review_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "counter_type IN ('usage', 'creation', 'modification', 'error', 'success', 'failure')",
            name=op.f("ck_review_counters_counter_type"),
        ),
        sa.CheckConstraint(
            "frequency = 'threshold' OR period_seconds IS NOT NULL", name=op.f("ck_review_counters_period")
        ),
        sa.CheckConstraint(
            "frequency IN ('threshold', 'periodic', 'hybrid')", name=op.f("ck_review_counters_frequency")
        ),
        sa.CheckConstraint("count >= 0", name=op.f("ck_review_counters_count")),
        sa.CheckConstraint("period_seconds > 0", name=op.f("ck_review_counters_period_seconds")),
        sa.CheckConstraint("review_count >= 0", name=op.f("ck_review_counters_review_count")),
        sa.CheckConstraint("threshold >= 1", name=op.f("ck_review_counters_threshold")),
        sa.CheckConstraint("total_count >= 0", name=op.f("ck_review_counters_total_count")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_counters")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("idx_review_counters_entity_type_entity_id_counter_type"),
        "review_counters",
        ["entity_type", "entity_id", "counter_type"],
        unique=True,
    )
    partial_index(
        op.f("idx_review_counters_next_review_at"),
        "review_counters",
        ["next_review_at"],
        where="next_review_at IS NOT NULL",
    )


def create_optimization_opportunities() -> None:
    op.create_table(
        "optimization_opportunities",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("entity_type", TEXT, nullable=False),
        sa.Column("entity_id", TEXT, nullable=False),
        sa.Column("opportunity_type", TEXT, nullable=False),
        sa.Column("description", TEXT, server_default="", nullable=False),
        sa.Column("potential_impact", REAL, server_default=sa.text("0.0"), nullable=False),
        sa.Column("effort_estimate", TEXT),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("occurrence_count", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_by_event_id", INTEGER),
        sa.Column("result", TEXT),
        sa.Column("completed_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "effort_estimate IN ('low', 'medium', 'high')", name=op.f("ck_optimization_opportunities_effort_estimate")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'in_progress', 'completed', 'rejected')",
            name=op.f("ck_optimization_opportunities_status"),
        ),
        sa.CheckConstraint("occurrence_count >= 0", name=op.f("ck_optimization_opportunities_occurrence_count")),
        sa.ForeignKeyConstraint(
            ["created_by_event_id"],
            ["events.id"],
            name=op.f("fk_optimization_opportunities_created_by_event_id_events"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_optimization_opportunities")),
        sqlite_autoincrement=True,
    )
    partial_index(
        op.f("idx_optimization_opportunities_created_by_event_id"),
        "optimization_opportunities",
        ["created_by_event_id"],
        where="created_by_event_id IS NOT NULL",
    )
    op.create_index(
        op.f("idx_optimization_opportunities_entity_type_entity_id"),
        "optimization_opportunities",
        ["entity_type", "entity_id"],
    )
    op.create_index(
        op.f("idx_optimization_opportunities_status_potential_impact"),
        "optimization_opportunities",
        ["status", "potential_impact"],
    )
    partial_index(
        op.f("uq_optimization_opportunities_open"),
        "optimization_opportunities",
        ["entity_type", "entity_id", "opportunity_type"],
        where="status IN ('pending', 'in_progress')",
        unique=True,
    )


def create_entity_effectiveness() -> None:
    op.create_table(
        "entity_effectiveness",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("entity_type", TEXT, nullable=False),
        sa.Column("entity_id", TEXT, nullable=False),
        sa.Column("metric_name", TEXT, nullable=False),
        sa.Column("metric_value", REAL, nullable=False),
        sa.Column("measured_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("event_id", INTEGER),
        sa.Column("context", JSON),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name=op.f("fk_entity_effectiveness_event_id_events"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entity_effectiveness")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("idx_entity_effectiveness_entity"),
        "entity_effectiveness",
        ["entity_type", "entity_id", "metric_name", "measured_at"],
    )
    partial_index(
        op.f("idx_entity_effectiveness_event_id"), "entity_effectiveness", ["event_id"], where="event_id IS NOT NULL"
    )
    op.create_index(
        op.f("idx_entity_effectiveness_metric"), "entity_effectiveness", ["entity_type", "metric_name", "measured_at"]
    )


def create_knowledge_usage() -> None:
    op.create_table(
        "knowledge_usage",
        sa.Column("id", UUID, nullable=False),
        sa.Column("document_id", UUID, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("content_version", INTEGER),
        sa.Column("task_id", UUID),
        sa.Column("agent_id", UUID),
        sa.Column("usage_type", TEXT, server_default="assembled", nullable=False),
        sa.Column("relevance", REAL),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "usage_type IN ('assembled', 'read', 'cited', 'rejected')", name=op.f("ck_knowledge_usage_usage_type")
        ),
        sa.CheckConstraint("relevance BETWEEN 0 AND 1", name=op.f("ck_knowledge_usage_relevance")),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_knowledge_usage_agent_id_agents"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["context_documents.id"],
            name=op.f("fk_knowledge_usage_document_id_context_documents"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_knowledge_usage_task_id_tasks"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_knowledge_usage_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_knowledge_usage")),
    )
    partial_index(op.f("idx_knowledge_usage_agent_id"), "knowledge_usage", ["agent_id"], where="agent_id IS NOT NULL")
    op.create_index(op.f("idx_knowledge_usage_created_at"), "knowledge_usage", ["created_at"])
    op.create_index(
        op.f("idx_knowledge_usage_document_id_created_at"), "knowledge_usage", ["document_id", "created_at"]
    )
    partial_index(op.f("idx_knowledge_usage_task_id"), "knowledge_usage", ["task_id"], where="task_id IS NOT NULL")
    partial_index(op.f("idx_knowledge_usage_user_id"), "knowledge_usage", ["user_id"], where="user_id IS NOT NULL")


def create_knowledge_gaps() -> None:
    op.create_table(
        "knowledge_gaps",
        sa.Column("id", UUID, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("topic_key", TEXT, nullable=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("category", TEXT, server_default="general", nullable=False),
        sa.Column("status", TEXT, server_default="open", nullable=False),
        sa.Column("occurrence_count", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("last_seen_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("task_id", UUID),
        sa.Column("agent_id", UUID),
        sa.Column("resolved_by_document_id", UUID),
        sa.Column("resolution", TEXT),
        sa.Column("resolved_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("status IN ('open', 'resolved', 'dismissed')", name=op.f("ck_knowledge_gaps_status")),
        sa.CheckConstraint("occurrence_count >= 0", name=op.f("ck_knowledge_gaps_occurrence_count")),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_knowledge_gaps_agent_id_agents"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["resolved_by_document_id"],
            ["context_documents.id"],
            name=op.f("fk_knowledge_gaps_resolved_by_document_id_context_documents"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_knowledge_gaps_task_id_tasks"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_knowledge_gaps_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_knowledge_gaps")),
    )
    partial_index(op.f("idx_knowledge_gaps_agent_id"), "knowledge_gaps", ["agent_id"], where="agent_id IS NOT NULL")
    partial_index(
        op.f("idx_knowledge_gaps_resolved_by_document_id"),
        "knowledge_gaps",
        ["resolved_by_document_id"],
        where="resolved_by_document_id IS NOT NULL",
    )
    op.create_index(
        op.f("idx_knowledge_gaps_status_occurrence_count"), "knowledge_gaps", ["status", "occurrence_count"]
    )
    partial_index(op.f("idx_knowledge_gaps_task_id"), "knowledge_gaps", ["task_id"], where="task_id IS NOT NULL")
    partial_index(op.f("idx_knowledge_gaps_user_id"), "knowledge_gaps", ["user_id"], where="user_id IS NOT NULL")
    partial_index(
        op.f("uq_knowledge_gaps_open"), "knowledge_gaps", ["user_id", "topic_key"], where="status = 'open'", unique=True
    )
    partial_index(
        op.f("uq_knowledge_gaps_shared_open"),
        "knowledge_gaps",
        ["topic_key"],
        where="status = 'open' AND user_id IS NULL",
        unique=True,
    )
