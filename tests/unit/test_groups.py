"""`commit_group` on a connection of the plain driver: what is acknowledged is committed, what failed left nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system.database.executor import SqliteExecutor
from agent_system.database.groups import GroupBusyError, commit_group
from agent_system.database.many_rows import is_one_part
from agent_system.database.plans import Plan
from agent_system.errors import DatabaseBusyError, OutcomeUnknownError, TransactionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from agent_system.database.executor import Executor, Work

SCHEMA = """
    CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT UNIQUE CONSTRAINT ck_title CHECK (title <> 'forbidden'));
    CREATE TABLE replies (note_id INTEGER REFERENCES notes DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER refuse BEFORE INSERT ON notes WHEN NEW.title = 'rolls back'
        BEGIN SELECT RAISE(ROLLBACK, 'everything'); END;
"""


INSERT_NOTE = Plan(
    sql="INSERT INTO notes (title) VALUES (?)",
    parameters=("title",),
    processors=(None,),
    constants={},
    writes="notes",
    adds_rows=True,
    is_plain_insert=True,
)


INSERT_REPLY = replace(
    INSERT_NOTE, sql="INSERT INTO replies (note_id) VALUES (?)", parameters=("note_id",), writes="replies"
)


class Connection(sqlite3.Connection):
    """A connection that notes what it executes and whose COMMITs can be made to fail."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.executed: list[str] = []
        self.on_commit: list[Callable[[], None]] = []

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self.executed.append(sql)
        return super().execute(sql, *parameters)

    def commit(self) -> None:
        self.executed.append("COMMIT")
        if self.on_commit:
            self.on_commit.pop(0)()
        super().commit()

    def count(self, start: str) -> int:
        """How many statements began so."""
        return sum(statement.startswith(start) for statement in self.executed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "group.db"


@pytest.fixture
def raw(path: Path) -> Iterator[Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0, factory=Connection)) as connection:
        connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; {SCHEMA}")
        yield connection


@pytest.fixture
def executor(raw: Connection) -> SqliteExecutor:
    executor = SqliteExecutor(raw, only_in_transaction=True)
    raw.executed.clear()
    return executor


def sql(*statements: str) -> Work[int]:
    """Return a work that executes statements and returns how many they were."""

    def work(executor: Executor) -> int:
        for statement in statements:
            executor.execute(text(statement))
        return len(statements)

    return work


def add(title: str) -> Work[int]:
    return sql(f"INSERT INTO notes (title) VALUES ('{title}')")


def failing(error: BaseException, *before: str) -> Work[Any]:
    """Return a work that executes statements and then raises."""

    def work(executor: Executor) -> None:
        sql(*before)(executor)
        raise error

    return work


class Note:
    """A work that inserts one note, by one statement with its neighbours."""

    def __init__(self, title: str) -> None:
        self.title = title

    def __call__(self, executor: Executor) -> None:
        self.do_with(executor, [])

    def kind(self) -> object:
        return Note

    def do_with(self, executor: Executor, others: Sequence[Note]) -> None:
        executor.change_many(INSERT_NOTE, [(each.title,) for each in (self, *others)])


class Single(Note):
    """One that says that it is one statement, with its neighbours too."""

    def is_one_statement(self, count: int) -> bool:
        return is_one_part(count)


def titles(path: Path) -> list[str]:
    """Read what has been committed, on a connection of its own."""
    with closing(sqlite3.connect(path)) as other:
        return [title for (title,) in other.execute("SELECT title FROM notes ORDER BY id")]


def sqlite_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"made up: {name}")
    error.sqlite_errorname = name
    return error


def raising(error: BaseException) -> Callable[[], None]:
    def on_commit() -> None:
        raise error

    return on_commit


def test_works_that_succeed_share_one_transaction_without_savepoints(
    executor: SqliteExecutor, raw: Connection, path: Path
) -> None:
    outcomes = commit_group(executor, [add(f"{number}") for number in range(64)])

    assert [outcome.value for outcome in outcomes] == [1] * 64
    assert len(titles(path)) == 64
    assert (raw.count("BEGIN"), raw.count("COMMIT"), raw.count("SAVEPOINT")) == (1, 1, 0)


def test_works_that_are_alike_and_neighbours_are_one_statement(
    executor: SqliteExecutor, raw: Connection, path: Path
) -> None:
    works = [Note("a"), Note("b"), add("c"), Note("d"), Note("e")]
    outcomes = commit_group(executor, works)

    assert [outcome.error for outcome in outcomes] == [None] * 5
    assert titles(path) == ["a", "b", "c", "d", "e"]
    assert (raw.count("BEGIN"), raw.count("INSERT")) == (1, 3)


