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
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

identities = sa.table("user_identities", sa.column("id", TEXT), sa.column("email", TEXT), sa.column("email_key", TEXT))


def upgrade() -> None:
    op.add_column("user_identities", sa.Column("email_key", TEXT))
    fill_keys()
    op.create_index(op.f("idx_user_identities_email_key"), "user_identities", ["email_key"])


def downgrade() -> None:
    op.drop_index(op.f("idx_user_identities_email_key"), table_name="user_identities")
    op.drop_column("user_identities", "email_key")


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
