"""Create the tables of links and of games.

A link is unique by the hash of its address: an index of PostgreSQL holds no text of 8,000 characters. A player's active
game is unique by a partial index, so that two who save at once save one game.

The downgrade drops the tables links and games with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    create_links()
    create_games()


def downgrade() -> None:
    op.drop_table("games")
    op.drop_table("links")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_links() -> None:
    op.create_table(
        "links",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("url", TEXT, nullable=False),
        sa.Column("url_hash", TEXT, nullable=False),
        sa.Column("original_url", TEXT),
        sa.Column("domain", TEXT, nullable=False),
        sa.Column("timestamp", MOMENT, server_default=now(), nullable=False),
        sa.Column("analysis_result", JSON),
        sa.Column("analysis_status", TEXT, server_default="pending", nullable=False),
        sa.Column("title", TEXT),
        sa.Column("main_topic_key", TEXT),
        sa.Column("main_topic", TEXT),
        sa.Column("reasons_to_care", TEXT),
        sa.Column("error_message", TEXT),
        sa.Column("attempts", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("retry_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("analysis_status IN ('pending', 'success', 'error')", name=op.f("ck_links_analysis_status")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_links_attempts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_links")),
        sa.UniqueConstraint("url_hash", name=op.f("uq_links_url_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_links_domain"), "links", ["domain", "timestamp"])
    partial_index(op.f("idx_links_retry"), "links", ["retry_at"], where="analysis_status = 'error'")
    op.create_index(op.f("idx_links_status"), "links", ["analysis_status"])
    op.create_index(op.f("idx_links_timestamp"), "links", ["timestamp"])
    op.create_index(op.f("idx_links_url"), "links", ["url"], postgresql_using="hash")
    op.create_index(op.f("idx_links_topic"), "links", ["main_topic_key", "timestamp"])


def create_games() -> None:
    op.create_table(
        "games",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("game_type", TEXT, nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("score", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("level", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("state_data", JSON),
        sa.Column("ended_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'completed', 'abandoned')", name=op.f("ck_games_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_games")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_games_user_id_user_identities"), ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_games_updated_at"), "games", ["updated_at"])
    op.create_index(op.f("idx_games_type_score"), "games", ["game_type", "score"])
    op.create_index(op.f("idx_games_user_status"), "games", ["user_id", "status", "updated_at"])
    op.create_index(op.f("idx_games_user_type"), "games", ["user_id", "game_type"])
    partial_index(op.f("uq_games_active"), "games", ["user_id", "game_type"], where="status = 'active'", unique=True)
