"""The hot cache of seed 003: rows of read-mostly tables, found again in less time than SQLite's own lookup takes.

It is never older than the last commit of any process that ended before the read began. All entries are valid at one
state of the file, told by the header of the WAL index (`wal_index.py`):

- A read compares the header first and looks into the cache then; a header that has changed is a miss.
- A row is taken in only if the header was the same before and after it was read.
- A group commit of this process raises the header by one commit. It is known which rows its plans have touched, so
  those are dropped and the new header is adopted. Whatever touches rows in another way (a session, a transaction, a
  statement that is no plan, another process) leaves a header that nobody adopts: the next row that is taken in starts
  afresh.
- What triggers and foreign keys touch besides is read off the schema (`TableEffects`).

Entries are the driver's tuples and not objects: 100,000 cached instances would cost 263 ms in every full run of the
garbage collector. A cached row takes about 120 bytes beside its values.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agent_system.database.wal_index import WalIndex, follows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from agent_system.database.plans import Plan

__all__ = ["CommitJournal", "HotCache", "TableEffects"]

Key = tuple[str | None, Any]


class HotCache:
    """A bounded LRU of driver rows by table and encoded primary key.

    The event loop's thread reads and fills, the writer's thread adopts its commits.
    """

    def __init__(self, index: WalIndex, effects: TableEffects, limit: int) -> None:
        self._index = index
        self._effects = effects
        self._limit = limit
        self._rows: OrderedDict[Key, Any] = OrderedDict()
        self._valid_at = b""
        self._guard = threading.Lock()
        self.hits = 0
        """How many lookups were answered here."""
        self.misses = 0
        """How many lookups of hot tables were not."""

    def __len__(self) -> int:
        return len(self._rows)

    def header(self) -> bytes:
        """The state of the file."""
        return self._index.header()

    def get(self, key: Key) -> Any | None:
        """The row, or None when it has to be read."""
        # In this order: an entry that is found after the comparison is at least as new as the state that was compared.
        if self._index.header() == self._valid_at:
            row = self._rows.get(key)
            if row is not None:
                self.hits += 1
                # The writer's thread may drop it in between; what was found was right when the read began.
                with suppress(KeyError):
                    self._rows.move_to_end(key)
                return row
        self.misses += 1
        return None

    def put(self, key: Key, row: Any, read_at: bytes) -> None:
        """Take in a row that was read while the file was in this state throughout."""
        with self._guard:
            if self._valid_at != read_at:
                self._rows.clear()
                self._valid_at = read_at
            self._rows[key] = row
            if len(self._rows) > self._limit:
                self._rows.popitem(last=False)

    def adopt(self, before: bytes, touched: Iterable[tuple[Plan, Any]]) -> None:
        """Note a commit of this process: `before` is the state at its BEGIN, `touched` what its plans were given."""
        after = self._index.header()
        with self._guard:
            if self._valid_at != before or not follows(before, after):
                return
            for plan, parameters in touched:
                for table in self._effects.of(plan):
                    self._drop_table(table)
                if plan.key_position is not None:
                    self._rows.pop((plan.writes, parameters[plan.key_position]), None)
            self._valid_at = after

    def _drop_table(self, table: str) -> None:
        for key in [key for key in self._rows if key[0] == table]:
            del self._rows[key]

    def close(self) -> None:
        """Forget everything and give the mapping back."""
        with self._guard:
            self._valid_at = b""
            self._rows.clear()
        self._index.close()


class CommitJournal:
    """Notes on the writer's thread what a group commit changes, so that the cache can adopt the commit."""

    def __init__(self, cache: HotCache) -> None:
        self._cache = cache
        self._before = b""
        self._touched: list[tuple[Plan, Any]] = []
        self._is_recording = False

    def began(self) -> None:
        """The write lock is held: nobody else can commit until it is given back."""
        self._before = self._cache.header()
        self._touched.clear()
        self._is_recording = True

    def note(self, plan: Plan, parameters: Any) -> None:
        """A plan is about to write."""
        if self._is_recording:
            self._touched.append((plan, parameters))

    def note_unknown(self) -> None:
        """A statement may write whose rows are not known: this commit is not adopted."""
        self._is_recording = False

    def committed(self) -> None:
        """The commit has happened."""
        if self._is_recording:
            self._is_recording = False
            self._cache.adopt(self._before, self._touched)


class TableEffects:
    """Which tables a write changes besides its own: by triggers, and by foreign keys when rows are deleted."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        self._triggered = {table: frozenset[str]() for table in tables}
        for table, sql in raw.execute("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall():
            words = set(re.findall(r"\w+", sql))
            self._triggered[table] = self._triggered.get(table, frozenset()) | (words & set(tables))
        children: dict[str, set[str]] = {table: set() for table in tables}
        for table in tables:
            for row in raw.execute(f"PRAGMA foreign_key_list({_quoted(table)})").fetchall():
                children.setdefault(row[2], set()).add(table)
        self._deleted = {table: _reachable(table, children, self._triggered) for table in tables}

    def of(self, plan: Plan) -> frozenset[str]:
        """The other tables whose rows a plan may change."""
        effects = self._deleted if plan.deletes else self._triggered
        return effects.get(plan.writes or "", frozenset())


def _reachable(table: str, children: dict[str, set[str]], triggered: dict[str, frozenset[str]]) -> frozenset[str]:
    seen: set[str] = set()
    waiting = {*children.get(table, ()), *triggered.get(table, ())}
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting |= children.get(one, set()) | triggered.get(one, frozenset())
    return frozenset(seen)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
