"""Create memories, their tags and links, and embeddings.

Seed 003's memories with the scopes, expiry and consolidation of seeds 003 and 004. Triggers keep `updated_at` and the
index of the tags whoever writes.

The downgrade drops the tables memories, memory_tags, memory_links, embedding_models and embeddings with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
REAL = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")
VECTOR = sa.LargeBinary()

KEPT: dict[str, tuple[str, ...]] = {
    "sqlite": (
        """
CREATE TRIGGER update_memories_timestamp AFTER UPDATE ON memories
  WHEN NEW.updated_at IS OLD.updated_at AND (
    NEW.user_id, NEW.guild_id, NEW.channel_id, NEW.agent_id, NEW.project_id, NEW.conversation_id,
    NEW.session_uuid, NEW.kind, NEW.category, NEW.status, NEW.content, NEW.tags, NEW.context, NEW.timestamp,
    NEW.importance, NEW.pinned, NEW.expires_at, NEW.metadata
  ) IS NOT (
    OLD.user_id, OLD.guild_id, OLD.channel_id, OLD.agent_id, OLD.project_id, OLD.conversation_id,
    OLD.session_uuid, OLD.kind, OLD.category, OLD.status, OLD.content, OLD.tags, OLD.context, OLD.timestamp,
    OLD.importance, OLD.pinned, OLD.expires_at, OLD.metadata
  )
  BEGIN
    UPDATE memories SET updated_at = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE id = NEW.id;
  END
""",
        """
CREATE TRIGGER memories_tags_ai AFTER INSERT ON memories WHEN NEW.tags <> '[]'
  BEGIN
    INSERT INTO memory_tags (memory_id, tag)
    SELECT DISTINCT NEW.id, item.value
    FROM json_each(
      CASE WHEN json_valid(NEW.tags) THEN CASE json_type(NEW.tags) WHEN 'array' THEN NEW.tags END END
    ) AS item
    WHERE item.type = 'text';
  END
""",
        """
CREATE TRIGGER memories_tags_au AFTER UPDATE OF tags ON memories WHEN NEW.tags IS NOT OLD.tags
  BEGIN
    DELETE FROM memory_tags WHERE memory_id = NEW.id;
    INSERT INTO memory_tags (memory_id, tag)
    SELECT DISTINCT NEW.id, item.value
    FROM json_each(
      CASE WHEN json_valid(NEW.tags) THEN CASE json_type(NEW.tags) WHEN 'array' THEN NEW.tags END END
    ) AS item
    WHERE item.type = 'text';
  END
""",
    ),
    "postgresql": (
        """
CREATE FUNCTION update_memories_timestamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
""",
        """
CREATE TRIGGER update_memories_timestamp BEFORE UPDATE ON memories FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at AND (
    NEW.user_id, NEW.guild_id, NEW.channel_id, NEW.agent_id, NEW.project_id, NEW.conversation_id,
    NEW.session_uuid, NEW.kind, NEW.category, NEW.status, NEW.content, NEW.tags::text, NEW.context,
    NEW.timestamp, NEW.importance, NEW.pinned, NEW.expires_at, NEW.metadata::text
  ) IS DISTINCT FROM (
    OLD.user_id, OLD.guild_id, OLD.channel_id, OLD.agent_id, OLD.project_id, OLD.conversation_id,
    OLD.session_uuid, OLD.kind, OLD.category, OLD.status, OLD.content, OLD.tags::text, OLD.context,
    OLD.timestamp, OLD.importance, OLD.pinned, OLD.expires_at, OLD.metadata::text
  ))
  EXECUTE FUNCTION update_memories_timestamp()
""",
        """
CREATE FUNCTION memories_tags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM memory_tags WHERE memory_id = NEW.id;
  END IF;
  IF json_typeof(NEW.tags) = 'array' THEN
    INSERT INTO memory_tags (memory_id, tag)
    SELECT DISTINCT NEW.id, item #>> '{}'
    FROM json_array_elements(NEW.tags) AS item
    WHERE json_typeof(item) = 'string';
  END IF;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER memories_tags_ai AFTER INSERT ON memories FOR EACH ROW
  WHEN (NEW.tags::text <> '[]') EXECUTE FUNCTION memories_tags()
