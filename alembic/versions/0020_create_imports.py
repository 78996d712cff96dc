"""Create the books of what was imported, so that an import can be repeated and goes on where it was killed.

The downgrade drops the tables imports and imported_rows: what was imported stays, but the next import of the same file
would bring all of it again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if is_sqlite else "now()")
    op.create_table(
        "imports",
        sa.Column("id", UUID, nullable=False),
        sa.Column("system", TEXT, nullable=False),
        sa.Column("file_name", TEXT, nullable=False),
        sa.Column("source_digest", TEXT, nullable=False),
        sa.Column("report", JSON, server_default="{}", nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=now, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_index(op.f("idx_imports_source_digest"), "imports", ["source_digest"])
    op.create_table(
        "imported_rows",
        sa.Column("id", UUID, nullable=False),
        sa.Column("import_id", UUID, nullable=False),
        sa.Column("source_table", TEXT, nullable=False),
        sa.Column("target_table", TEXT, nullable=False),
        sa.Column("target_key", TEXT, nullable=True),
        sa.Column("is_merged", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("unlinked_in", TEXT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=now, nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imports.id"], name=op.f("fk_imported_rows_import_id_imports"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imported_rows")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("idx_imported_rows_import_id"), "imported_rows", ["import_id"])
    condition = sa.text("unlinked_in IS NOT NULL")
    op.create_index(
        op.f("idx_imported_rows_unlinked_in"),
        "imported_rows",
        ["unlinked_in"],
        sqlite_where=condition,
        postgresql_where=condition,
    )


def downgrade() -> None:
    op.drop_table("imported_rows")
    op.drop_table("imports")