@pytest.mark.parametrize(("bad", "begins"), [("forbidden", 1), ("1", 1), ("rolls back", 3)])
def test_one_that_is_refused_among_many_alike_fails_alone(
    executor: SqliteExecutor, raw: Connection, path: Path, bad: str, begins: int
) -> None:
    works = [Note(f"{number}") for number in range(64)]
    works.insert(20, Note(bad))
    outcomes = commit_group(executor, works)

    assert [number for number, outcome in enumerate(outcomes) if outcome.error] == [20]
    assert titles(path) == [f"{number}" for number in range(64)]
    assert raw.count("BEGIN") == begins


def test_works_that_are_one_statement_need_no_transaction_around_it(
    executor: SqliteExecutor, raw: Connection, path: Path
) -> None:
    commit_group(executor, [Single("first")])
    raw.executed.clear()
    outcomes = commit_group(executor, [Single(f"{number}") for number in range(64)])

    assert [outcome.error for outcome in outcomes] == [None] * 64
    assert len(titles(path)) == 65
    assert [sql.split()[0] for sql in raw.executed] == ["PRAGMA", "INSERT"]


def test_works_that_do_not_fit_into_one_statement_share_a_transaction(executor: SqliteExecutor, path: Path) -> None:
    class Wide(Single):
        def do_with(self, executor: Executor, others: Sequence[Note]) -> None:
            for each in (self, *others):
                executor.change_many(INSERT_NOTE, [(f"{each.title} {number}",) for number in range(65)])

    outcomes = commit_group(executor, [Wide(title) for title in ("a", "b", "c", "d")])

    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert len(titles(path)) == 260


@pytest.mark.parametrize("bad", ["forbidden", "1", "rolls back", "aborts", "fails"])
def test_one_that_is_refused_in_one_statement_fails_alone(
    executor: SqliteExecutor, raw: Connection, path: Path, bad: str
) -> None:
    if bad in {"aborts", "fails"}:
        # Each row before is counted twice, and RAISE(FAIL) keeps it.
        raw.executescript(
            f"""
            CREATE TABLE log (title);
            CREATE TRIGGER note AFTER INSERT ON notes BEGIN INSERT INTO log VALUES (NEW.title); END;
            CREATE TRIGGER no AFTER INSERT ON notes WHEN NEW.title = '{bad}' BEGIN SELECT RAISE({bad[:-1]}, 'no'); END;
            """
        )
    works = [Single(f"{number}") for number in range(63)]
    works.insert(20, Single(bad))
    outcomes = commit_group(executor, works)

    assert [number for number, outcome in enumerate(outcomes) if outcome.error] == [20]
    assert titles(path) == [f"{number}" for number in range(63)]


def test_one_whose_reference_leads_nowhere_fails_alone(executor: SqliteExecutor, path: Path) -> None:
    class Reply(Single):
        def do_with(self, executor: Executor, others: Sequence[Note]) -> None:
            executor.change_many(INSERT_REPLY, [(each.title,) for each in (self, *others)])

        def __call__(self, executor: Executor) -> None:
            self.do_with(executor, [])

    commit_group(executor, [Single("a")])
    outcomes = commit_group(executor, [Reply(number) for number in ("1", "7", "1", "1")])

    assert [getattr(outcome.error, "sqlite_errorname", None) for outcome in outcomes] == [
        None,
        "SQLITE_CONSTRAINT_FOREIGNKEY",
        None,
        None,
    ]
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM replies").fetchone() == (3,)


@pytest.mark.parametrize("error", [sqlite_error("SQLITE_IOERR_FSYNC"), LookupError("after the commit")])
def test_a_statement_that_fails_and_may_have_committed_is_unknown_and_never_repeated(
    executor: SqliteExecutor, path: Path, error: Exception
) -> None:
    class Failing(Single):
        def do_with(self, executor: Executor, others: Sequence[Note]) -> None:
            super().do_with(executor, others)
            raise error

    outcomes = commit_group(executor, [Failing("a"), Failing("b")])

    assert [type(outcome.error) for outcome in outcomes] == [OutcomeUnknownError] * 2
    assert titles(path) == ["a", "b"]


def test_works_that_are_alike_and_half_done_are_done_again_one_by_one(executor: SqliteExecutor, path: Path) -> None:
    class InTwoSteps(Note):
        def do_with(self, executor: Executor, others: Sequence[Note]) -> None:
            for each in (self, *others):
                Note.do_with(each, executor, [])

    outcomes = commit_group(executor, [InTwoSteps(title) for title in ("a", "b", "forbidden", "c")])

    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
    assert titles(path) == ["a", "b", "c"]


def test_an_empty_group_touches_nothing(executor: SqliteExecutor, raw: Connection) -> None:
    assert commit_group(executor, []) == []
    assert raw.executed == []