""",
        """
CREATE TRIGGER memories_tags_au AFTER UPDATE OF tags ON memories FOR EACH ROW
  WHEN (NEW.tags::text <> OLD.tags::text) EXECUTE FUNCTION memories_tags()
""",
    ),
}
DROPPED: dict[str, tuple[str, ...]] = {
    "sqlite": (),
    "postgresql": (
        "DROP FUNCTION IF EXISTS update_memories_timestamp() CASCADE",
        "DROP FUNCTION IF EXISTS memories_tags() CASCADE",
    ),
}


def upgrade() -> None:
    create_memories()
    create_memory_tags()
    create_memory_links()
    create_embedding_models()
    create_embeddings()
    for statement in KEPT[op.get_context().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in DROPPED[op.get_context().dialect.name]:
        op.execute(statement)
    op.drop_table("embeddings")
    op.drop_table("embedding_models")
    op.drop_table("memory_links")
    op.drop_table("memory_tags")
    op.drop_table("memories")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_memories() -> None:
    op.create_table(
        "memories",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("guild_id", TEXT),
        sa.Column("channel_id", TEXT),
        sa.Column("agent_id", UUID),
        sa.Column("project_id", UUID),
        sa.Column("conversation_id", UUID),
        sa.Column("session_uuid", TEXT),
        sa.Column("kind", TEXT, server_default="long_term", nullable=False),
        sa.Column("category", TEXT, server_default="general", nullable=False),
        sa.Column("status", TEXT, server_default="active", nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("tags", JSON, server_default="[]", nullable=False),
        sa.Column("context", TEXT, server_default="", nullable=False),
        sa.Column("timestamp", MOMENT, server_default=now(), nullable=False),
        sa.Column("importance", INTEGER, server_default=sa.text("5"), nullable=False),
        sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("recall_count", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("last_recalled_at", MOMENT),
        sa.Column("faded_at", MOMENT),
        sa.Column("content_hash", TEXT),
        sa.Column("scope_key", TEXT),
        sa.Column("consolidated_from", JSON, server_default="[]", nullable=False),
        sa.Column("consolidated_into", INTEGER),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("version", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("kind IN ('long_term', 'short_term', 'passive')", name=op.f("ck_memories_kind")),
        sa.CheckConstraint("status IN ('active', 'archived', 'consolidated')", name=op.f("ck_memories_status")),
        sa.CheckConstraint("importance BETWEEN 1 AND 10", name=op.f("ck_memories_importance")),
        sa.CheckConstraint("recall_count >= 0", name=op.f("ck_memories_recall_count")),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_memories_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["consolidated_into"],
            ["memories.id"],
            name=op.f("fk_memories_consolidated_into_memories"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_memories_conversation_id_conversations"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_memories_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_memories_user_id_user_identities"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memories")),
        sqlite_autoincrement=True,
    )
    partial_index(
        op.f("idx_memories_agent_id_timestamp"), "memories", ["agent_id", "timestamp"], where="agent_id IS NOT NULL"
    )
    partial_index(
        op.f("idx_memories_channel_id_timestamp"),
        "memories",
        ["channel_id", "timestamp"],
        where="channel_id IS NOT NULL",
    )
    partial_index(
        op.f("idx_memories_consolidated_into"), "memories", ["consolidated_into"], where="consolidated_into IS NOT NULL"
    )
    partial_index(
        op.f("idx_memories_conversation_id"), "memories", ["conversation_id"], where="conversation_id IS NOT NULL"
    )
    partial_index(op.f("idx_memories_expires_at"), "memories", ["expires_at"], where="expires_at IS NOT NULL")
    partial_index(
        op.f("idx_memories_guild_id_timestamp"), "memories", ["guild_id", "timestamp"], where="guild_id IS NOT NULL"
    )
    op.create_index("idx_memories_importance", "memories", ["importance"])
    partial_index(
        op.f("idx_memories_project_id_timestamp"),
        "memories",
        ["project_id", "timestamp"],
        where="project_id IS NOT NULL",
    )
    partial_index(op.f("idx_memories_session_uuid"), "memories", ["session_uuid"], where="session_uuid IS NOT NULL")
    op.create_index("idx_memories_timestamp", "memories", ["timestamp"])
    op.create_index("idx_memories_user_id", "memories", ["user_id"])
    partial_index(
        op.f("idx_memories_user_id_timestamp"), "memories", ["user_id", "timestamp"], where="user_id IS NOT NULL"
    )
    partial_index(
        "uq_memories_content", "memories", ["scope_key", "kind", "content_hash"], where="status = 'active'", unique=True
    )


def create_memory_tags() -> None:
    op.create_table(
        "memory_tags",
        sa.Column("memory_id", INTEGER, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_memory_tags_memory_id_memories"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("memory_id", "tag", name=op.f("pk_memory_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("idx_memory_tags_tag_memory_id"), "memory_tags", ["tag", "memory_id"])


def create_memory_links() -> None:
    op.create_table(
        "memory_links",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("source_id", INTEGER, nullable=False),
        sa.Column("target_id", INTEGER, nullable=False),
        sa.Column("link_type", TEXT, server_default="related", nullable=False),
        sa.Column("weight", REAL, server_default=sa.text("1.0"), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "link_type IN ('related', 'shared_tags', 'supports', 'contradicts', 'supersedes')",
            name=op.f("ck_memory_links_link_type"),
        ),
        sa.CheckConstraint("source_id <> target_id", name=op.f("ck_memory_links_ends")),
        sa.CheckConstraint("weight BETWEEN 0 AND 1", name=op.f("ck_memory_links_weight")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["memories.id"], name=op.f("fk_memory_links_source_id_memories"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["memories.id"], name=op.f("fk_memory_links_target_id_memories"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_links")),
        sa.UniqueConstraint(
            "source_id", "target_id", "link_type", name=op.f("uq_memory_links_source_id_target_id_link_type")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_memory_links_target_id"), "memory_links", ["target_id"])


def create_embedding_models() -> None:
    op.create_table(
        "embedding_models",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("provider", TEXT, server_default="local", nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("dimensions", INTEGER, nullable=False),
        sa.Column("is_normalised", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("dimensions >= 1", name=op.f("ck_embedding_models_dimensions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embedding_models")),
        sa.UniqueConstraint(
            "provider", "name", "dimensions", name=op.f("uq_embedding_models_provider_name_dimensions")
        ),
        sqlite_autoincrement=True,
    )


def create_embeddings() -> None:
    op.create_table(
        "embeddings",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("model_id", INTEGER, nullable=False),
        sa.Column("memory_id", INTEGER),
        sa.Column("message_id", INTEGER),
        sa.Column("context_document_id", UUID),
        sa.Column("user_id", TEXT),
        sa.Column("text_hash", TEXT),
        sa.Column("vector", VECTOR, nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "CASE WHEN memory_id IS NULL THEN 0 ELSE 1 END + CASE WHEN message_id IS NULL THEN 0 ELSE 1 END"
            " + CASE WHEN context_document_id IS NULL THEN 0 ELSE 1 END = 1",
            name=op.f("ck_embeddings_owner"),
        ),
        sa.ForeignKeyConstraint(
            ["context_document_id"],
            ["context_documents.id"],
            name=op.f("fk_embeddings_context_document_id_context_documents"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_embeddings_memory_id_memories"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_embeddings_message_id_messages"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["embedding_models.id"],
            name=op.f("fk_embeddings_model_id_embedding_models"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_embeddings_user_id_user_identities"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embeddings")),
        sqlite_autoincrement=True,
    )
    partial_index(
        op.f("idx_embeddings_context_document_id_model_id"),
        "embeddings",
        ["context_document_id", "model_id"],
        where="context_document_id IS NOT NULL",
        unique=True,
    )
    partial_index(
        op.f("idx_embeddings_memory_id_model_id"),
        "embeddings",
        ["memory_id", "model_id"],
        where="memory_id IS NOT NULL",
        unique=True,
    )
    partial_index(
        op.f("idx_embeddings_message_id_model_id"),
        "embeddings",
        ["message_id", "model_id"],
        where="message_id IS NOT NULL",
        unique=True,
    )
    op.create_index(op.f("idx_embeddings_model_id"), "embeddings", ["model_id"])
    partial_index(op.f("idx_embeddings_user_id"), "embeddings", ["user_id"], where="user_id IS NOT NULL")
