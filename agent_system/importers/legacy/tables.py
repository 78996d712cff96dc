"""Reading the tables of an older system: in pages of constant size, and around what is damaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, column, func, select, table
from sqlalchemy.dialects import sqlite as sqlite_dialect

from agent_system.database.driver import sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Loss", "TableReader", "columns_of", "count_rows", "tables_of"]

# Any of them names the key of a row, unless a column of the table has that name.
ROWID_NAMES = ("rowid", "_rowid_", "oid")
LARGEST_ROWID = 2**63 - 1
PAGE_BYTES = 1 << 22
"""Characters and bytes of a page, more or less; one row may be longer."""
# Tables that SQLite and its full-text indexes keep for themselves.
INTERNAL_PREFIXES = ("sqlite_",)
SHADOW_SUFFIXES = ("_data", "_idx", "_content", "_docsize", "_config", "_segments", "_segdir", "_stat")

DAMAGED = sqlite.DatabaseError
# Everything else, such as a statement that is wrong, is no damage but a mistake of ours.
DAMAGE_NAMES = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_TOOBIG", "SQLITE_CANTOPEN")


@dataclass(frozen=True, slots=True)
class Loss:
    """A range of rows that the file no longer gives away."""

    first: int
    """The first rowid that is lost."""
    last: int | None
    """The last one; None: to the end of the table."""

    @property
    def shown(self) -> str:
        """The range for people."""
        return f"from {self.first}" if self.last is None else f"{self.first} to {self.last}"


def tables_of(connection: Any) -> dict[str, tuple[str, ...]]:
    """Return the columns of every table that a system may have made, by the name of the table.

    Views, also broken ones, and what SQLite and full-text indexes keep for themselves are left out.

    Raises:
        DatabaseError: The driver's, when not even the schema can be read.
    """
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").fetchall()
    virtual = {name for name, sql in rows if (sql or "").lstrip().upper().startswith("CREATE VIRTUAL")}
    shadows = {name + suffix for name in virtual for suffix in SHADOW_SUFFIXES}
    names = [name for name, _ in rows if not name.startswith(INTERNAL_PREFIXES)]
    return {name: columns_of(connection, name) for name in names if name not in virtual | shadows}


def columns_of(connection: Any, name: str) -> tuple[str, ...]:
    """Return the columns of a table, in order."""
    try:
        rows = connection.execute("SELECT name FROM pragma_table_info(?)", (name,)).fetchall()
    except DAMAGED:
        return ()
    return tuple(row[0] for row in rows)


def count_rows(connection: Any, name: str) -> int | None:
    """Return how many rows a table says it has; None when it cannot be counted."""
    try:
        count: int = connection.execute(_sql(select(func.count()).select_from(table(name)))).fetchone()[0]
    except DAMAGED:
        return None
    return count


def _sql(statement: Any) -> str:
    # By SQLAlchemy, which quotes the names that a foreign file gives to its tables and columns.
    return str(statement.compile(dialect=sqlite_dialect.dialect()))


def _require_damage(exc: Any) -> None:
    """Raise an error that is no damage of the file."""
    if not (exc.sqlite_errorname or "").startswith(DAMAGE_NAMES):
        raise exc


def _limited(cursor: Iterable[Any], size: int) -> list[Any]:
    """Fetch rows until they are as many, or as long together, as a page may be."""
    rows: list[Any] = []
    room = PAGE_BYTES
    for row in cursor:
        rows.append(row)
        for value in row:
            if value.__class__ is str or value.__class__ is bytes:
                room -= len(value)
        if room < 0 or len(rows) >= size:
            break
    return rows


@dataclass(slots=True)
class TableReader:
    """Gives the rows of one table, page by page, each as its rowid and a mapping from column to value.

    A page has as many rows as are asked for, or fewer when they are long.

    A page that the file no longer gives away is passed over: the first row behind it is looked for by ever larger
    steps and then by halving, so that no row that can be read is left out, and the gap is told in `losses`.
    """

    connection: Any
    name: str
    columns: Sequence[str]
    losses: list[Loss] = field(default_factory=list)
    _after: int = -(2**63)
    _is_over: bool = False
    _cursor: Any = None
    _statement: str | None = None
    _has_rowid: bool = True

    def __post_init__(self) -> None:
        names = {name.lower() for name in self.columns}
        rowid = next((name for name in ROWID_NAMES if name not in names), None)
        wanted: list[Any] = [column(name) for name in self.columns]
        if rowid is not None:
            key: Any = column(rowid)
            ordered = select(key, *wanted).select_from(table(self.name)).where(key > bindparam("after"))
            self._statement = _sql(ordered.order_by(key))
            try:
                self.connection.execute(self._statement, (LARGEST_ROWID,)).fetchall()
            except sqlite.OperationalError:
                # A table WITHOUT ROWID has none.
                self._has_rowid = False
            except DAMAGED:
                # It is met again when rows are read.
                pass
        if rowid is None or not self._has_rowid:
            self._has_rowid = False
            self._statement = _sql(select(*wanted).select_from(table(self.name)))
            self._after = 0

    def page(self, size: int) -> list[tuple[int, Mapping[str, Any]]]:
        """Return the next rows, at most `size`; none when the table is over."""
        return [(row[0], dict(zip(self.columns, row[1:], strict=True))) for row in self.rows(size)]

    def rows(self, size: int) -> list[tuple[Any, ...]]:
        """Return the next rows, at most `size`, each as its rowid and its values in the order of the columns."""
        while not self._is_over:
            rows = self._read(size) if self._has_rowid else self._read_in_order(size)
            if rows:
                return rows
        return []

    def _read(self, size: int) -> list[Any]:
        try:
            cursor = self.connection.execute(self._statement, (self._after,))
            rows = _limited(cursor, size)
            cursor.close()
        except DAMAGED as exc:
            _require_damage(exc)
            rows = self._read_one_by_one(size)
            if not rows:
                self._pass_over()
                return []
        else:
            self._is_over = not rows
        if rows:
            # In a damaged table rowids need not rise; going back would never end.
            self._after = max(self._after, *(row[0] for row in rows))
        return rows

    def _read_one_by_one(self, size: int) -> list[Any]:
        rows: list[Any] = []
        try:
            cursor = self.connection.execute(self._statement, (self._after,))
            while len(rows) < size and (row := cursor.fetchone()) is not None:
                rows.append(row)
        except DAMAGED as exc:
            _require_damage(exc)
        return rows

    def _pass_over(self) -> None:
        """Go on behind what cannot be read."""
        failing, step = self._after, 1
        while True:
            tried = self._after + step if self._after > 0 else step
            if tried > LARGEST_ROWID:
                self._lose(None)
                return
            found = self._first_after(tried)
            if found is not None:
                break
            failing, step = tried, step * 2
        readable = tried
        while readable - failing > 1:
            middle = (readable + failing) // 2
            if self._first_after(middle) is None:
                failing = middle
            else:
                readable = middle
        found = self._first_after(readable)
        if found is None or found is False:
            self._lose(None)
            return
        self._lose(found - 1)
        self._after = found - 1

    def _first_after(self, rowid: int) -> int | bool | None:
        """The first rowid behind one; False when there is none, None when it cannot be read."""
        try:
            row = self.connection.execute(self._statement, (rowid,)).fetchone()
        except DAMAGED as exc:
            _require_damage(exc)
            return None
        return False if row is None else row[0]

    def _lose(self, last: int | None) -> None:
        first = max(self._after + 1, 1)
        if last is None or last >= first:
            self.losses.append(Loss(first, last))
        self._is_over = self._is_over or last is None

    def _read_in_order(self, size: int) -> list[Any]:
        """Rows of a table without rowids are numbered as they come; behind damage there is nothing to go on from."""
        rows: list[Any] = []
        try:
            self._cursor = self._cursor or self.connection.execute(self._statement)
            while len(rows) < size and (row := self._cursor.fetchone()) is not None:
                self._after += 1
                rows.append((self._after, *row))
        except DAMAGED as exc:
            _require_damage(exc)
            self._lose(None)
        self._is_over = self._is_over or len(rows) < size
        return rows
