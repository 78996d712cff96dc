"""Log what changes in the searched tables, and drop vectors with the text that they were made of.

The logs `memories_changes`, `messages_changes` and `embeddings_changes`, kept by triggers and bounded by them, tell the
indexes that programs keep in memory what to read again. They are empty at first: a program that has just begun to
look reads the whole table. A vector goes when its text changes.

The downgrade drops the logs and the triggers; nothing that somebody wrote is lost.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

KEPT: dict[str, tuple[str, ...]] = {
    "sqlite": (
        """
CREATE TABLE memories_changes (
  id INTEGER CONSTRAINT pk_memories_changes PRIMARY KEY,
  row_id INTEGER NOT NULL,
  operation TEXT NOT NULL
    CONSTRAINT ck_memories_changes_operation CHECK (operation IN ('insert', 'update', 'delete'))
)
""",
        """
CREATE TRIGGER memories_changes_trim AFTER INSERT ON memories_changes WHEN NEW.id % 1000 = 0
  BEGIN
    DELETE FROM memories_changes WHERE id <= NEW.id - 100000;
  END
""",
        """
CREATE TRIGGER memories_changes_ai AFTER INSERT ON memories
  BEGIN
    INSERT INTO memories_changes (row_id, operation) VALUES (NEW.id, 'insert');
  END
""",
        """
CREATE TRIGGER memories_changes_au AFTER UPDATE OF content, tags, context, extra_terms ON memories
  WHEN (NEW.content, NEW.tags, NEW.context, NEW.extra_terms)
    IS NOT (OLD.content, OLD.tags, OLD.context, OLD.extra_terms)
  BEGIN
    INSERT INTO memories_changes (row_id, operation) VALUES (NEW.id, 'update');
  END
""",
        """
CREATE TRIGGER memories_changes_ad AFTER DELETE ON memories
  BEGIN
    INSERT INTO memories_changes (row_id, operation) VALUES (OLD.id, 'delete');
  END
""",
        """
CREATE TABLE messages_changes (
  id INTEGER CONSTRAINT pk_messages_changes PRIMARY KEY,
  row_id INTEGER NOT NULL,
  operation TEXT NOT NULL
    CONSTRAINT ck_messages_changes_operation CHECK (operation IN ('insert', 'update', 'delete'))
)
""",
        """
CREATE TRIGGER messages_changes_trim AFTER INSERT ON messages_changes WHEN NEW.id % 1000 = 0
  BEGIN
    DELETE FROM messages_changes WHERE id <= NEW.id - 100000;
  END
""",
        """
CREATE TRIGGER messages_changes_ai AFTER INSERT ON messages
  BEGIN
    INSERT INTO messages_changes (row_id, operation) VALUES (NEW.id, 'insert');
  END
""",
        """
CREATE TRIGGER messages_changes_au AFTER UPDATE OF content, extra_terms ON messages
  WHEN (NEW.content, NEW.extra_terms)
    IS NOT (OLD.content, OLD.extra_terms)
  BEGIN
    INSERT INTO messages_changes (row_id, operation) VALUES (NEW.id, 'update');
  END
""",
        """
CREATE TRIGGER messages_changes_ad AFTER DELETE ON messages
  BEGIN
    INSERT INTO messages_changes (row_id, operation) VALUES (OLD.id, 'delete');
  END
""",
        """
CREATE TABLE embeddings_changes (
  id INTEGER CONSTRAINT pk_embeddings_changes PRIMARY KEY,
  row_id INTEGER NOT NULL,
  operation TEXT NOT NULL
    CONSTRAINT ck_embeddings_changes_operation CHECK (operation IN ('insert', 'update', 'delete'))
)
""",
        """
CREATE TRIGGER embeddings_changes_trim AFTER INSERT ON embeddings_changes WHEN NEW.id % 1000 = 0
  BEGIN
    DELETE FROM embeddings_changes WHERE id <= NEW.id - 100000;
  END
""",
        """
CREATE TRIGGER embeddings_changes_ai AFTER INSERT ON embeddings
  BEGIN
    INSERT INTO embeddings_changes (row_id, operation) VALUES (NEW.id, 'insert');
  END
""",
        """
CREATE TRIGGER embeddings_changes_au AFTER UPDATE OF vector, model_id ON embeddings
  WHEN (NEW.vector, NEW.model_id)
    IS NOT (OLD.vector, OLD.model_id)
  BEGIN
    INSERT INTO embeddings_changes (row_id, operation) VALUES (NEW.id, 'update');
  END
""",
        """
CREATE TRIGGER embeddings_changes_ad AFTER DELETE ON embeddings
  BEGIN
    INSERT INTO embeddings_changes (row_id, operation) VALUES (OLD.id, 'delete');
  END
""",
        """
