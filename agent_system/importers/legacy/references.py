"""Where the rows of a file are here: by their keys there, on disk, however many they are."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agent_system.database.driver import sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["References", "reference_key"]

# What was looked up lately; most rows refer to few others.
MOST_CACHED = 50_000
SCHEMA = """
CREATE TABLE targets (source TEXT, key TEXT, target, PRIMARY KEY (source, key)) WITHOUT ROWID
"""
SETTINGS = ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -8192")


def reference_key(value: Any) -> str | None:
    """Return what a reference is looked up by: `7`, `'7'` and `7.0` are one key; None for what refers to nothing."""
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


class References:
    """A map from (table, key there) to the key here, in a file of our own that is thrown away afterwards.

    The engine writes it on one thread while rows are being understood on another, so it has a lock.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite.connect(
            str(folder / "references.db"), isolation_level=None, check_same_thread=False, cached_statements=16
        )
        for statement in (*SETTINGS, SCHEMA):
            self._connection.execute(statement).fetchall()
        self._known: dict[tuple[str, Any], Any] = {}
        self._missing: dict[str, set[Any]] = {}

    def add(self, source: str, pairs: Iterable[tuple[str | None, Any]]) -> None:
        """Say where rows of a table are here; who came first stays."""
        rows = [(source, key, _stored(target)) for key, target in pairs if key is not None]
        with self._lock:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR IGNORE INTO targets VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
            self._missing.pop(source, None)

    def find(self, source: str, value: Any) -> Any:
        """Return the key here of a row there; None when there is none."""
        if isinstance(value, (dict, list)):
            # An item of a list of JSON, which is no key.
            return None
        # As it stands there, without a lock: most rows refer to what the row before them referred to.
        known = self._known.get((source, value))
        if known is not None:
            return known
        if value in self._missing.get(source, ()):
            return None
        key = reference_key(value)
        if key is None:
            return None
        with self._lock:
            row = self._connection.execute(
                "SELECT target FROM targets WHERE source = ? AND key = ?", (source, key)
            ).fetchone()
            if row is None:
                missing = self._missing.setdefault(source, set())
                if len(missing) >= MOST_CACHED:
                    missing.clear()
                missing.add(value)
                return None
            found = UUID(bytes=row[0]) if isinstance(row[0], bytes) else row[0]
            if len(self._known) >= MOST_CACHED:
                self._known.clear()
            self._known[source, value] = found
            return found

    def close(self) -> None:
        """Give the file up."""
        self._connection.close()


def _stored(target: Any) -> Any:
    return target.bytes if isinstance(target, UUID) else target