def test_a_failure_that_changed_nothing_costs_no_second_run(
    executor: SqliteExecutor, raw: Connection, path: Path
) -> None:
    error = LookupError("no such row")
    outcomes = commit_group(executor, [add("a"), failing(error), add("b")])

    assert [outcome.error for outcome in outcomes] == [None, error, None]
    assert titles(path) == ["a", "b"]
    assert raw.count("BEGIN") == 1


@pytest.mark.parametrize(
    "half_done",
    [
        "INSERT INTO notes (title) VALUES ('half')",
        "CREATE TABLE half (id INTEGER)",
        "CREATE INDEX half ON notes (title)",
        "PRAGMA user_version = 7",
        "DELETE FROM notes",
    ],
)
def test_a_failure_half_way_takes_back_its_own_work_alone(
    executor: SqliteExecutor, raw: Connection, path: Path, half_done: str
) -> None:
    error = LookupError("half-way")
    outcomes = commit_group(executor, [add("a"), failing(error, half_done), add("b")])

    assert [outcome.error for outcome in outcomes] == [None, error, None]
    assert titles(path) == ["a", "b"]
    assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
    assert raw.execute("PRAGMA user_version").fetchone() == (0,)


def test_where_all_fail_nothing_is_committed(executor: SqliteExecutor, raw: Connection, path: Path) -> None:
    outcomes = commit_group(executor, [failing(LookupError(), "INSERT INTO notes (title) VALUES ('half')")] * 2)

    assert [type(outcome.error) for outcome in outcomes] == [LookupError] * 2
    assert (raw.count("COMMIT"), raw.in_transaction, titles(path)) == (0, False, [])


def test_one_bad_row_among_64_good_ones_fails_alone(executor: SqliteExecutor, path: Path) -> None:
    works = [add(f"{number}") for number in range(64)]
    works[20:20] = [sql("INSERT INTO notes (title) VALUES ('twice'), ('twice')")]
    outcomes = commit_group(executor, works)

    assert [number for number, outcome in enumerate(outcomes) if outcome.error] == [20]
    assert titles(path) == [f"{number}" for number in range(64)]


@pytest.mark.parametrize("position", [0, 2, 4])
def test_a_work_that_ends_the_transaction_voids_the_attempt_and_not_the_others(
    executor: SqliteExecutor, path: Path, position: int
) -> None:
    works = [add(title) for title in "abcd"]
    works.insert(position, add("rolls back"))
    outcomes = commit_group(executor, works)

    assert [number for number, outcome in enumerate(outcomes) if outcome.error] == [position]
    assert "everything" in str(outcomes[position].error)
    assert titles(path) == ["a", "b", "c", "d"]


def test_every_kind_of_failure_in_one_group_is_told_to_its_own_work(executor: SqliteExecutor, path: Path) -> None:
    half, nothing = LookupError("half"), LookupError("nothing")
    outcomes = commit_group(
        executor,
        [
            add("a"),
            add("rolls back"),
            failing(half, "INSERT INTO notes (title) VALUES ('half')"),
            add("b"),
            add("forbidden"),
            add("rolls back"),
            failing(nothing),
            add("a"),
            add("c"),
        ],
    )

    assert [outcome.error is None for outcome in outcomes] == [n in {0, 3, 8} for n in range(9)]
    assert (outcomes[2].error, outcomes[6].error) == (half, nothing)
    assert titles(path) == ["a", "b", "c"]


def test_a_work_that_hides_the_end_of_the_transaction_cannot_write_outside_of_it(
    executor: SqliteExecutor, path: Path
) -> None:
    def hiding(executor: Executor) -> None:
        for statement in ("INSERT INTO notes (title) VALUES ('rolls back')", "INSERT INTO notes (title) VALUES ('x')"):
            try:
                executor.execute(text(statement))
            except Exception:  # noqa: BLE001, S112 (the work under test is as careless as can be)
                continue

    outcomes = commit_group(executor, [add("a"), hiding, add("b")])

    assert [type(outcome.error) for outcome in outcomes] == [type(None), TransactionError, type(None)]
    assert titles(path) == ["a", "b"]


def test_a_work_that_catches_a_harmless_error_is_acknowledged(executor: SqliteExecutor, path: Path) -> None:
    def get_or_create(executor: Executor) -> str:
        try:
            add("a")(executor)
        except Exception:  # noqa: BLE001 (whatever SQLAlchemy makes of it)
            return "there already"
        return "new"

    outcomes = commit_group(executor, [add("a"), get_or_create, add("b")])

    assert [outcome.value for outcome in outcomes] == [1, "there already", 1]
    assert titles(path) == ["a", "b"]


