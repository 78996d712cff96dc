"""`HalfStatements`: whether an insert may do less than it says, or more, in this schema.

Ours has nothing of the kind, but whoever owns the file may add triggers to it. RAISE(FAIL) ends a statement and keeps
the rows before, RAISE(IGNORE) leaves rows out and says nothing (https://sqlite.org/lang_createtrigger.html). In a
transaction that is seen and taken back; a statement that commits itself has committed the half by then. And where a
trigger adds rows to its own table, the keys of many rows do not follow each other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent_system.errors import IntegrityError

if TYPE_CHECKING:
    import sqlite3

    from agent_system.database.plans import Plan
    from agent_system.database.schema_watch import SchemaWatch

__all__ = ["HalfStatements", "require_all"]

# The conflict clauses of tables and of what triggers write do the same (https://sqlite.org/lang_conflict.html).
_BY_HALF = re.compile(
    r"\bRAISE\s*\(\s*(?:FAIL|IGNORE)\b|\bOR\s+FAIL\b|\bON\s+CONFLICT\s+(?:FAIL|IGNORE)\b", re.IGNORECASE
)


class HalfStatements:
    """What one connection knows of them."""

    __slots__ = ("_are_possible", "_raw", "_schema", "_version")

    def __init__(self, raw: sqlite3.Connection, schema: SchemaWatch) -> None:
        self._raw = raw
        self._schema = schema
        self._version: int | None = None
        self._are_possible = False

    def are_possible(self) -> bool:
        """Whether there are any; the schema is read again when it has changed, whoever changed it."""
        version = self._schema.look()
        if version != self._version:
            rows = self._raw.execute("SELECT type, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            self._are_possible = any(_BY_HALF.search(row[-1]) or _adds_to_its_own(*row) for row in rows)
            self._version = version
        return self._are_possible


def _adds_to_its_own(kind: str, table: str, sql: str) -> bool:
    words = rf"\bBEGIN\b.*\bINTO\s+(?:\w+\s*\.\s*)?[\"'`\[]?{re.escape(table)}\b"
    return kind == "trigger" and re.search(words, sql, re.IGNORECASE | re.DOTALL) is not None


def require_all(plan: Plan, written: int, rows: int) -> None:
    """Raise IntegrityError when a trigger has left rows out: their callers would be told that they are written."""
    if written != rows:
        message = f"a trigger has left {rows - written} of {rows} rows of {plan.writes} out; nothing was written"
        raise IntegrityError(message, table=plan.writes)
