"""Protect labels of prompts.

A label that production reads can be protected, so that nobody moves it by mistake.

The downgrade forgets which labels were protected.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

WATCHED = ("prompt_id", "label", "prompt_version", "metadata", "created_at")


def upgrade() -> None:
    op.add_column("prompt_labels", sa.Column("is_protected", sa.Boolean(), server_default=sa.false(), nullable=False))
    watch(*WATCHED[:3], "is_protected", *WATCHED[3:])


def downgrade() -> None:
    watch(*WATCHED)
    op.drop_column("prompt_labels", "is_protected")


def watch(*columns: str) -> None:
    """Let SQLite's trigger keep the time of changes of these columns; PostgreSQL's watches all there are."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.execute("DROP TRIGGER update_prompt_labels_timestamp")
    op.execute(f"""
CREATE TRIGGER update_prompt_labels_timestamp AFTER UPDATE OF {", ".join(columns)} ON prompt_labels
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE prompt_labels SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""")
