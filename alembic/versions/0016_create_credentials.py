"""Let identities be looked up by their e-mail address without regard to case, and keep the receipts of erasures.

`user_identities.email_key` is filled for the rows that are there. The downgrade drops it and the receipts.
"""

from __future__ import annotations

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")

identities = sa.table("user_identities", sa.column("id", TEXT), sa.column("email", TEXT), sa.column("email_key", TEXT))


def upgrade() -> None:
    op.add_column("user_identities", sa.Column("email_key", TEXT))
    fill_keys()
    op.create_index(op.f("idx_user_identities_email_key"), "user_identities", ["email_key"])
    create_erasure_receipts()


def downgrade() -> None:
    op.drop_table("erasure_receipts")
    op.drop_index(op.f("idx_user_identities_email_key"), table_name="user_identities")
    op.drop_column("user_identities", "email_key")


def create_erasure_receipts() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if is_sqlite else "now()")
    op.create_table(
        "erasure_receipts",
        sa.Column("id", UUID, nullable=False),
        sa.Column("subject_digest", TEXT, nullable=False),
        sa.Column("counts", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure_receipts")),
        sa.UniqueConstraint("subject_digest", name=op.f("uq_erasure_receipts_subject_digest")),
    )


def fill_keys() -> None:
    if op.get_context().as_sql:
        # A script cannot ask Python: this is the same for addresses of plain characters.
        op.execute(identities.update().values(email_key=sa.func.lower(sa.func.trim(identities.c.email))))
        return
    connection = op.get_bind()
    rows = connection.execute(sa.select(identities.c.id, identities.c.email).where(identities.c.email.is_not(None)))
    for key, email in rows.all():
        connection.execute(
            identities.update().where(identities.c.id == key).values(email_key=folded(email)),
        )


def folded(name: str) -> str:
    """As names were compared when this revision landed; the codec's escapes are plain characters to it."""
    once = unicodedata.normalize("NFKC", name).strip().casefold()
    return unicodedata.normalize("NFKC", once)
