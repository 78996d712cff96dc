"""The hot cache of seed 003: rows of read-mostly tables, found again in less time than SQLite's own lookup takes.

It is never older than the last commit of any process that ended before the read began. All entries are valid at one
state of the file, told by the header of the WAL index (`wal_index.py`):

- A read compares the header first and looks into the cache then; a header that has changed is a miss.
- A row is taken in only if the header was the same before and after it was read, and if no commit of this process is
  about to be adopted: who adopts may have to wait for the interpreter, and all other rows are good until then.
- A group commit of this process that has changed something raises the header by one commit. It is known which rows its
  plans have touched, so those are dropped and the new header is adopted. Whatever touches rows in another way (a
  session, a transaction, a statement that is no plan, another process) leaves a header that nobody adopts: the next row
  that is taken in starts afresh.
- What triggers and foreign keys touch besides is read off the schema (`TableEffects`), again whenever it has changed.

Entries are the driver's tuples and not objects: 100,000 cached instances would cost 263 ms in every full run of the
garbage collector. A cached row of 20 columns takes about 400 bytes beside its values, half of them the tuple. Of 1,024
rows at most what is decoded is kept, too (`Mould`): 2.4 KB each, and 1 to 3 ms in a full run of the collector for all.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from agent_system.database.schema_watch import SchemaWatch
from agent_system.database.wal_index import WalIndex, follows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from agent_system.database.hydration import Hydrator, Mould
    from agent_system.database.plans import Plan

__all__ = ["CommitJournal", "HotCache", "TableEffects"]

FOREIGN_KEYS = """
    SELECT tables.name, keys."table", keys.on_update
    FROM sqlite_master AS tables, pragma_foreign_key_list(tables.name) AS keys
    WHERE tables.type = 'table'
"""

# Each is a dictionary and a few more objects that the garbage collector looks at.
MOST_MOULDS = 1_024
# Where more rows than that are read in turn, a mould is rarely there when its row is read again, and few are made.
FOUND_UNTIL_MOULDED = 8

Key = tuple[str | None, Any]


class _Entry:
    """A row, and what has been made of it."""

    __slots__ = ("mould", "row")

    def __init__(self, row: Any) -> None:
        self.row = row
        self.mould: Mould[Any] | None = None


class HotCache:
    """A bounded LRU of driver rows by table and encoded primary key; the largest table makes room for a new row.

    The event loop's thread reads and fills, the writer's thread adopts its commits.
    """

    def __init__(self, index: WalIndex, effects: TableEffects, limit: int) -> None:
        self._index = index
        self.effects = effects
        """What a write changes besides its own rows; used on the writer's thread only."""
        self._limit = limit
        self._tables: dict[str | None, OrderedDict[Any, _Entry]] = {}
        self._rows = 0
        self._moulded: deque[_Entry] = deque()
        self._without_mould = 0
        self._valid_at = b""
        self._awaited: bytes | None = None
        self._guard = threading.Lock()
        self.hits = 0
        """How many lookups were answered here."""
        self.misses = 0
        """How many lookups of hot tables were not."""

    def __len__(self) -> int:
        return self._rows

    def header(self) -> bytes:
        """The state of the file."""
        return self._index.header()

    def get(self, key: Key) -> Any | None:
        """The row, or None when it has to be read."""
        entry = self._find(key)
        if entry is not None:
            self.hits += 1
            return entry.row
        self.misses += 1
        return None

    def instance(self, key: Key, hydrate: Hydrator[Any]) -> Any | None:
        """An instance of the row, or None when it has to be read."""
        entry = self._find(key)
        if entry is None:
            return None
        self.hits += 1
        mould = entry.mould
        if mould is None or mould.hydrate is not hydrate:
            mould = self._mould(entry, hydrate)
        return hydrate(entry.row) if mould is None else hydrate.another(mould)

    def _find(self, key: Key) -> _Entry | None:
        # In this order: an entry that is found after the comparison is at least as new as the state that was compared.
        if self._index.header() != self._valid_at:
            return None
        rows = self._tables.get(key[0])
        if rows is None:
            return None
        entry = rows.get(key[1])
        if entry is not None:
            try:  # noqa: SIM105 (`suppress` takes as long as the whole lookup)
                rows.move_to_end(key[1])
            except KeyError:
                # The writer's thread has dropped it in between; what was found was right when the read began.
                pass
        return entry

    def _mould(self, entry: _Entry, hydrate: Hydrator[Any]) -> Mould[Any] | None:
        if len(self._moulded) >= MOST_MOULDS:
            self._without_mould += 1
            if self._without_mould < FOUND_UNTIL_MOULDED:
                return None
            self._without_mould = 0
            self._moulded.popleft().mould = None
        self._moulded.append(entry)
        entry.mould = hydrate.mould(entry.row)
        return entry.mould

    def put(self, key: Key, row: Any, read_at: bytes) -> None:
        """Take in a row that was read after the file was seen in this state, unless it is in another one by now."""
        with self._guard:
            # Compared under the guard: a commit that comes after the comparison is adopted after the row is in.
            if self._index.header() != read_at:
                return
            if self._valid_at != read_at:
                if self._valid_at == self._awaited and follows(self._valid_at, read_at):
                    return
                self._clear()
                self._valid_at = read_at
            table, identity = key
            rows = self._tables.setdefault(table, OrderedDict())
            if identity not in rows:
                self._rows += 1
            rows[identity] = _Entry(row)
            if self._rows > self._limit:
                self._rows -= 1
                max(self._tables.values(), key=len).popitem(last=False)

    def expect(self, before: bytes | None) -> None:
        """Know of a group that begins at this state and may be adopted; None: there is none any more."""
        self._awaited = before

    def adopt(self, before: bytes, touched: Iterable[tuple[Plan, Any]]) -> None:
        """Note a commit of this process that has changed something.

        Args:
            before: The state at its BEGIN.
            touched: Its plans that write, each with its parameters.
        """
        after = self._index.header()
        with self._guard:
            if self._valid_at != before or not follows(before, after):
                return
            tables: set[str | None] = set()
            for plan, parameters in touched:
                tables |= self.effects.of(plan)
                if plan.key_position is not None:
                    self._drop_row(plan.writes, parameters[plan.key_position])
                elif not plan.adds_rows:
                    tables.add(plan.writes)
            self._drop_tables(tables)
            self._valid_at = after

    def _drop_tables(self, tables: Iterable[str | None]) -> None:
        for table in tables:
            self._rows -= len(self._tables.pop(table, ()))

    def _drop_row(self, table: str | None, identity: Any) -> None:
        rows = self._tables.get(table)
        if rows is not None and rows.pop(identity, None) is not None:
            self._rows -= 1

    def _clear(self) -> None:
        self._tables.clear()
        self._rows = 0

    def close(self) -> None:
        """Forget everything and give the mapping back."""
        with self._guard:
            self._valid_at = b""
            self._clear()
        self._moulded.clear()
        self._index.close()


