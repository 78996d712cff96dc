"""Create the feedback on messages, and let conversations know their current head and be listed by activity.

Seed 004 keeps feedback in the metadata of a message, where two people overwrite each other; here it is rows. A
conversation without messages is as recent as its making, so that lists have one order without gaps in it.

The downgrade drops the table message_feedback with all its rows, and which named head a conversation is on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

UNREAD = "role = 'agent' AND conversation_id IS NULL AND read_at IS NULL"
OWNERS = ("agent_id", "project_id", "user_id")


def upgrade() -> None:
    create_message_feedback()
    partial_index(op.f("idx_messages_unread"), "messages", ["user_id", "id"], where=UNREAD)
    for columns in (["agent_id"], ["project_id"], ["user_id", "last_message_at"]):
        op.drop_index(op.f(f"idx_conversations_{'_'.join(columns)}"), "conversations")
    conversations = sa.table("conversations", sa.column("last_message_at"), sa.column("created_at"))
    undated = sa.update(conversations).where(conversations.c.last_message_at.is_(None))
    op.execute(undated.values(last_message_at=conversations.c.created_at))
    with op.batch_alter_table("conversations") as batch:
        batch.add_column(sa.Column("current_head", TEXT))
        batch.alter_column("last_message_at", existing_type=MOMENT, nullable=False, server_default=now())
    op.create_index(op.f("idx_conversations_last_message_at_id"), "conversations", ["last_message_at", "id"])
    for owner in OWNERS:
        name = op.f(f"idx_conversations_{owner}_last_message_at_id")
        partial_index(name, "conversations", [owner, "last_message_at", "id"], where=f"{owner} IS NOT NULL")
    partial_index(
        op.f("idx_conversations_fork_message_id"),
        "conversations",
        ["fork_message_id"],
        where="fork_message_id IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_index(op.f("idx_conversations_fork_message_id"), "conversations")
    for owner in OWNERS:
        op.drop_index(op.f(f"idx_conversations_{owner}_last_message_at_id"), "conversations")
    op.drop_index(op.f("idx_conversations_last_message_at_id"), "conversations")
    with op.batch_alter_table("conversations") as batch:
        batch.drop_column("current_head")
        batch.alter_column("last_message_at", existing_type=MOMENT, nullable=True, server_default=None)
    conversations = sa.table("conversations", sa.column("last_message_at"), sa.column("message_count"))
    empty = sa.update(conversations).where(conversations.c.message_count == 0)
    op.execute(empty.values(last_message_at=None))
    op.create_index(op.f("idx_conversations_user_id_last_message_at"), "conversations", ["user_id", "last_message_at"])
    partial_index(op.f("idx_conversations_project_id"), "conversations", ["project_id"], where="project_id IS NOT NULL")
    op.create_index(op.f("idx_conversations_agent_id"), "conversations", ["agent_id"])
    op.drop_index(op.f("idx_messages_unread"), "messages")
    op.drop_table("message_feedback")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_message_feedback() -> None:
    op.create_table(
        "message_feedback",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("message_id", INTEGER, nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("rating", TEXT, nullable=False),
        sa.Column("comment", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("rating IN ('negative', 'neutral', 'positive')", name=op.f("ck_message_feedback_rating")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_feedback")),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_message_feedback_message_id_messages"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_identities.id"],
            name=op.f("fk_message_feedback_user_id_user_identities"),
            ondelete="CASCADE",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_message_feedback_created_at"), "message_feedback", ["created_at"])
    op.create_index(op.f("idx_message_feedback_message_id"), "message_feedback", ["message_id"])
    partial_index(
        op.f("idx_message_feedback_message_id_user_id"),
        "message_feedback",
        ["message_id", "user_id"],
        where="user_id IS NOT NULL",
        unique=True,
    )
    partial_index(
        op.f("idx_message_feedback_message_id_of_nobody"),
        "message_feedback",
        ["message_id"],
        where="user_id IS NULL",
        unique=True,
    )
    partial_index(op.f("idx_message_feedback_user_id"), "message_feedback", ["user_id"], where="user_id IS NOT NULL")
