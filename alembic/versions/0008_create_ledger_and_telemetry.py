"""Create the token ledger and the record of tool calls.

Seed 000's ledger with token classes and money in integers; seed 002's tool calls as rows from before they run.

The downgrade drops the tables hosts, models, token_usage and tool_usage with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
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
    create_hosts()
    create_models()
    create_token_usage()
    create_tool_usage()


def downgrade() -> None:
    op.drop_table("tool_usage")
    op.drop_table("token_usage")
    op.drop_table("models")
    op.drop_table("hosts")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def dollars() -> str:
    if op.get_context().dialect.name == "sqlite":
        return "cost_nano_usd / 1000000000.0"
    return "cost_nano_usd::numeric / 1000000000.0"


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("name_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("base_url", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hosts")),
        sa.UniqueConstraint("name_key", name=op.f("uq_hosts_name_key")),
        sqlite_autoincrement=True,
    )


def create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("host_id", INTEGER, nullable=False),
        sa.Column("input_cost_per_1k", REAL),
        sa.Column("output_cost_per_1k", REAL),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.UniqueConstraint("name", "host_id", name=op.f("uq_models_name_host_id")),
        sa.CheckConstraint("input_cost_per_1k >= 0", name=op.f("ck_models_input_cost_per_1k")),
        sa.CheckConstraint("output_cost_per_1k >= 0", name=op.f("ck_models_output_cost_per_1k")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name=op.f("fk_models_host_id_hosts"), ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_models_host_id"), "models", ["host_id"])


def create_token_usage() -> None:
    op.create_table(
        "token_usage",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("timestamp", MOMENT, server_default=now(), nullable=False),
        sa.Column("kind", TEXT, server_default="usage", nullable=False),
        sa.Column("project_id", UUID),
        sa.Column("model_id", INTEGER, nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("agent_id", UUID),
        sa.Column("task_id", UUID),
        sa.Column("conversation_id", UUID),
        sa.Column("message_id", INTEGER),
        sa.Column("session_uuid", TEXT),
        sa.Column("role", TEXT),
        sa.Column("request_id", TEXT),
        sa.Column("attempt", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("usage_state", TEXT, server_default="reported", nullable=False),
        sa.Column("input_tokens", INTEGER),
        sa.Column("output_tokens", INTEGER),
        sa.Column("total_tokens", INTEGER, sa.Computed("input_tokens + output_tokens", persisted=True)),
        sa.Column("cache_read_input_tokens", INTEGER),
        sa.Column("cache_creation_input_tokens", INTEGER),
        sa.Column("cache_creation_5m_input_tokens", INTEGER),
        sa.Column("cache_creation_1h_input_tokens", INTEGER),
        sa.Column("reasoning_output_tokens", INTEGER),
        sa.Column("cost_nano_usd", INTEGER),
        sa.Column("cost_usd", REAL, sa.Computed(dollars(), persisted=True)),
        sa.Column("cost_source", TEXT),
        sa.Column("corrects_id", INTEGER),
        sa.Column("response_time_ms", REAL),
        sa.Column("success", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("error_type", TEXT),
        sa.Column("raw_usage", JSON),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("kind IN ('usage', 'correction')", name=op.f("ck_token_usage_kind")),
        sa.CheckConstraint(
            "usage_state IN ('reported', 'estimated', 'partial', 'missing')", name=op.f("ck_token_usage_usage_state")
        ),
        sa.CheckConstraint("cost_source IN ('computed', 'reported')", name=op.f("ck_token_usage_cost_source")),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_token_usage_attempt")),
        sa.CheckConstraint("cost_nano_usd >= 0 OR kind = 'correction'", name=op.f("ck_token_usage_cost_nano_usd")),
        sa.CheckConstraint(
            "usage_state <> 'missing' OR (input_tokens IS NULL AND output_tokens IS NULL)",
            name=op.f("ck_token_usage_missing_is_not_zero"),
        ),
        sa.CheckConstraint(
            "coalesce(cache_read_input_tokens, 0) + coalesce(cache_creation_input_tokens, 0) <= input_tokens",
            name=op.f("ck_token_usage_cached_within_input"),
        ),
        sa.CheckConstraint(
            "coalesce(cache_creation_5m_input_tokens, 0) + coalesce(cache_creation_1h_input_tokens, 0) "
            "<= cache_creation_input_tokens",
            name=op.f("ck_token_usage_cache_creation_split"),
        ),
        sa.CheckConstraint(
            "reasoning_output_tokens <= output_tokens", name=op.f("ck_token_usage_reasoning_within_output")
        ),
        sa.CheckConstraint("input_tokens >= 0", name=op.f("ck_token_usage_input_tokens")),
        sa.CheckConstraint("output_tokens >= 0", name=op.f("ck_token_usage_output_tokens")),
        sa.CheckConstraint("cache_read_input_tokens >= 0", name=op.f("ck_token_usage_cache_read_input_tokens")),
        sa.CheckConstraint("cache_creation_input_tokens >= 0", name=op.f("ck_token_usage_cache_creation_input_tokens")),
        sa.CheckConstraint(
            "cache_creation_5m_input_tokens >= 0", name=op.f("ck_token_usage_cache_creation_5m_input_tokens")
        ),
        sa.CheckConstraint(
            "cache_creation_1h_input_tokens >= 0", name=op.f("ck_token_usage_cache_creation_1h_input_tokens")
        ),
        sa.CheckConstraint("reasoning_output_tokens >= 0", name=op.f("ck_token_usage_reasoning_output_tokens")),
        sa.CheckConstraint("response_time_ms >= 0", name=op.f("ck_token_usage_response_time_ms")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_usage")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_token_usage_project_id_projects"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_token_usage_model_id_models"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_token_usage_agent_id_agents"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_token_usage_task_id_tasks"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_token_usage_conversation_id_conversations"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_token_usage_message_id_messages"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["corrects_id"], ["token_usage.id"], name=op.f("fk_token_usage_corrects_id_token_usage"), ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    partial_index(op.f("idx_token_usage_agent_id"), "token_usage", ["agent_id"], where="agent_id IS NOT NULL")
    partial_index(
        op.f("idx_token_usage_conversation_id"), "token_usage", ["conversation_id"], where="conversation_id IS NOT NULL"
    )
    partial_index(op.f("idx_token_usage_corrects_id"), "token_usage", ["corrects_id"], where="corrects_id IS NOT NULL")
    partial_index(op.f("idx_token_usage_message_id"), "token_usage", ["message_id"], where="message_id IS NOT NULL")
    op.create_index(op.f("idx_token_usage_model"), "token_usage", ["model_id", "timestamp"])
    op.create_index(op.f("idx_token_usage_project"), "token_usage", ["project_id", "timestamp"])
    op.create_index(op.f("idx_token_usage_request"), "token_usage", ["request_id", "attempt"], unique=True)
    partial_index(
        op.f("idx_token_usage_session_uuid"), "token_usage", ["session_uuid"], where="session_uuid IS NOT NULL"
    )
    partial_index(op.f("idx_token_usage_task_id"), "token_usage", ["task_id"], where="task_id IS NOT NULL")
    op.create_index(op.f("idx_token_usage_timestamp"), "token_usage", ["timestamp"])
    op.create_index(op.f("idx_token_usage_user"), "token_usage", ["user_id", "timestamp"])


def create_tool_usage() -> None:
    op.create_table(
        "tool_usage",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("call_id", TEXT),
        sa.Column("timestamp", MOMENT, server_default=now(), nullable=False),
        sa.Column("tool_name", TEXT, nullable=False),
        sa.Column("tool_id", UUID),
        sa.Column("operation", TEXT),
        sa.Column("task_id", UUID),
        sa.Column("agent_id", UUID),
        sa.Column("conversation_id", UUID),
        sa.Column("message_id", INTEGER),
        sa.Column("session_uuid", TEXT),
        sa.Column("state", TEXT, server_default="requested", nullable=False),
        sa.Column("success", sa.Boolean()),
        sa.Column("success_source", TEXT),
        sa.Column("duration_ms", REAL),
        sa.Column("error", TEXT),
        sa.Column("error_category", TEXT),
        sa.Column("parameters", JSON),
        sa.Column("parameter_hash", TEXT),
        sa.Column("result", TEXT),
        sa.Column("screenshot_path", TEXT),
        sa.Column("input_tokens", INTEGER),
        sa.Column("output_tokens", INTEGER),
        sa.Column("cache_read_input_tokens", INTEGER),
        sa.Column("cache_creation_input_tokens", INTEGER),
        sa.Column("started_at", MOMENT),
        sa.Column("completed_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "state IN ('requested', 'running', 'done', 'failed', 'interrupted')", name=op.f("ck_tool_usage_state")
        ),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("ck_tool_usage_duration_ms")),
        sa.CheckConstraint("input_tokens >= 0", name=op.f("ck_tool_usage_input_tokens")),
        sa.CheckConstraint("output_tokens >= 0", name=op.f("ck_tool_usage_output_tokens")),
        sa.CheckConstraint("cache_read_input_tokens >= 0", name=op.f("ck_tool_usage_cache_read_input_tokens")),
        sa.CheckConstraint("cache_creation_input_tokens >= 0", name=op.f("ck_tool_usage_cache_creation_input_tokens")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_usage")),
        sa.UniqueConstraint("call_id", name=op.f("uq_tool_usage_call_id")),
        sa.ForeignKeyConstraint(
            ["tool_id"], ["tools.id"], name=op.f("fk_tool_usage_tool_id_tools"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_tool_usage_task_id_tasks"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_tool_usage_agent_id_agents"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_tool_usage_conversation_id_conversations"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_tool_usage_message_id_messages"), ondelete="SET NULL"
        ),
        sqlite_autoincrement=True,
    )
    partial_index(op.f("idx_tool_usage_agent_id"), "tool_usage", ["agent_id"], where="agent_id IS NOT NULL")
    partial_index(
        op.f("idx_tool_usage_conversation_id"), "tool_usage", ["conversation_id"], where="conversation_id IS NOT NULL"
    )
    partial_index(
        op.f("idx_tool_usage_in_progress"), "tool_usage", ["timestamp"], where="state IN ('requested', 'running')"
    )
    partial_index(op.f("idx_tool_usage_message_id"), "tool_usage", ["message_id"], where="message_id IS NOT NULL")
    partial_index(
        op.f("idx_tool_usage_session_uuid_timestamp"),
        "tool_usage",
        ["session_uuid", "timestamp"],
        where="session_uuid IS NOT NULL",
    )
    op.create_index(op.f("idx_tool_usage_task"), "tool_usage", ["task_id", "timestamp"])
    op.create_index(op.f("idx_tool_usage_timestamp"), "tool_usage", ["timestamp"])
    op.create_index(op.f("idx_tool_usage_tool"), "tool_usage", ["tool_name", "timestamp"])
    partial_index(op.f("idx_tool_usage_tool_id"), "tool_usage", ["tool_id"], where="tool_id IS NOT NULL")
