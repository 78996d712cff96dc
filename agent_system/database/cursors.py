"""The DBAPI's cursor over rows that have been fetched already.

A statement that is left open holds its snapshot: what its connection reads later is as old, and a COMMIT is refused. So
no statement is open when the function that ran it returns, whatever becomes of the result.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

__all__ = ["Fetched", "FetchedConnection", "FetchedCursor", "LentConnection", "execute", "execute_many"]

Fetched: TypeAlias = "tuple[Any, deque[Any], int, int | None]"
"""What a statement has left: the description of its columns, its rows, how many it changed, the last key."""


def execute(raw: sqlite3.Connection, operation: str, parameters: Any) -> Fetched:
    """Run a statement to its end."""
    cursor = raw.execute(operation, parameters)
    try:
        rows = deque(cursor.fetchall() if cursor.description else ())
        return cursor.description, rows, cursor.rowcount, cursor.lastrowid
    finally:
        cursor.close()


def execute_many(raw: sqlite3.Connection, operation: str, parameters: Any) -> Fetched:
    """Run a statement once for each of the parameters."""
    cursor = raw.executemany(operation, parameters)
    try:
        return cursor.description, deque(), cursor.rowcount, cursor.lastrowid
    finally:
        cursor.close()


class FetchedCursor:
    """A cursor without a statement; who executes one gives it what the statement has left."""

    __slots__ = ("_rows", "arraysize", "description", "lastrowid", "rowcount")

    def __init__(self) -> None:
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    def take(self, fetched: Fetched) -> None:
        """Offer what a statement has left."""
        self.description, self._rows, self.rowcount, self.lastrowid = fetched

    def setinputsizes(self, *_sizes: Any) -> None:
        """Nothing to do: SQLite needs no sizes."""

    def fetchone(self) -> Any | None:
        """Return the next row."""
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> Sequence[Any]:
        """Return the next rows."""
        wanted = self.arraysize if size is None else size
        return [self._rows.popleft() for _ in range(min(wanted, len(self._rows)))]

    def fetchall(self) -> Sequence[Any]:
        """Return the rest of the rows."""
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def __iter__(self) -> Iterator[Any]:
        while self._rows:
            yield self._rows.popleft()

    def close(self) -> None:
        """Forget the rows."""
        self._rows.clear()


class FetchedConnection:
    """A connection of the driver all of whose cursors have fetched their rows; everything else is the driver's own."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.__dict__["_raw"] = raw

    def cursor(self) -> _DirectCursor:
        """Make a cursor."""
        return _DirectCursor(self.__dict__["_raw"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_raw"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_raw"], name, value)


class LentConnection(FetchedConnection):
    """One whose transaction belongs to the lender, who alone ends it and closes the connection."""

    def commit(self) -> None:
        """Nothing."""

    def rollback(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class _DirectCursor(FetchedCursor):
    """Executes on this very thread."""

    __slots__ = ("_raw",)

    def __init__(self, raw: sqlite3.Connection) -> None:
        super().__init__()
        self._raw = raw

    def execute(self, operation: str, parameters: Any = ()) -> _DirectCursor:
        self.take(execute(self._raw, operation, parameters))
        return self

    def executemany(self, operation: str, parameters: Any) -> _DirectCursor:
        self.take(execute_many(self._raw, operation, parameters))
        return self