CREATE TRIGGER memories_embeddings_au AFTER UPDATE OF content ON memories
  WHEN NEW.content IS NOT OLD.content
  BEGIN
    DELETE FROM embeddings WHERE memory_id = NEW.id;
  END
""",
        """
CREATE TRIGGER memories_embeddings_owner_au AFTER UPDATE OF user_id ON memories
  WHEN NEW.user_id IS NOT OLD.user_id
  BEGIN
    UPDATE embeddings SET user_id = NEW.user_id WHERE memory_id = NEW.id;
  END
""",
        """
CREATE TRIGGER messages_embeddings_au AFTER UPDATE OF content ON messages
  WHEN NEW.content IS NOT OLD.content
  BEGIN
    DELETE FROM embeddings WHERE message_id = NEW.id;
  END
""",
        """
CREATE TRIGGER messages_embeddings_owner_au AFTER UPDATE OF user_id ON messages
  WHEN NEW.user_id IS NOT OLD.user_id
  BEGIN
    UPDATE embeddings SET user_id = NEW.user_id WHERE message_id = NEW.id;
  END
""",
        """
CREATE TRIGGER context_documents_embeddings_au AFTER UPDATE OF content ON context_documents
  WHEN NEW.content IS NOT OLD.content
  BEGIN
    DELETE FROM embeddings WHERE context_document_id = NEW.id;
  END
""",
        """
CREATE TRIGGER context_documents_embeddings_owner_au AFTER UPDATE OF user_id ON context_documents
  WHEN NEW.user_id IS NOT OLD.user_id
  BEGIN
    UPDATE embeddings SET user_id = NEW.user_id WHERE context_document_id = NEW.id;
  END
""",
    ),
    "postgresql": (
        """
CREATE TABLE memories_changes (
  id BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_memories_changes PRIMARY KEY,
  row_id BIGINT NOT NULL,
  operation TEXT NOT NULL
    CONSTRAINT ck_memories_changes_operation CHECK (operation IN ('insert', 'update', 'delete')),
  transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint)
)
""",
        "CREATE INDEX idx_memories_changes_transaction_id ON memories_changes (transaction_id)",
        """
CREATE FUNCTION memories_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  logged BIGINT;
BEGIN
  INSERT INTO memories_changes (row_id, operation)
  VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END, lower(TG_OP)) RETURNING id INTO logged;
  IF logged % 1000 = 0 THEN
    DELETE FROM memories_changes WHERE id <= logged - 100000;
  END IF;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER memories_changes_ai AFTER INSERT OR DELETE ON memories FOR EACH ROW
  EXECUTE FUNCTION memories_changes()
""",
        """
CREATE TRIGGER memories_changes_au AFTER UPDATE ON memories FOR EACH ROW
  WHEN (NEW.content IS DISTINCT FROM OLD.content
    OR NEW.tags::text IS DISTINCT FROM OLD.tags::text
    OR NEW.context IS DISTINCT FROM OLD.context
    OR NEW.extra_terms IS DISTINCT FROM OLD.extra_terms)
  EXECUTE FUNCTION memories_changes()
""",
        """
CREATE TABLE messages_changes (
  id BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_messages_changes PRIMARY KEY,
  row_id BIGINT NOT NULL,
  operation TEXT NOT NULL
    CONSTRAINT ck_messages_changes_operation CHECK (operation IN ('insert', 'update', 'delete')),
  transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint)
)
""",
        "CREATE INDEX idx_messages_changes_transaction_id ON messages_changes (transaction_id)",
        """
CREATE FUNCTION messages_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  logged BIGINT;
BEGIN
  INSERT INTO messages_changes (row_id, operation)
  VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END, lower(TG_OP)) RETURNING id INTO logged;
  IF logged % 1000 = 0 THEN
    DELETE FROM messages_changes WHERE id <= logged - 100000;
  END IF;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER messages_changes_ai AFTER INSERT OR DELETE ON messages FOR EACH ROW
  EXECUTE FUNCTION messages_changes()
""",
        """
CREATE TRIGGER messages_changes_au AFTER UPDATE ON messages FOR EACH ROW
  WHEN (NEW.content IS DISTINCT FROM OLD.content
    OR NEW.extra_terms IS DISTINCT FROM OLD.extra_terms)
  EXECUTE FUNCTION messages_changes()
""",
        """
CREATE TABLE embeddings_changes (
  id BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_embeddings_changes PRIMARY KEY,
  row_id BIGINT NOT NULL,
  operation TEXT NOT NULL
    CONSTRAINT ck_embeddings_changes_operation CHECK (operation IN ('insert', 'update', 'delete')),
  transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint)
)
""",
        "CREATE INDEX idx_embeddings_changes_transaction_id ON embeddings_changes (transaction_id)",
        """
