"""Create agents, tools and what ties them together.

Agents of seeds 001 and 004 are one table; seed 001's many-to-many between agents and tools goes through permissions.

The downgrade drops the tables tools, agents, agent_tools and agent_permissions with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
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
    create_tools()
    create_agents()
    create_agent_tools()
    create_agent_permissions()


def downgrade() -> None:
    op.drop_table("agent_permissions")
    op.drop_table("agent_tools")
    op.drop_table("agents")
    op.drop_table("tools")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_tools() -> None:
    op.create_table(
        "tools",
        sa.Column("id", UUID, nullable=False),
        sa.Column("name_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("category", TEXT, server_default="general", nullable=False),
        sa.Column("implementation", TEXT),
        sa.Column("parameters", JSON, server_default="{}", nullable=False),
        sa.Column("permissions", JSON, server_default="[]", nullable=False),
        sa.Column("triggers", JSON, server_default="[]", nullable=False),
        sa.Column("dependencies", JSON, server_default="[]", nullable=False),
        sa.Column("configuration", JSON, server_default="{}", nullable=False),
        sa.Column("requires_validation", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("execution_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("success_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("failure_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("total_duration_ms", REAL, server_default=sa.text("0.0"), nullable=False),
        sa.Column("last_used_at", MOMENT),
        sa.Column("created_by_task_id", UUID),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'inactive', 'deprecated', 'testing', 'archived')", name=op.f("ck_tools_status")
        ),
        sa.CheckConstraint("execution_count >= 0", name=op.f("ck_tools_execution_count")),
        sa.CheckConstraint("success_count >= 0", name=op.f("ck_tools_success_count")),
        sa.CheckConstraint("failure_count >= 0", name=op.f("ck_tools_failure_count")),
        sa.CheckConstraint("total_duration_ms >= 0", name=op.f("ck_tools_total_duration_ms")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tools")),
        sa.UniqueConstraint("name_key", name=op.f("uq_tools_name_key")),
    )
    op.create_index(op.f("idx_tools_category"), "tools", ["category"])


def create_agents() -> None:
    op.create_table(
        "agents",
        sa.Column("id", UUID, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("name_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT),
        sa.Column("instruction", TEXT, server_default="", nullable=False),
        sa.Column("specialization", TEXT),
        sa.Column("capabilities", JSON, server_default="[]", nullable=False),
        sa.Column("configuration", JSON, server_default="{}", nullable=False),
        sa.Column("context_documents", JSON, server_default="[]", nullable=False),
        sa.Column("permissions", JSON, server_default="{}", nullable=False),
        sa.Column("constraints", JSON, server_default="{}", nullable=False),
        sa.Column("status", TEXT, server_default="idle", nullable=False),
        sa.Column("state", TEXT, server_default="active", nullable=False),
        sa.Column("created_by_task_id", UUID),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('idle', 'thinking', 'coding', 'testing', 'error', 'offline')", name=op.f("ck_agents_status")
        ),
        sa.CheckConstraint(
            "state IN ('active', 'inactive', 'deprecated', 'testing', 'archived')", name=op.f("ck_agents_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_agents_user_id_users"), ondelete="CASCADE"),
    )
    op.create_index(op.f("idx_agents_name"), "agents", ["name"])
    partial_index(op.f("idx_agents_specialization"), "agents", ["specialization"], where="specialization IS NOT NULL")
    op.create_index(op.f("idx_agents_user_id_name_key"), "agents", ["user_id", "name_key"], unique=True)
    partial_index(op.f("uq_agents_shared_name_key"), "agents", ["name_key"], where="user_id IS NULL", unique=True)


def create_agent_tools() -> None:
    op.create_table(
        "agent_tools",
        sa.Column("agent_id", UUID, nullable=False),
        sa.Column("tool_id", UUID, nullable=False),
        sa.Column("permission", TEXT, server_default="use", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("granted_by", TEXT),
        sa.Column("expires_at", MOMENT),
        sa.Column("configuration", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", "tool_id", name=op.f("pk_agent_tools")),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_tools_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tool_id"], ["tools.id"], name=op.f("fk_agent_tools_tool_id_tools"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("idx_agent_tools_tool_id"), "agent_tools", ["tool_id"])


def create_agent_permissions() -> None:
    op.create_table(
        "agent_permissions",
        sa.Column("id", UUID, nullable=False),
        sa.Column("agent_id", UUID),
        sa.Column("agent_type", TEXT),
        sa.Column("entity_permissions", JSON, server_default="{}", nullable=False),
        sa.Column("base_tools", JSON, server_default="[]", nullable=False),
        sa.Column("max_concurrent_tools", INTEGER, server_default=sa.text("5"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("(agent_id IS NULL) <> (agent_type IS NULL)", name=op.f("ck_agent_permissions_subject")),
        sa.CheckConstraint("max_concurrent_tools >= 0", name=op.f("ck_agent_permissions_max_concurrent_tools")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_permissions")),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_permissions_agent_id_agents"), ondelete="CASCADE"
        ),
    )
    partial_index(
        op.f("uq_agent_permissions_agent_id"),
        "agent_permissions",
        ["agent_id"],
        where="agent_id IS NOT NULL",
        unique=True,
    )
    partial_index(
        op.f("uq_agent_permissions_agent_type"),
        "agent_permissions",
        ["agent_type"],
        where="agent_type IS NOT NULL",
        unique=True,
    )
