"""`updated_at`, whoever writes: a trigger dates the changes of programs that do not say when they made them."""

from collections.abc import Sequence

from sqlalchemy import Table

from agent_system.models.base import metadata
from agent_system.models.triggers import DatabaseKept, keep_in_database, leave_to_triggers

__all__ = ["NOW", "keep_updated_at"]

NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
"""SQLite's clock, written as `UtcDateTime` writes."""


def keep_updated_at(table: Table, trigger: str, *, kept: Sequence[str] = ()) -> None:
    """Let the database set `updated_at` of a table's rows that are changed by a statement that does not.

    Args:
        table: The table; its key is `id`.
        trigger: The trigger's name.
        kept: Columns that other triggers write; on SQLite, where a trigger's own updates fire triggers too, these are
            no changes.
    """
    leave_to_triggers(table, "updated_at")
    changes = [column.name for column in table.columns if column.name not in {"id", "updated_at", *kept}]
    sqlite = f"""
CREATE TRIGGER {trigger} AFTER UPDATE OF {", ".join(changes)} ON {table.name}
  WHEN NEW.updated_at IS OLD.updated_at
  BEGIN
    UPDATE {table.name} SET updated_at = {NOW} WHERE id = NEW.id;
  END
"""
    function = f"""
CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$
"""
    postgresql = f"""
CREATE TRIGGER {trigger} BEFORE UPDATE ON {table.name} FOR EACH ROW
  WHEN (NEW.updated_at = OLD.updated_at) EXECUTE FUNCTION {trigger}()
"""
    drop = f"DROP FUNCTION IF EXISTS {trigger}() CASCADE"
    keep_in_database(
        metadata,
        sqlite=DatabaseKept(create=(sqlite,)),
        postgresql=DatabaseKept(create=(function, postgresql), drop=(drop,)),
    )
