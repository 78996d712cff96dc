"""What SQLite would silently lose when alembic rebuilds a table, and how it is kept.

SQLite can change little of a table in place, so `batch_alter_table` makes a new one, copies the rows, drops the old one
and renames. With the old table go its triggers, and the highest key that it ever gave out; alembic does not see that
the key was AUTOINCREMENT, nor that an index descends; and views and other tables' triggers mention a table that is not
there for a moment. The full-text index of a table is made anew, for the revision may have changed the texts while there
were no triggers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.ddl.base import RenameTable
from sqlalchemy import event, text
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from agent_system.database.dialects.full_text import full_text_command

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["keep_what_rebuilds_lose"]

# How alembic calls the new table until it has its name.
TEMPORARY = "_alembic_tmp_"

_DEFINITION = text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :table")
_TRIGGERS = text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table ORDER BY rowid")
_DESCENDING = text(
    "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table AND sql LIKE '% DESC%'"
)
_INDEX = text("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = :name")
_HIGHEST_KEY = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
_FORGET_KEY = text("DELETE FROM sqlite_sequence WHERE name = :table")
_REMEMBER_KEY = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :seq)")


class _Rebuilds:
    """What was saved of the tables that were dropped in this transaction."""

    def __init__(self) -> None:
        self._triggers: dict[str, list[str]] = {}
        self._keys: dict[str, int] = {}
        self._descending: dict[str, str] = {}

    def before(self, connection: Connection, element: Any, *_rest: Any) -> None:
        if isinstance(element, CreateTable) and element.element.name.startswith(TEMPORARY):
            self._keep_autoincrement(connection, element)
        elif isinstance(element, DropTable):
            self._save(connection, element.element.name)
        elif _ends_rebuild(element):
            # SQLite must not look at the views and triggers that mention the table.
            connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")

    def after(self, connection: Connection, element: Any, *_rest: Any) -> None:
        if _ends_rebuild(element):
            connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")
            self._restore(connection, str(element.new_table_name))
        elif isinstance(element, CreateIndex):
            self._restore_order(connection, str(element.element.name))

    def _keep_autoincrement(self, connection: Connection, element: CreateTable) -> None:
        original = element.element.name.removeprefix(TEMPORARY)
        definition = connection.execute(_DEFINITION, {"table": original}).scalar_one()
        if "AUTOINCREMENT" in definition.upper():
            element.element.dialect_options["sqlite"]["autoincrement"] = True

    def _save(self, connection: Connection, table: str) -> None:
        self._triggers[table] = list(connection.execute(_TRIGGERS, {"table": table}).scalars())
        self._descending |= dict(connection.execute(_DESCENDING, {"table": table}).all())
        if connection.execute(_DEFINITION, {"table": "sqlite_sequence"}).scalar() is not None:
            key = connection.execute(_HIGHEST_KEY, {"table": table}).scalar()
            if key is not None:
                self._keys[table] = key

    def _restore(self, connection: Connection, table: str) -> None:
        for trigger in self._triggers.pop(table, []):
            connection.exec_driver_sql(trigger)
        index = f"{table}_fts"
        if "USING FTS5" in str(connection.execute(_DEFINITION, {"table": index}).scalar()).upper():
            connection.execute(full_text_command(index, "rebuild"))
        key = self._keys.pop(table, None)
        if key is not None:
            connection.execute(_FORGET_KEY, {"table": table})
            connection.execute(_REMEMBER_KEY, {"table": table, "seq": key})

    def _restore_order(self, connection: Connection, index: str) -> None:
        """Make an index again as it was if it differs in nothing but the direction of its columns."""
        lost = self._descending.pop(index, None)
        made = connection.execute(_INDEX, {"name": index}).scalar()
        if lost is not None and made == lost.replace(" DESC", ""):
            connection.exec_driver_sql(f'DROP INDEX "{index}"')
            connection.exec_driver_sql(lost)


def keep_what_rebuilds_lose(connection: Connection) -> None:
    """Watch a connection on which alembic works."""
    rebuilds = _Rebuilds()
    event.listen(connection, "before_execute", rebuilds.before)
    event.listen(connection, "after_execute", rebuilds.after)


def _ends_rebuild(element: Any) -> bool:
    return isinstance(element, RenameTable) and element.table_name == f"{TEMPORARY}{element.new_table_name}"
