"""`SchemaWatch`: the version of the schema, asked for only when somebody else may have changed it.

To ask is a statement of SQLite's: 10 µs, and a wait for the interpreter when the event loop computes meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.database.wal_index import follows

if TYPE_CHECKING:
    import sqlite3

    from agent_system.database.wal_index import WalIndex

__all__ = ["SchemaWatch"]


class SchemaWatch:
    """What one writing connection knows of the schema.

    Args:
        raw: The connection.
    """

    __slots__ = ("_changes", "_known_at", "_raw", "_version", "index")

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self.index: WalIndex | None = None
        """Tells whether anything was committed; without it the schema is asked for each time."""
        # The state of the file when the version was read, or that this connection has made of it since by known plans.
        self._known_at = b""
        self._version = 0
        self._changes = 0

    def began(self) -> None:
        """A transaction has begun, in which nobody may have asked yet."""
        if self.index is not None:
            self.look()

    def look(self) -> int:
        """The version of the schema."""
        # In this order: a version that is read after the state is at least as new.
        state = b"" if self.index is None else self.index.header()
        if not state or state != self._known_at:
            (self._version,) = self._raw.execute("PRAGMA schema_version").fetchone()
            self._known_at = state
        self._changes = self._raw.total_changes
        return self._version

    def forget(self) -> None:
        """A statement may change the schema."""
        self._known_at = b""

    def committed(self) -> None:
        """The group is committed; the schema is still the same when nobody else has committed since the last look."""
        # A commit that changed nothing leaves the state alone, and the next one in it would be somebody else's.
        if self.index is None or not self._known_at or self._raw.total_changes == self._changes:
            return
        state = self.index.header()
        if follows(self._known_at, state):
            self._known_at = state
