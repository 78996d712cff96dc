"""Create context documents with their versions, and processes with their runs.

The third and fourth entity type of seed 001; every content that a document had is kept with its author.

The downgrade drops the tables context_documents, document_versions, processes and process_instances with all their
rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
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
    create_context_documents()
    create_document_versions()
    create_processes()
    create_process_instances()


def downgrade() -> None:
    op.drop_table("process_instances")
    op.drop_table("processes")
    op.drop_table("document_versions")
    op.drop_table("context_documents")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_context_documents() -> None:
    op.create_table(
        "context_documents",
        sa.Column("id", UUID, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("parent_document_id", UUID),
        sa.Column("name_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("title", TEXT),
        sa.Column("content", TEXT, server_default="", nullable=False),
        sa.Column("content_version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("format", TEXT, server_default="markdown", nullable=False),
        sa.Column("category", TEXT, server_default="general", nullable=False),
        sa.Column("tags", JSON, server_default="[]", nullable=False),
        sa.Column("access_level", TEXT, server_default="internal", nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("updated_by", TEXT),
        sa.Column("created_by_task_id", UUID),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'inactive', 'deprecated', 'testing', 'archived')",
            name=op.f("ck_context_documents_status"),
        ),
        sa.CheckConstraint("content_version >= 1", name=op.f("ck_context_documents_content_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_context_documents")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_context_documents_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["parent_document_id"],
            ["context_documents.id"],
            name=op.f("fk_context_documents_parent_document_id_context_documents"),
            ondelete="SET NULL",
        ),
    )
    op.create_index(op.f("idx_context_documents_category"), "context_documents", ["category"])
    op.create_index(op.f("idx_context_documents_name_key"), "context_documents", ["name_key"])
    partial_index(
        op.f("idx_context_documents_parent_document_id"),
        "context_documents",
        ["parent_document_id"],
        where="parent_document_id IS NOT NULL",
    )
    partial_index(op.f("idx_context_documents_user_id"), "context_documents", ["user_id"], where="user_id IS NOT NULL")


def create_document_versions() -> None:
    op.create_table(
        "document_versions",
        sa.Column("id", UUID, nullable=False),
        sa.Column("document_id", UUID, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("title", TEXT),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("author", TEXT),
        sa.Column("reason", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_document_versions_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_versions")),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["context_documents.id"],
            name=op.f("fk_document_versions_document_id_context_documents"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        op.f("idx_document_versions_document_id_version"), "document_versions", ["document_id", "version"], unique=True
    )


def create_processes() -> None:
    op.create_table(
        "processes",
        sa.Column("id", UUID, nullable=False),
        sa.Column("name_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("process_type", TEXT, server_default="general", nullable=False),
        sa.Column("category", TEXT, server_default="general", nullable=False),
        sa.Column("triggers", JSON, server_default="[]", nullable=False),
        sa.Column("required_tools", JSON, server_default="[]", nullable=False),
        sa.Column("required_documents", JSON, server_default="[]", nullable=False),
        sa.Column("steps", JSON, server_default="[]", nullable=False),
        sa.Column("rollback_steps", JSON, server_default="[]", nullable=False),
        sa.Column("parameters_schema", JSON, server_default="{}", nullable=False),
        sa.Column("success_criteria", JSON, server_default="[]", nullable=False),
        sa.Column("permissions", JSON, server_default="[]", nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("usage_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("success_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("failure_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("total_execution_seconds", REAL, server_default=sa.text("0.0"), nullable=False),
        sa.Column("created_by_task_id", UUID),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'inactive', 'deprecated', 'testing', 'archived')", name=op.f("ck_processes_status")
        ),
        sa.CheckConstraint("usage_count >= 0", name=op.f("ck_processes_usage_count")),
        sa.CheckConstraint("success_count >= 0", name=op.f("ck_processes_success_count")),
        sa.CheckConstraint("failure_count >= 0", name=op.f("ck_processes_failure_count")),
        sa.CheckConstraint("total_execution_seconds >= 0", name=op.f("ck_processes_total_execution_seconds")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )
    partial_index(op.f("idx_processes_default"), "processes", ["process_type"], where="is_default")
    op.create_index(op.f("idx_processes_name_key"), "processes", ["name_key"])
    op.create_index(op.f("idx_processes_process_type"), "processes", ["process_type"])


def create_process_instances() -> None:
    op.create_table(
        "process_instances",
        sa.Column("id", UUID, nullable=False),
        sa.Column("process_id", UUID, nullable=False),
        sa.Column("task_id", UUID),
        sa.Column("status", TEXT, server_default="running", nullable=False),
        sa.Column("parameters", JSON, server_default="{}", nullable=False),
        sa.Column("state", JSON, server_default="{}", nullable=False),
        sa.Column("current_step_id", TEXT),
        sa.Column("result", JSON, server_default="{}", nullable=False),
        sa.Column("error", TEXT),
        sa.Column("started_at", MOMENT),
        sa.Column("completed_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'waiting', 'completed', 'failed', 'cancelled', "
            "'rolling_back', 'rolled_back')",
            name=op.f("ck_process_instances_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_process_instances")),
        sa.ForeignKeyConstraint(
            ["process_id"], ["processes.id"], name=op.f("fk_process_instances_process_id_processes"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("idx_process_instances_process_id"), "process_instances", ["process_id"])
    op.create_index(op.f("idx_process_instances_task_id"), "process_instances", ["task_id"])
