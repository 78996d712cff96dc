"""`PairedInserts`: rows and their companions in another table by one statement of SQLite's, which commits itself.

A temporary view of the connection has the parameters of both INSERTs as columns, and a trigger instead of an insert
into the view runs the two (https://sqlite.org/lang_createtrigger.html#instead_of_triggers). So new rows with their
audit events need neither BEGIN nor COMMIT. Other threads of the program run while SQLite works on a statement, and
between two they are waited for: of 32 agents the next 32 are prepared meanwhile. One trigger for all the rows takes
SQLite 31 µs a pair, one for each row 39, two INSERTs between BEGIN and COMMIT 30 (32 agents, SQLite 3.40.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.database.driver import sqlite
from agent_system.database.many_rows import is_one_part, repeat_marked_values

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from agent_system.database.plans import Plan

__all__ = ["PairedInserts", "are_pairs"]

# https://sqlite.org/limits.html (SQLITE_MAX_COLUMN).
MOST_COLUMNS = 2_000
# A column takes 0.7 KB, and 12 µs when its view is made. Agents in all sizes have 4,400; whoever gives ever different
# columns shall not fill the memory.
MOST_COLUMNS_IN_ALL = 20_000
# Of more rows than that only powers of two are pairs: that few views do for any number of callers.
FEW_ROWS = 16
INSERT = "INSERT INTO temp."


def are_pairs(rows: int) -> bool:
    """Whether so many rows can be one statement with their companions."""
    return is_one_part(rows) and (rows <= FEW_ROWS or rows.bit_count() == 1)


class PairedInserts:
    """The pairs that one connection knows."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._statements: dict[tuple[str, str, int], str] = {}
        self._wanted: set[tuple[str, str, int]] = set()
        self._columns = 0

    def find(self, one: Plan, other: Plan, rows: int) -> str | None:
        """Return the statement for so many rows and companions; its parameters are those of all rows, then the others'.

        None inside of a transaction, and where it cannot be one statement.
        """
        if self._raw.in_transaction or not are_pairs(rows):
            return None
        key = (one.sql, other.sql, rows)
        found = self._statements.get(key)
        if found is None and self._may_make(one, other, rows):
            if key in self._wanted:
                found = self._statements[key] = self._make(one, other, rows)
            else:
                # What is wanted once may not be wanted again.
                self._wanted.add(key)
        return found or None

    def _may_make(self, one: Plan, other: Plan, rows: int) -> bool:
        columns = rows * (len(one.parameters) + len(other.parameters))
        is_plain = one.is_plain_insert and other.is_plain_insert
        return is_plain and columns <= MOST_COLUMNS and self._columns + columns <= MOST_COLUMNS_IN_ALL

    def _make(self, one: Plan, other: Plan, rows: int) -> str:
        """Return the statement; nothing when SQLite does not take what it needs."""
        view = f"pair_{len(self._statements)}"
        columns = [f"c{number}" for number in range(rows * (len(one.parameters) + len(other.parameters)))]
        self._columns += len(columns)
        values = iter(columns)
        inserts = "; ".join(_naming(repeat_marked_values(plan.sql, rows), values) for plan in (one, other))
        nothing = ", ".join(f"NULL AS {column}" for column in columns)
        try:
            self._raw.execute(f"CREATE TEMP VIEW {view} AS SELECT {nothing}")
            self._raw.execute(f"CREATE TEMP TRIGGER {view}_insert INSTEAD OF INSERT ON {view} BEGIN {inserts}; END")
        except sqlite.Error:
            return ""
        return f"{INSERT}{view} VALUES ({', '.join('?' * len(columns))})"


def _naming(sql: str, columns: Iterator[str]) -> str:
    """Put columns of the new row where an INSERT has its parameters."""
    first, *rest = sql.split("?")
    return first + "".join(f"NEW.{next(columns)}{text}" for text in rest)