class CommitJournal:
    """Notes on the writer's thread what a group commit changes, so that the cache can adopt the commit.

    Args:
        raw: The writer's connection.
        schema: What it knows of the schema.
    """

    def __init__(self, cache: HotCache, raw: sqlite3.Connection, schema: SchemaWatch) -> None:
        self._cache = cache
        self._raw = raw
        self._schema = schema
        self._before = b""
        self._changes_before = 0
        self._touched: list[tuple[Plan, Any]] = []
        self._is_recording = False

    def began(self) -> None:
        """The next commit of this connection will be noted; one of somebody else in between is told by the header."""
        # In this order: a schema that is looked at after the header is at least as new.
        self._before = self._cache.header()
        self._cache.effects.refresh(self._raw, self._schema.look())
        self._changes_before = self._raw.total_changes
        self._touched.clear()
        self._is_recording = True
        self._cache.expect(self._before)

    def note(self, plan: Plan, parameters: Any) -> None:
        """A plan is about to write."""
        if self._is_recording:
            self._touched.append((plan, parameters))

    def note_unknown(self) -> None:
        """A statement may write whose rows are not known: this commit is not adopted."""
        self._is_recording = False

    def ended(self) -> None:
        """The group has come to its end, whether it was committed or not."""
        self._cache.expect(None)

    def committed(self) -> None:
        """The commit has happened; nothing here may fail."""
        # A commit that changed nothing leaves the header alone, and the next one in it would be somebody else's.
        if self._is_recording and self._raw.total_changes != self._changes_before:
            self._cache.adopt(self._before, self._touched)
        self._is_recording = False
        self._touched.clear()


class TableEffects:
    """Which tables a write changes besides its own: by triggers, and by foreign keys when rows are deleted."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._version: int | None = None
        self.refresh(raw, SchemaWatch(raw).look())

    def refresh(self, raw: sqlite3.Connection, version: int) -> None:
        """Read the schema again if it is of another version; another process may have added a trigger."""
        if version != self._version:
            self._read(raw)
            self._version = version

    def of(self, plan: Plan) -> frozenset[str]:
        """The other tables whose rows a plan may change."""
        return self._effects.get((plan.writes or "", plan.deletes), frozenset())

    def _read(self, raw: sqlite3.Connection) -> None:
        tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
        # What happens to a table's rows when one of these is changed or deleted, and whether rows are deleted by it.
        effects: dict[tuple[str, bool], set[tuple[str, bool]]] = {
            (table, deletes): set() for table in tables for deletes in (False, True)
        }
        # SQL does not care for the case in which a trigger or a foreign key writes a name.
        names = {table.casefold(): table for table in tables}
        words_of = {table: _words(table) for table in tables}
        for owner, sql in raw.execute("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall():
            words = _words(_body(sql))
            deletes = not words.isdisjoint({"delete", "replace"})
            touched = {(table, deletes) for table in tables if words_of[table] <= words}
            for change in (False, True):
                effects.setdefault((names.get(owner.casefold(), owner), change), set()).update(touched)
        for table, referred, on_update in raw.execute(FOREIGN_KEYS).fetchall():
            parent = names.get(referred.casefold(), referred)
            effects.setdefault((parent, True), set()).add((table, True))
            if on_update not in {"NO ACTION", "RESTRICT"}:
                effects.setdefault((parent, False), set()).add((table, False))
        self._effects = {change: _reachable(change, effects) for change, direct in effects.items() if direct}


def _body(trigger: str) -> str:
    """What a trigger does, without its head, which names its own table."""
    return re.split(r"\bBEGIN\b", trigger, maxsplit=1, flags=re.IGNORECASE)[-1]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _reachable(start: tuple[str, bool], effects: dict[tuple[str, bool], set[tuple[str, bool]]]) -> frozenset[str]:
    seen: set[tuple[str, bool]] = set()
    waiting = set(effects[start])
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting |= effects.get(one, set())
    return frozenset(table for table, _ in seen)
