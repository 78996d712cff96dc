"""Create the audit trail and the links between entities.

Both are polymorphic, so they have no foreign keys to what they tell about. The columns of the later hash chain over
events are reserved here, because a landed revision is never edited.

The downgrade drops the tables events and entity_relationships with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
REAL = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    create_events()
    create_entity_relationships()


def downgrade() -> None:
    op.drop_table("entity_relationships")
    op.drop_table("events")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("event_type", TEXT, nullable=False),
        sa.Column("entity_type", TEXT, nullable=False),
        sa.Column("entity_id", TEXT, server_default="", nullable=False),
        sa.Column("actor", TEXT),
        sa.Column("before", JSON),
        sa.Column("after", JSON),
        sa.Column("data", JSON),
        sa.Column("related_entities", JSON),
        sa.Column("parent_event_id", INTEGER),
        sa.Column("tree_id", UUID),
        sa.Column("outcome", TEXT),
        sa.Column("severity", TEXT, server_default="info", nullable=False),
        sa.Column("duration_ms", REAL),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("payload_salt", TEXT),
        sa.Column("payload_digest", TEXT),
        sa.Column("previous_digest", TEXT),
        sa.Column("chain_digest", TEXT),
        sa.Column("seal_id", INTEGER),
        sa.Column("key_id", TEXT),
        sa.CheckConstraint(
            "outcome IN ('success', 'failure', 'partial', 'error', 'timeout')", name=op.f("ck_events_outcome")
        ),
        sa.CheckConstraint(
            "severity IN ('debug', 'info', 'warning', 'error', 'critical')", name=op.f("ck_events_severity")
        ),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("ck_events_duration_ms")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.ForeignKeyConstraint(
            ["parent_event_id"], ["events.id"], name=op.f("fk_events_parent_event_id_events"), ondelete="SET NULL"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_events_created_at"), "events", ["created_at"])
    op.create_index(op.f("idx_events_entity_type_entity_id_id"), "events", ["entity_type", "entity_id", "id"])
    op.create_index(op.f("idx_events_event_type_created_at"), "events", ["event_type", "created_at"])
    partial_index(
        op.f("idx_events_parent_event_id"), "events", ["parent_event_id"], where="parent_event_id IS NOT NULL"
    )
    partial_index(op.f("idx_events_seal_id"), "events", ["seal_id"], where="seal_id IS NOT NULL")
    partial_index(op.f("idx_events_tree_id"), "events", ["tree_id"], where="tree_id IS NOT NULL")


def create_entity_relationships() -> None:
    op.create_table(
        "entity_relationships",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("source_type", TEXT, nullable=False),
        sa.Column("source_id", TEXT, nullable=False),
        sa.Column("target_type", TEXT, nullable=False),
        sa.Column("target_id", TEXT, nullable=False),
        sa.Column("relationship_type", TEXT, nullable=False),
        sa.Column("strength", REAL, server_default=sa.text("1.0"), nullable=False),
        sa.Column("context", JSON),
        sa.Column("created_by_event_id", INTEGER),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "relationship_type IN ('uses', 'depends_on', 'creates', 'optimizes', 'triggers', "
            "'references', 'contains', 'inherits')",
            name=op.f("ck_entity_relationships_relationship_type"),
        ),
        sa.CheckConstraint("strength >= 0 AND strength <= 1", name=op.f("ck_entity_relationships_strength")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entity_relationships")),
        sa.ForeignKeyConstraint(
            ["created_by_event_id"],
            ["events.id"],
            name=op.f("fk_entity_relationships_created_by_event_id_events"),
            ondelete="SET NULL",
        ),
        sqlite_autoincrement=True,
    )
    partial_index(
        op.f("idx_entity_relationships_created_by_event_id"),
        "entity_relationships",
        ["created_by_event_id"],
        where="created_by_event_id IS NOT NULL",
    )
    op.create_index(
        op.f("idx_entity_relationships_target"),
        "entity_relationships",
        ["target_type", "target_id", "relationship_type"],
    )
    op.create_index(
        op.f("uq_entity_relationships_ends"),
        "entity_relationships",
        ["source_type", "source_id", "target_type", "target_id", "relationship_type"],
        unique=True,
    )
