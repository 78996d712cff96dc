"""Create the seals of the audit chain.

Events have had their columns for it since they were made; a seal vouches for a batch of them, or for what an erasure
has left of some. The downgrade drops the table and takes the marks of the chain off the events: what was sealed can no
longer be verified.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")

MARKS = ("payload_salt", "payload_digest", "previous_digest", "chain_digest", "seal_id", "key_id")
events = sa.table("events", *map(sa.column, MARKS))


def upgrade() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if is_sqlite else "now()")
    op.create_table(
        "audit_seals",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("first_event_id", INTEGER, nullable=True),
        sa.Column("last_event_id", INTEGER, nullable=True),
        sa.Column("event_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("content_digest", TEXT, nullable=False),
        sa.Column("previous_digest", TEXT, server_default="", nullable=False),
        sa.Column("chain_digest", TEXT, server_default="", nullable=False),
        sa.Column("key_id", TEXT, nullable=True),
        sa.Column("receipt_id", UUID, nullable=True),
        sa.Column("amended", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now, nullable=False),
        sa.CheckConstraint("kind IN ('events', 'erasure')", name=op.f("ck_audit_seals_kind")),
        sa.CheckConstraint("event_count >= 0", name=op.f("ck_audit_seals_event_count")),
        sa.ForeignKeyConstraint(
            ["receipt_id"],
            ["erasure_receipts.id"],
            name=op.f("fk_audit_seals_receipt_id_erasure_receipts"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_seals")),
    )
    op.create_index(op.f("idx_audit_seals_receipt_id"), "audit_seals", ["receipt_id"], unique=False)


def downgrade() -> None:
    op.drop_table("audit_seals")
    op.execute(events.update().where(sa.column("seal_id").is_not(None)).values(dict.fromkeys(MARKS)))
