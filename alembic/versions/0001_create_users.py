"""Create the accounts and the identities on other platforms.

Everything that has an owner refers to these two, so they come first: accounts of seeds 002 and 004, identities of
seed 003.

The downgrade drops the tables users and user_identities with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    create_users()
    create_user_identities()


def downgrade() -> None:
    op.drop_table("user_identities")
    op.drop_table("users")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", UUID, nullable=False),
        sa.Column("username_key", TEXT, nullable=False),
        sa.Column("username", TEXT, nullable=False),
        sa.Column("email_key", TEXT),
        sa.Column("email", TEXT),
        sa.Column("password_hash", TEXT),
        sa.Column("must_reset_password", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("first_name", TEXT),
        sa.Column("last_name", TEXT),
        sa.Column("role", TEXT, server_default="user", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("preferences", JSON, server_default="{}", nullable=False),
        sa.Column("last_login_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("role IN ('user', 'admin')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("username_key", name=op.f("uq_users_username_key")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
    )


def create_user_identities() -> None:
    op.create_table(
        "user_identities",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("user_id", UUID),
        sa.Column("discord_id", TEXT),
        sa.Column("email", TEXT),
        sa.Column("phone_number", TEXT),
        sa.Column("display_name", TEXT, nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_identities")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_identities_user_id_users"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("idx_user_identities_discord_id"), "user_identities", ["discord_id"])
    op.create_index(op.f("idx_user_identities_email"), "user_identities", ["email"])
    op.create_index(op.f("idx_user_identities_phone_number"), "user_identities", ["phone_number"])
    op.create_index(op.f("idx_user_identities_user_id"), "user_identities", ["user_id"])
