"""Let one index of memories do what two did.

Whose memories they are was in two indexes, of which one began like the other; each costs an insert a twelfth of its
time. The longer one takes the name of the shorter one, which it replaces: it begins with the same column.

The downgrade makes both again; no row is lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

KEPT, LONGER = "idx_memories_user_id", "idx_memories_user_id_timestamp_status_expires_at"
COLUMNS = ["user_id", "timestamp", "status", "expires_at"]


def upgrade() -> None:
    op.drop_index(KEPT, "memories")
    op.create_index(KEPT, "memories", COLUMNS)
    op.drop_index(op.f(LONGER), "memories")


def downgrade() -> None:
    condition = sa.text("user_id IS NOT NULL")
    op.create_index(op.f(LONGER), "memories", COLUMNS, sqlite_where=condition, postgresql_where=condition)
    op.drop_index(KEPT, "memories")
    op.create_index(KEPT, "memories", ["user_id"])
