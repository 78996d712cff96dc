"""What a unit of work gets: statements run one after the other on one connection, the same code on both engines.

A unit of work is a synchronous function `work(executor)`. On SQLite it runs on the thread of the connection, so a
read-modify-write of five statements costs one hop, or without any on the event loop's (`inline_writes.py`); on
PostgreSQL it runs inside SQLAlchemy's greenlet bridge, where each statement awaits the server. Either way it is one
transaction, it may be run again after a conflict, and so it has no side effect outside the database.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import CompoundSelect, Select, UpdateBase, create_engine
from sqlalchemy.pool import StaticPool

from agent_system.database.cursors import FetchedConnection
from agent_system.database.driver import require_transaction, sqlite
from agent_system.database.half_statements import HalfStatements, require_all
from agent_system.database.many_rows import in_parts, repeat_marked_values
from agent_system.database.pairs import PairedInserts
from agent_system.database.schema_watch import SchemaWatch

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, CursorResult, Executable

    from agent_system.database.cache import CommitJournal
    from agent_system.database.plans import Plan

    T = TypeVar("T")
    Work: TypeAlias = Callable[["Executor"], T]

__all__ = ["Executor", "Lookup", "SqliteExecutor", "Work"]


class Lookup(Protocol):
    """What answers short questions."""

    def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """Run a compiled statement and return its rows as the driver gives them (tuples, not yet decoded)."""


class Executor(Lookup, Protocol):
    """Runs statements inside one unit of work."""

    @property
    def trusted(self) -> Executor:
        """The executor for the layer's own bookkeeping (events, what falls with a row), which no scope narrows."""

    @property
    def counts_on(self) -> bool:
        """Whether keys that are counted in one transaction follow each other, so that they can be named beforehand."""

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run any SQLAlchemy Core statement; its rows are fetched, so the result may leave the unit of work."""

    def insert(self, plan: Plan, parameters: Sequence[Any]) -> int:
        """Insert one row with a plan of `TablePlans.insert_counted` and return the key that the database gave it."""

    def insert_unless_there(self, plan: Plan, parameters: Sequence[Any]) -> int | None:
        """Insert one row with a plan of `TablePlans.unless_there`; None when one with a unique value of it is there."""

    def insert_many(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows with one plan of `TablePlans.insert_counted` and return their keys, in order."""

    def change(self, plan: Plan, parameters: Sequence[Any]) -> int:
        """Run a compiled statement without rows and return how many rows it changed."""

    def change_many(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> None:
        """Run a compiled statement without rows once for each tuple of parameters."""

    def change_each(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> None:
        """Change as many rows as there are tuples of parameters, which are there; raises when one is left out."""

    def insert_pairs(
        self, plan: Plan, rows: Sequence[Sequence[Any]], other: Plan, others: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows by one plan, and for each of them its companion by another one."""

    def notify(self) -> None:
        """Let those who wait for changes look, once this unit of work is committed."""

    def prefer_indexes(self) -> None:
        """Let statements go along indexes until the end of the transaction, whatever the statistics say."""

    def forget(self) -> None:
        """Let what is deleted from now on leave nothing behind in the file; `DatabaseManager.scrub` does the rest."""


class SqliteExecutor:
    """Runs on the thread of one SQLite connection, or on one that it is lent to.

    The transaction around it belongs to the caller. To be made on that thread, while no transaction is open.
    """

    __slots__ = (
        "_core",
        "_only_in_transaction",
        "_pairs",
        "commits_itself",
        "halves",
        "has_news",
        "hides_changes",
        "journal",
        "raw",
        "schema",
    )

    def __init__(self, raw: sqlite3.Connection, *, only_in_transaction: bool = False) -> None:
        self.raw = raw
        self._only_in_transaction = only_in_transaction
        self.commits_itself = False
        """Whether the one statement that comes next is a transaction by itself."""
        self.hides_changes = False
        """Whether a statement was run whose changes `total_changes` may not count, such as CREATE TABLE."""
        self.has_news = False
        """Whether those who wait for changes are to be told when it is committed."""
        self.journal: CommitJournal | None = None
        """Notes what a group commit changes, for the hot cache; None when there is none."""
        self.schema = SchemaWatch(raw)
        """Whether somebody may have changed the schema."""
        self.halves = HalfStatements(raw, self.schema)
        """Whether a statement can be done by half."""
        self._pairs = PairedInserts(raw)
        # Opened now: SQLAlchemy rolls back what it finds open when it looks at a connection for the first time.
        self._core: Connection = self._open_core()

    @property
    def trusted(self) -> Executor:
        """This one: nothing narrows it."""
        return self

    @property
    def counts_on(self) -> bool:
        """They do: SQLite has one writer at a time."""
        return not self.halves.are_possible()

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run any SQLAlchemy Core statement."""
        self._check_transaction()
        # A text with columns is a SELECT to SQLAlchemy, whatever it does.
        if not isinstance(statement, (Select, CompoundSelect)):
            if not isinstance(statement, UpdateBase):
                self.hides_changes = True
                self.schema.forget()
            if self.journal is not None:
                self.journal.note_unknown()
        return self._core.execute(statement, parameters)

    def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """Run a compiled statement and return its rows."""
        self._check_transaction()
        if plan.writes is not None and self.journal is not None:
            self.journal.note(plan, parameters)
        return self.raw.execute(plan.sql, parameters).fetchall()

    def insert(self, plan: Plan, parameters: Sequence[Any]) -> int:
        """Insert one row and return its counted key."""
        self._check_transaction()
        if plan.writes is not None and self.journal is not None:
            self.journal.note(plan, parameters)
        # RETURNING would cost half as much again as the insert itself (measured: 24 against 36 µs for a message).
        cursor = self.raw.execute(plan.sql, parameters)
        require_all(plan, cursor.rowcount, 1)
        return cursor.lastrowid or 0

    def insert_unless_there(self, plan: Plan, parameters: Sequence[Any]) -> int | None:
        """Insert one row and return its counted key; None when it is there."""
        self._check_transaction()
        if plan.writes is not None and self.journal is not None:
            self.journal.note(plan, parameters)
        cursor = self.raw.execute(plan.sql, parameters)
        return cursor.lastrowid if cursor.rowcount == 1 else None

    def insert_many(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows and return their counted keys."""
        if not self.counts_on:
            return [self.insert(plan, row) for row in rows]
        parts = list(in_parts(rows))
        self._check_transaction(len(parts))
        self._note_many(plan, rows)
        keys: list[int] = []
        for part in parts:
            sql = repeat_marked_values(plan.sql, len(part))
            cursor = self.raw.execute(sql, tuple(chain.from_iterable(part)))
            require_all(plan, cursor.rowcount, len(part))
            last = cursor.lastrowid or 0
            # The transaction has the only writer, and AUTOINCREMENT counts on from the largest key: they are a range.
            keys += range(last - len(part) + 1, last + 1)
        return keys

    def change(self, plan: Plan, parameters: Sequence[Any]) -> int:
        """Run a compiled statement and return how many rows it changed."""
        self._check_transaction()
        if plan.writes is not None and self.journal is not None:
            self.journal.note(plan, parameters)
        return self.raw.execute(plan.sql, parameters).rowcount

    def change_many(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> None:
        """Run a compiled statement once for each tuple of parameters."""
        parts = list(in_parts(rows)) if plan.is_plain_insert else rows
        self._check_transaction(len(parts))
        self._note_many(plan, rows)
        if not plan.is_plain_insert:
            self.raw.executemany(plan.sql, rows)
            return
        for part in parts:
            cursor = self.raw.execute(repeat_marked_values(plan.sql, len(part)), tuple(chain.from_iterable(part)))
            require_all(plan, cursor.rowcount, len(part))

    def change_each(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> None:
        """Change rows that are there."""
        self._check_transaction(len(rows))
        self._note_many(plan, rows)
        require_all(plan, self.raw.executemany(plan.sql, rows).rowcount, len(rows))

    def insert_pairs(
        self, plan: Plan, rows: Sequence[Sequence[Any]], other: Plan, others: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows and their companions, by one statement where that is a transaction by itself."""
        sql = self._pairs.find(plan, other, len(rows)) if self.commits_itself else None
        # Two are refused before anything is written where it has to be one.
        self._check_transaction(2 if sql is None else 1)
        if sql is None:
            self.change_many(plan, rows)
            self.change_many(other, others)
            return
        self._note_many(plan, rows)
        self._note_many(other, others)
        self.raw.execute(sql, (*chain.from_iterable(rows), *chain.from_iterable(others)))

    def notify(self) -> None:
        """Note it; every commit is seen by those who wait, and this one at once."""
        self.has_news = True

    def prefer_indexes(self) -> None:
        """Nothing to do: without statistics SQLite goes along indexes."""

    def forget(self) -> None:
        """Overwrite what is deleted with zeros (https://sqlite.org/pragma.html#pragma_secure_delete)."""
        self.raw.execute("PRAGMA secure_delete = ON").fetchall()

    def _note_many(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> None:
        if plan.writes is None or self.journal is None:
            return
        # Rows that are added leave those alone that the cache has; what the statement does besides is told once.
        for parameters in rows[:1] if plan.adds_rows else rows:
            self.journal.note(plan, parameters)

    def _check_transaction(self, statements: int = 1) -> None:
        if self.commits_itself and statements == 1:
            self.commits_itself = False  # That is the one.
        # A work may have caught the error that ended its transaction; its next statement would commit by itself.
        elif self._only_in_transaction:
            require_transaction(self.raw)

    def _open_core(self) -> Connection:
        # A synchronous engine over this very connection: all of SQLAlchemy's compiling, caching and result processing
        # without a hop per statement. AUTOCOMMIT and no reset: it never begins, ends or closes anything itself.
        fetched = FetchedConnection(self.raw)
        engine = create_engine(
            "sqlite://",
            # Not a word of this executor: SQLAlchemy keeps for ever what it lends and what leads back to it.
            creator=lambda: fetched,
            module=sqlite,
            poolclass=StaticPool,
            pool_reset_on_return=None,
            isolation_level="AUTOCOMMIT",
        )
        return engine.connect()