@pytest.mark.parametrize("error", [StopIteration("x"), StopAsyncIteration("x"), OverflowError("x"), UnicodeError("x")])
def test_whatever_a_work_raises_can_be_handed_to_its_caller(
    executor: SqliteExecutor, path: Path, error: Exception
) -> None:
    outcomes = commit_group(executor, [add("a"), failing(error)])

    assert not isinstance(outcomes[1].error, StopIteration)
    assert error in {outcomes[1].error, getattr(outcomes[1].error, "__cause__", None)}
    assert titles(path) == ["a"]


@pytest.mark.parametrize("half_done", [(), ("INSERT INTO notes (title) VALUES ('half')",)])
@pytest.mark.parametrize("stop", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_is_no_error_is_told_to_its_own_work_alone_too(
    executor: SqliteExecutor, path: Path, stop: BaseException, half_done: tuple[str, ...]
) -> None:
    outcomes = commit_group(executor, [add("a"), failing(stop, *half_done), add("b")])

    assert [outcome.error for outcome in outcomes] == [None, stop, None]
    assert titles(path) == ["a", "b"]


def test_a_lock_of_somebody_else_means_that_nothing_was_run(executor: SqliteExecutor, path: Path) -> None:
    runs = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GroupBusyError):
            commit_group(executor, [lambda _: runs.append(1)])
        with pytest.raises(GroupBusyError):
            commit_group(executor, [Single("b"), Single("c")])

    assert runs == []
    commit_group(executor, [add("a")])
    assert titles(path) == ["a"]


def test_what_an_earlier_user_of_the_connection_left_open_is_rolled_back(
    executor: SqliteExecutor, raw: Connection, path: Path
) -> None:
    raw.execute("BEGIN")
    raw.execute("INSERT INTO notes (title) VALUES ('left')")
    commit_group(executor, [add("a")])

    assert titles(path) == ["a"]


def test_when_commit_refuses_each_work_is_committed_alone(executor: SqliteExecutor, path: Path) -> None:
    works = [add("a"), sql("INSERT INTO replies VALUES (99)"), add("b"), add("a")]
    outcomes = commit_group(executor, works)

    assert [outcome.error is None for outcome in outcomes] == [True, False, True, False]
    assert "FOREIGN KEY" in str(outcomes[1].error)
    assert titles(path) == ["a", "b"]


def test_a_single_work_that_commit_refuses_is_told_and_rolled_back(
    executor: SqliteExecutor, raw: Connection, path: Path
) -> None:
    outcomes = commit_group(executor, [sql("INSERT INTO notes (title) VALUES ('a')", "INSERT INTO replies VALUES (9)")])

    assert "FOREIGN KEY" in str(outcomes[0].error)
    assert titles(path) == []
    assert not raw.in_transaction


def test_an_input_or_output_error_at_commit_is_unknown_and_never_repeated(
    executor: SqliteExecutor, raw: Connection
) -> None:
    runs = []
    raw.on_commit = [raising(sqlite_error("SQLITE_IOERR_FSYNC"))]
    failed = LookupError("failed before")
    outcomes = commit_group(
        executor, [lambda executor: (runs.append(1), add("a")(executor)), failing(failed), lambda _: runs.append(2)]
    )

    assert [type(outcome.error) for outcome in outcomes] == [OutcomeUnknownError, LookupError, OutcomeUnknownError]
    assert outcomes[0].error is not None
    assert isinstance(outcomes[0].error.__cause__, sqlite3.OperationalError)
    assert runs == [1, 2]
    assert not raw.in_transaction


def test_a_commit_that_fails_and_leaves_no_transaction_is_unknown(executor: SqliteExecutor, raw: Connection) -> None:
    def commit_and_fail() -> None:
        sqlite3.Connection.commit(raw)
        raise sqlite_error("SQLITE_NOMEM")

    raw.on_commit = [commit_and_fail]
    outcomes = commit_group(executor, [add("a"), add("b")])

    assert [type(outcome.error) for outcome in outcomes] == [OutcomeUnknownError] * 2


def test_one_whose_lock_is_taken_away_between_a_failed_commit_and_his_own_is_told_that_it_was_busy(
    executor: SqliteExecutor, raw: Connection, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        raw.on_commit = [raising(sqlite_error("SQLITE_CONSTRAINT_FOREIGNKEY"))]

        def take_the_lock(_executor: Executor) -> None:
            if raw.count("COMMIT") == 2:
                raw.rollback()
                other.execute("BEGIN IMMEDIATE")

        outcomes = commit_group(executor, [add("a"), take_the_lock, add("b")])

    assert [type(outcome.error) for outcome in outcomes] == [type(None), TransactionError, DatabaseBusyError]
    assert titles(path) == ["a"]


def test_a_connection_that_was_closed_is_an_error_of_the_driver(executor: SqliteExecutor, raw: Connection) -> None:
    raw.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        commit_group(executor, [add("a")])