CREATE FUNCTION embeddings_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  logged BIGINT;
BEGIN
  INSERT INTO embeddings_changes (row_id, operation)
  VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END, lower(TG_OP)) RETURNING id INTO logged;
  IF logged % 1000 = 0 THEN
    DELETE FROM embeddings_changes WHERE id <= logged - 100000;
  END IF;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER embeddings_changes_ai AFTER INSERT OR DELETE ON embeddings FOR EACH ROW
  EXECUTE FUNCTION embeddings_changes()
""",
        """
CREATE TRIGGER embeddings_changes_au AFTER UPDATE ON embeddings FOR EACH ROW
  WHEN (NEW.vector IS DISTINCT FROM OLD.vector
    OR NEW.model_id IS DISTINCT FROM OLD.model_id)
  EXECUTE FUNCTION embeddings_changes()
""",
        """
CREATE FUNCTION memories_embeddings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.content IS DISTINCT FROM OLD.content THEN
    DELETE FROM embeddings WHERE memory_id = NEW.id;
  ELSE
    UPDATE embeddings SET user_id = NEW.user_id WHERE memory_id = NEW.id;
  END IF;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER memories_embeddings_au AFTER UPDATE ON memories FOR EACH ROW
  WHEN (NEW.content IS DISTINCT FROM OLD.content OR NEW.user_id IS DISTINCT FROM OLD.user_id)
  EXECUTE FUNCTION memories_embeddings()
""",
        """
CREATE FUNCTION messages_embeddings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.content IS DISTINCT FROM OLD.content THEN
    DELETE FROM embeddings WHERE message_id = NEW.id;
  ELSE
    UPDATE embeddings SET user_id = NEW.user_id WHERE message_id = NEW.id;
  END IF;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER messages_embeddings_au AFTER UPDATE ON messages FOR EACH ROW
  WHEN (NEW.content IS DISTINCT FROM OLD.content OR NEW.user_id IS DISTINCT FROM OLD.user_id)
  EXECUTE FUNCTION messages_embeddings()
""",
        """
CREATE FUNCTION context_documents_embeddings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.content IS DISTINCT FROM OLD.content THEN
    DELETE FROM embeddings WHERE context_document_id = NEW.id;
  ELSE
    UPDATE embeddings SET user_id = NEW.user_id::text WHERE context_document_id = NEW.id;
  END IF;
  RETURN NULL;
END $$
""",
        """
CREATE TRIGGER context_documents_embeddings_au AFTER UPDATE ON context_documents FOR EACH ROW
  WHEN (NEW.content IS DISTINCT FROM OLD.content OR NEW.user_id IS DISTINCT FROM OLD.user_id)
  EXECUTE FUNCTION context_documents_embeddings()
""",
    ),
}
DROPPED: dict[str, tuple[str, ...]] = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS memories_changes_ai",
        "DROP TRIGGER IF EXISTS memories_changes_au",
        "DROP TRIGGER IF EXISTS memories_changes_ad",
        "DROP TRIGGER IF EXISTS messages_changes_ai",
        "DROP TRIGGER IF EXISTS messages_changes_au",
        "DROP TRIGGER IF EXISTS messages_changes_ad",
        "DROP TRIGGER IF EXISTS embeddings_changes_ai",
        "DROP TRIGGER IF EXISTS embeddings_changes_au",
        "DROP TRIGGER IF EXISTS embeddings_changes_ad",
        "DROP TABLE IF EXISTS memories_changes",
        "DROP TABLE IF EXISTS messages_changes",
        "DROP TABLE IF EXISTS embeddings_changes",
        "DROP TRIGGER IF EXISTS memories_embeddings_au",
        "DROP TRIGGER IF EXISTS memories_embeddings_owner_au",
        "DROP TRIGGER IF EXISTS messages_embeddings_au",
        "DROP TRIGGER IF EXISTS messages_embeddings_owner_au",
        "DROP TRIGGER IF EXISTS context_documents_embeddings_au",
        "DROP TRIGGER IF EXISTS context_documents_embeddings_owner_au",
    ),
    "postgresql": (
        "DROP FUNCTION IF EXISTS memories_embeddings() CASCADE",
        "DROP FUNCTION IF EXISTS messages_embeddings() CASCADE",
        "DROP FUNCTION IF EXISTS context_documents_embeddings() CASCADE",
        "DROP FUNCTION IF EXISTS memories_changes() CASCADE",
        "DROP FUNCTION IF EXISTS messages_changes() CASCADE",
        "DROP FUNCTION IF EXISTS embeddings_changes() CASCADE",
        "DROP TABLE IF EXISTS memories_changes",
        "DROP TABLE IF EXISTS messages_changes",
        "DROP TABLE IF EXISTS embeddings_changes",
    ),
}


def upgrade() -> None:
    for statement in KEPT[op.get_context().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in DROPPED[op.get_context().dialect.name]:
        op.execute(statement)
