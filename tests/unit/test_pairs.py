"""Rows and their companions by one statement: both or neither, and the values as they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database.executor import SqliteExecutor
from agent_system.database.groups import commit_group
from agent_system.database.pairs import are_pairs
from agent_system.database.plans import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent_system.database.executor import Executor

SCHEMA = """
    CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT UNIQUE NOT NULL, value);
    CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, note INTEGER REFERENCES notes, data);
    CREATE TRIGGER abort BEFORE INSERT ON notes WHEN NEW.title = 'abort' BEGIN SELECT RAISE(ABORT, 'no'); END;
"""


def plan(table: str, *columns: str) -> Plan:
    marks = ", ".join("?" * len(columns))
    return Plan(
        sql=f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",
        parameters=columns,
        processors=(None,) * len(columns),
        constants={},
        writes=table,
        adds_rows=True,
        is_plain_insert=True,
    )


NOTE, EVENT = plan("notes", "id", "title", "value"), plan("events", "note", "data")


class Noted:
    """A note with its event."""

    def __init__(self, key: int, title: Any, value: Any = None) -> None:
        self.row = (key, title, value)
        self.event = (key, value)

    def __call__(self, executor: Executor) -> None:
        self.do_with(executor, [])

    def kind(self) -> object:
        return Noted

    def is_one_statement(self, count: int) -> bool:
        return are_pairs(count)

    def do_with(self, executor: Executor, others: Sequence[Noted]) -> None:
        together = (self, *others)
        executor.insert_pairs(NOTE, [each.row for each in together], EVENT, [each.event for each in together])


class Connection(sqlite3.Connection):
    """A connection that notes what it executes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.executed: list[str] = []

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self.executed.append(sql)
        return super().execute(sql, *parameters)


@pytest.fixture
def raw() -> Iterator[Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=Connection)) as raw:
        raw.execute("PRAGMA foreign_keys = ON")
        raw.executescript(SCHEMA)
        yield raw


@pytest.fixture
def executor(raw: Connection) -> SqliteExecutor:
    return SqliteExecutor(raw, only_in_transaction=True)


def written(raw: Connection) -> tuple[list[Any], list[Any]]:
    """The keys of the notes, and those that the events name."""
    notes = [key for (key,) in raw.execute("SELECT id FROM notes ORDER BY id").fetchall()]
    return notes, [key for (key,) in raw.execute("SELECT note FROM events ORDER BY id").fetchall()]


@pytest.mark.parametrize("count", [1, 3, 16, 32])
def test_rows_and_their_companions_are_one_statement(raw: Connection, executor: SqliteExecutor, count: int) -> None:
    for start in (0, count, 2 * count):
        works = [Noted(start + number, f"{start + number}") for number in range(count)]
        raw.executed.clear()
        assert [outcome.error for outcome in commit_group(executor, works)] == [None] * count

    assert [sql.split()[0] for sql in raw.executed] == ["PRAGMA", "INSERT"]
    assert written(raw) == (list(range(3 * count)), list(range(3 * count)))


@pytest.mark.parametrize("value", [None, 7, 2**62, 1.5, "7", "né\U0001f600", b"\0\xff"])
def test_values_arrive_as_they_are(raw: Connection, executor: SqliteExecutor, value: Any) -> None:
    for number in (0, 2, 4):
        commit_group(executor, [Noted(number, f"{number}", value), Noted(number + 1, f"{number + 1}", value)])
    for table, column in (("notes", "value"), ("events", "data")):
        rows = raw.execute(f"SELECT {column}, typeof({column}) FROM {table}").fetchall()
        assert rows == [raw.execute("SELECT ?, typeof(?)", (value, value)).fetchone()] * 6


@pytest.mark.parametrize("bad", [("5", None), (None, None), ("abort", None)])
def test_one_that_is_refused_leaves_nothing_and_the_others_are_written(
    raw: Connection, executor: SqliteExecutor, bad: tuple[Any, Any]
) -> None:
    for start in (0, 15, 30):
        works = [Noted(start + number, f"{start + number}") for number in range(15)]
        outcomes = commit_group(executor, [*works, Noted(99, *bad)])
        assert [type(outcome.error) for outcome in outcomes] == [type(None)] * 15 + [sqlite3.IntegrityError]

    assert any("INSERT INTO temp.pair" in sql for sql in raw.executed)
    assert written(raw) == (list(range(45)), list(range(45)))


def test_where_a_statement_can_be_done_by_half_there_is_a_transaction_around_it(
    raw: Connection, executor: SqliteExecutor
) -> None:
    commit_group(executor, [Noted(1, "one"), Noted(2, "two")])
    raw.execute("CREATE TRIGGER fail AFTER INSERT ON events WHEN NEW.note = 4 BEGIN SELECT RAISE(FAIL, 'no'); END")
    outcomes = commit_group(executor, [Noted(3, "three"), Noted(4, "four")])

    assert [type(outcome.error) for outcome in outcomes] == [type(None), sqlite3.IntegrityError]
    assert written(raw) == ([1, 2, 3], [1, 2, 3])


def test_in_a_transaction_they_are_two_statements_and_fall_with_it(raw: Connection, executor: SqliteExecutor) -> None:
    commit_group(executor, [Noted(1, "one")])
    raw.execute("BEGIN")
    raw.executed.clear()
    executor.insert_pairs(NOTE, [(2, "two", None)], EVENT, [(2, None)])
    assert len(raw.executed) == 2
    raw.rollback()
    assert written(raw) == ([1], [1])


def test_many_and_wide_rows_are_written_in_a_transaction(raw: Connection, executor: SqliteExecutor) -> None:
    works = [Noted(number, f"{number}") for number in range(24)]
    assert [outcome.error for outcome in commit_group(executor, works)] == [None] * 24

    wide = plan("notes", "id", *["title"] * 30)
    assert [executor._pairs.find(wide, EVENT, 64) for _ in range(2)] == [None, None]
    assert written(raw) == (list(range(24)), list(range(24)))


def test_what_sqlite_does_not_take_is_written_in_a_transaction(raw: Connection, executor: SqliteExecutor) -> None:
    assert [executor._pairs.find(plan("nowhere", "id"), plan("no such", "id"), 2) for _ in range(3)] == [None] * 3
    assert not raw.in_transaction
