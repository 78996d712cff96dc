"""Let PostgreSQL tidy the queue early.

Each job is changed at least twice, and leaves what it was before in the table and its indexes until they are vacuumed:
by default when a fifth of all rows are such remains, which with a million finished jobs is late
(https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM). SQLite has nothing of the kind.

The downgrade goes back to the server's defaults; no row is lost.
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE queue SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,"
            " autovacuum_analyze_scale_factor = 0.02)"
        )


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE queue RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,"
            " autovacuum_analyze_scale_factor)"
        )
