"""What the in-memory indexes of search follow, kept by triggers whoever writes: logs of changes, and no stale vectors.

Each log has one row for each change of its table: a sequence, the row's key and what happened to it, and no text. A
program that keeps an index in memory reads what was logged since it looked last, and reads those rows again. A log
holds the last 100,000 changes and at most 1,000 more; who is further behind reads the whole table.

On PostgreSQL transactions end in another order than their rows are numbered, so each row also tells its transaction:
what was logged by one that was still open when somebody looked is looked for again.

A vector goes when the text changes that it was made of, and changes hands with it.
"""

from agent_system.models.triggers import DatabaseKept

__all__ = ["POSTGRESQL", "SQLITE"]

KEPT_CHANGES = 100_000
BETWEEN_TRIMS = 1_000

# What is looked at of each table: the columns whose change is logged.
_LOGGED = {
    "memories": ("content", "tags", "context", "extra_terms"),
    "messages": ("content", "extra_terms"),
    "embeddings": ("vector", "model_id"),
}
# Which column of `embeddings` leads to the table, and the identity whose the text is.
_EMBEDDED = {
    "memories": ("memory_id", "NEW.user_id"),
    "messages": ("message_id", "NEW.user_id"),
    "context_documents": ("context_document_id", "NEW.user_id::text"),
}


def _row(row: str, columns: tuple[str, ...]) -> str:
    return ", ".join(f"{row}.{column}" for column in columns)


def _log_on_sqlite(table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    log = f"{table}_changes"

    new, old = _row("NEW", columns), _row("OLD", columns)
    return (
        f"""
CREATE TABLE {log} (
  id INTEGER CONSTRAINT pk_{log} PRIMARY KEY,
  row_id INTEGER NOT NULL,
  operation TEXT NOT NULL
    CONSTRAINT ck_{log}_operation CHECK (operation = 'insert' OR operation = 'update' OR operation = 'delete')
)
""",
        f"""
CREATE TRIGGER {log}_trim AFTER INSERT ON {log} WHEN NEW.id % {BETWEEN_TRIMS} = 0
  BEGIN
    DELETE FROM {log} WHERE id <= NEW.id - {KEPT_CHANGES};
  END
""",
        f"""
CREATE TRIGGER {log}_ai AFTER INSERT ON {table}
  BEGIN
    INSERT INTO {log} (row_id, operation) VALUES (NEW.id, 'insert');
  END
""",
        f"""
CREATE TRIGGER {log}_au AFTER UPDATE OF {", ".join(columns)} ON {table}
  WHEN ({new})
    IS NOT ({old})
  BEGIN
    INSERT INTO {log} (row_id, operation) VALUES (NEW.id, 'update');
  END
""",
        f"""
CREATE TRIGGER {log}_ad AFTER DELETE ON {table}
  BEGIN
    INSERT INTO {log} (row_id, operation) VALUES (OLD.id, 'delete');
  END
""",
    )


def _vectors_on_sqlite(table: str, column: str, owner: str) -> tuple[str, ...]:
    return (
        f"""
CREATE TRIGGER {table}_embeddings_au AFTER UPDATE OF content ON {table}
  WHEN NEW.content IS NOT OLD.content
  BEGIN
    DELETE FROM embeddings WHERE {column} = NEW.id;
  END
""",
        f"""
CREATE TRIGGER {table}_embeddings_owner_au AFTER UPDATE OF user_id ON {table}
  WHEN NEW.user_id IS NOT OLD.user_id
  BEGIN
    UPDATE embeddings SET user_id = {owner} WHERE {column} = NEW.id;
  END
""",
    )


def _log_on_postgresql(table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    log = f"{table}_changes"
    # `json` knows no equality.
    casts = {column: "::text" if column == "tags" else "" for column in columns}
    differs = "\n    OR ".join(
        f"NEW.{column}{cast} IS DISTINCT FROM OLD.{column}{cast}" for column, cast in casts.items()
    )
    return (
        f"""
CREATE TABLE {log} (
  id BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_{log} PRIMARY KEY,
  row_id BIGINT NOT NULL,
  operation TEXT NOT NULL
    CONSTRAINT ck_{log}_operation CHECK (operation IN ('insert', 'update', 'delete')),
  transaction_id BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint)
)
""",
        f"CREATE INDEX idx_{log}_transaction_id ON {log} (transaction_id)",
        f"""
CREATE FUNCTION {log}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  logged BIGINT;
BEGIN
  INSERT INTO {log} (row_id, operation)
  VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END, lower(TG_OP)) RETURNING id INTO logged;
  IF logged % {BETWEEN_TRIMS} = 0 THEN
    DELETE FROM {log} WHERE id <= logged - {KEPT_CHANGES};
  END IF;
  RETURN NULL;
END $$
""",
        f"""
CREATE TRIGGER {log}_ai AFTER INSERT OR DELETE ON {table} FOR EACH ROW
  EXECUTE FUNCTION {log}()
""",
        f"""
CREATE TRIGGER {log}_au AFTER UPDATE ON {table} FOR EACH ROW
  WHEN ({differs})
  EXECUTE FUNCTION {log}()
""",
    )


def _vectors_on_postgresql(table: str, column: str, owner: str) -> tuple[str, ...]:
    return (
        f"""
CREATE FUNCTION {table}_embeddings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.content IS DISTINCT FROM OLD.content THEN
    DELETE FROM embeddings WHERE {column} = NEW.id;
  ELSE
    UPDATE embeddings SET user_id = {owner} WHERE {column} = NEW.id;
  END IF;
  RETURN NULL;
END $$
""",
        f"""
CREATE TRIGGER {table}_embeddings_au AFTER UPDATE ON {table} FOR EACH ROW
  WHEN (NEW.content IS DISTINCT FROM OLD.content OR NEW.user_id IS DISTINCT FROM OLD.user_id)
  EXECUTE FUNCTION {table}_embeddings()
""",
    )


SQLITE = DatabaseKept(
    create=(
        *(statement for table, columns in _LOGGED.items() for statement in _log_on_sqlite(table, columns)),
        *(
            statement
            for table, (column, _) in _EMBEDDED.items()
            for statement in _vectors_on_sqlite(table, column, "NEW.user_id")
        ),
    ),
    drop=(
        *(f"DROP TRIGGER IF EXISTS {table}_changes_{event}" for table in _LOGGED for event in ("ai", "au", "ad")),
        *(f"DROP TABLE IF EXISTS {table}_changes" for table in _LOGGED),
        *(f"DROP TRIGGER IF EXISTS {table}_embeddings{event}_au" for table in _EMBEDDED for event in ("", "_owner")),
    ),
)

POSTGRESQL = DatabaseKept(
    create=(
        *(statement for table, columns in _LOGGED.items() for statement in _log_on_postgresql(table, columns)),
        *(
            statement
            for table, (column, owner) in _EMBEDDED.items()
            for statement in _vectors_on_postgresql(table, column, owner)
        ),
    ),
    drop=(
        *(f"DROP FUNCTION IF EXISTS {table}_embeddings() CASCADE" for table in _EMBEDDED),
        *(f"DROP FUNCTION IF EXISTS {table}_changes() CASCADE" for table in _LOGGED),
        *(f"DROP TABLE IF EXISTS {table}_changes" for table in _LOGGED),
    ),
)
