"""Create messages and the named heads of conversations.

Messages of seeds 001 to 004 are one table with an integer key that rises in the order of writing, and a public UUID
that makes a repeated append harmless.

The downgrade drops the tables messages and conversation_heads with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
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
    create_messages()
    create_conversation_heads()


def downgrade() -> None:
    op.drop_table("conversation_heads")
    op.drop_table("messages")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("uid", UUID, nullable=False),
        sa.Column("conversation_id", UUID),
        sa.Column("parent_id", INTEGER),
        sa.Column("task_id", UUID),
        sa.Column("agent_id", UUID),
        sa.Column("user_id", TEXT),
        sa.Column("channel_id", TEXT),
        sa.Column("guild_id", TEXT),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("author_name", TEXT),
        sa.Column("message_type", TEXT),
        sa.Column("content", TEXT, server_default="", nullable=False),
        sa.Column("parts", JSON),
        sa.Column("tool_calls", JSON),
        sa.Column("tool_call_id", TEXT),
        sa.Column("response_id", INTEGER),
        sa.Column("email_metadata", JSON),
        sa.Column("input_method", TEXT),
        sa.Column("has_image", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("model", TEXT),
        sa.Column("provider", TEXT),
        sa.Column("input_tokens", INTEGER),
        sa.Column("output_tokens", INTEGER),
        sa.Column("cache_read_input_tokens", INTEGER),
        sa.Column("cache_creation_input_tokens", INTEGER),
        sa.Column("reasoning_output_tokens", INTEGER),
        sa.Column("response_time_ms", REAL),
        sa.Column("streaming_state", TEXT, server_default="none", nullable=False),
        sa.Column("priority", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("requires_response", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("suggested_actions", JSON),
        sa.Column("read_at", MOMENT),
        sa.Column("responded_at", MOMENT),
        sa.Column("format_version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "role IN ('user', 'assistant', 'agent', 'system', 'tool', 'developer')", name=op.f("ck_messages_role")
        ),
        sa.CheckConstraint(
            "streaming_state IN ('none', 'streaming', 'complete', 'stopped', 'interrupted')",
            name=op.f("ck_messages_streaming_state"),
        ),
        sa.CheckConstraint("input_tokens >= 0", name=op.f("ck_messages_input_tokens")),
        sa.CheckConstraint("output_tokens >= 0", name=op.f("ck_messages_output_tokens")),
        sa.CheckConstraint("cache_read_input_tokens >= 0", name=op.f("ck_messages_cache_read_input_tokens")),
        sa.CheckConstraint("cache_creation_input_tokens >= 0", name=op.f("ck_messages_cache_creation_input_tokens")),
        sa.CheckConstraint("reasoning_output_tokens >= 0", name=op.f("ck_messages_reasoning_output_tokens")),
        sa.CheckConstraint("response_time_ms >= 0", name=op.f("ck_messages_response_time_ms")),
        sa.CheckConstraint("format_version >= 0", name=op.f("ck_messages_format_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("uid", name=op.f("uq_messages_uid")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_messages_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["messages.id"], name=op.f("fk_messages_parent_id_messages"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_messages_task_id_tasks"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_messages_agent_id_agents"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_messages_user_id_user_identities"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["response_id"], ["messages.id"], name=op.f("fk_messages_response_id_messages"), ondelete="SET NULL"
        ),
        sqlite_autoincrement=True,
    )
    partial_index(op.f("idx_messages_agent_id"), "messages", ["agent_id"], where="agent_id IS NOT NULL")
    partial_index(
        op.f("idx_messages_channel_id_created_at"),
        "messages",
        ["channel_id", "created_at"],
        where="channel_id IS NOT NULL",
    )
    op.create_index(op.f("idx_messages_conversation_id_id"), "messages", ["conversation_id", "id"])
    op.create_index(op.f("idx_messages_created_at"), "messages", ["created_at"])
    partial_index(
        op.f("idx_messages_guild_id_created_at"), "messages", ["guild_id", "created_at"], where="guild_id IS NOT NULL"
    )
    partial_index(op.f("idx_messages_parent_id"), "messages", ["parent_id"], where="parent_id IS NOT NULL")
    partial_index(
        op.f("idx_messages_pending_response"),
        "messages",
        ["priority", "id"],
        where="requires_response AND responded_at IS NULL",
    )
    partial_index(op.f("idx_messages_response_id"), "messages", ["response_id"], where="response_id IS NOT NULL")
    partial_index(
        op.f("idx_messages_streaming"), "messages", ["conversation_id"], where="streaming_state = 'streaming'"
    )
    partial_index(op.f("idx_messages_task_id"), "messages", ["task_id"], where="task_id IS NOT NULL")
    op.create_index(op.f("idx_messages_user_id"), "messages", ["user_id"])


def create_conversation_heads() -> None:
    op.create_table(
        "conversation_heads",
        sa.Column("conversation_id", UUID, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("message_id", INTEGER, nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "name", name=op.f("pk_conversation_heads")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_conversation_heads_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_conversation_heads_message_id_messages"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("idx_conversation_heads_message_id"), "conversation_heads", ["message_id"])
