"""Versions and histories, whoever writes: a trigger writes down what a row was before its content changed.

The row's columns `changed_by` and `change_reason` are how a statement says who changes the content, and why: it sets
them together with the content, the trigger moves them into the history, and a row that is read has them empty. A
statement that says nothing is written down as the seeds' trigger does it, as made by `system`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table
from sqlalchemy.schema import Column

from agent_system.models.base import metadata
from agent_system.models.columns import Json
from agent_system.models.kept_times import NOW
from agent_system.models.triggers import DatabaseKept, keep_in_database, leave_to_triggers

__all__ = ["KEPT_BY_HISTORY", "SYSTEM", "HistoryTrigger"]

KEPT_BY_HISTORY = ("version", "changed_by", "change_reason")
"""The columns of a row that its history's trigger writes."""

SYSTEM = "system"
"""Who changed a content when nobody said."""

# A moment in the format of the column; what another program writes in another one is replaced by the time of the clock.
_MOMENT = "????-??-?? ??:??:??.??????"


@dataclass(frozen=True, kw_only=True)
class HistoryTrigger:
    """What keeps the history of a table."""

    name: str
    """The trigger that writes the history."""
    table: Table
    history: Table
    owner: str
    """The column of the history that refers to the row."""
    watched: Sequence[str]
    """The columns whose change makes a version."""
    remembered: Sequence[str]
    """The columns that the history repeats, `watched` among them."""
    reason: str
    """What is written down when nobody said why."""

    def keep(self) -> None:
        """Make it whenever all tables are made."""
        leave_to_triggers(self.table, *KEPT_BY_HISTORY)
        keep_in_database(
            metadata,
            sqlite=DatabaseKept(create=(self._on_sqlite(), self._clearing_on_sqlite())),
            postgresql=DatabaseKept(
                create=self._on_postgresql(), drop=(f"DROP FUNCTION IF EXISTS {self.name}() CASCADE",)
            ),
        )

    @property
    def _columns(self) -> str:
        return ", ".join(
            (self.owner, "version", *self.remembered, "began_at", "changed_by", "change_reason", "created_at")
        )

    @property
    def _values(self) -> str:
        old = (f"OLD.{name}" for name in ("id", "version", *self.remembered))
        author, reason = f"coalesce(NEW.changed_by, '{SYSTEM}')", f"coalesce(NEW.change_reason, '{self.reason}')"
        return ", ".join((*old, self.began, author, reason))

    @property
    def began(self) -> str:
        """The expression for when the old content was written: when the one before it ended."""
        return f"""coalesce(
      (SELECT created_at FROM {self.history.name} WHERE {self.owner} = OLD.id ORDER BY version DESC LIMIT 1),
      OLD.created_at)"""

    def _on_sqlite(self) -> str:
        changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in self.watched)
        return f"""
CREATE TRIGGER {self.name} AFTER UPDATE OF {", ".join(self.watched)} ON {self.table.name}
  WHEN {changed}
  BEGIN
    INSERT INTO {self.history.name} ({self._columns})
    VALUES ({self._values},
      CASE WHEN NEW.updated_at IS NOT OLD.updated_at AND NEW.updated_at GLOB '{_MOMENT}'
        THEN NEW.updated_at ELSE {NOW} END);
    UPDATE {self.table.name} SET version = OLD.version + 1 WHERE id = NEW.id;
  END
"""

    def _clearing_on_sqlite(self) -> str:
        return f"""
CREATE TRIGGER {self.name}_clear AFTER UPDATE OF changed_by, change_reason ON {self.table.name}
  WHEN NEW.changed_by IS NOT NULL OR NEW.change_reason IS NOT NULL
  BEGIN
    UPDATE {self.table.name} SET changed_by = NULL, change_reason = NULL WHERE id = NEW.id;
  END
"""

    def _on_postgresql(self) -> tuple[str, str]:
        changed = " OR ".join(
            f"{_comparable('NEW', column)} IS DISTINCT FROM {_comparable('OLD', column)}"
            for column in (self.table.columns[name] for name in self.watched)
        )
        function = f"""
CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF {changed} THEN
    INSERT INTO {self.history.name} ({self._columns})
    VALUES ({self._values},
      CASE WHEN NEW.updated_at IS DISTINCT FROM OLD.updated_at THEN NEW.updated_at ELSE clock_timestamp() END);
    NEW.version := OLD.version + 1;
  END IF;
  NEW.changed_by := NULL;
  NEW.change_reason := NULL;
  RETURN NEW;
END $$
"""
        trigger = f"""
CREATE TRIGGER {self.name} BEFORE UPDATE ON {self.table.name} FOR EACH ROW EXECUTE FUNCTION {self.name}()
"""
        return function, trigger


def _comparable(row: str, column: Column[Any]) -> str:
    # PostgreSQL cannot tell whether two values of type json are equal.
    return f"{row}.{column.name}::text" if isinstance(column.type, Json) else f"{row}.{column.name}"
