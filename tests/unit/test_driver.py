"""The one door to the SQLite library: its verdict, its connections, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database import driver
from agent_system.database.driver import (
    ConnectionOptions,
    LibraryVerdict,
    commit,
    is_broken,
    is_busy,
    library_verdict,
    open_connection,
    require_transaction,
)
from agent_system.errors import ConfigurationError, OutcomeUnknownError, TransactionError

if TYPE_CHECKING:
    from pathlib import Path

AFFECTED = [(3, 7, 0), (3, 40, 1), (3, 44, 0), (3, 44, 5), (3, 45, 0), (3, 50, 6), (3, 51, 0), (3, 51, 2)]
SAFE = [(3, 6, 23), (3, 44, 6), (3, 44, 9), (3, 50, 7), (3, 50, 12), (3, 51, 3), (3, 52, 0), (4, 0, 0)]


@pytest.mark.parametrize("version", AFFECTED, ids=str)
def test_a_library_with_the_wal_reset_bug_is_known(version: tuple[int, int, int]) -> None:
    verdict = library_verdict(version)
    assert verdict.has_wal_reset_bug
    assert verdict.version in verdict.summary
    assert "3.51.3, 3.50.7, 3.44.6" in verdict.summary


@pytest.mark.parametrize("version", SAFE, ids=str)
def test_a_library_without_the_bug_or_with_its_fix_is_known(version: tuple[int, int, int]) -> None:
    verdict = library_verdict(version)
    assert not verdict.has_wal_reset_bug
    assert verdict.version in verdict.summary


def test_the_verdict_is_on_the_loaded_library_by_default() -> None:
    assert library_verdict() == library_verdict(driver.sqlite.sqlite_version_info)


@pytest.mark.parametrize(("affected", "mapped", "automatic"), [(True, 0, 0), (False, 268_435_456, 4_000)])
def test_the_pragmas_are_those_of_seed_003_as_far_as_the_library_is_safe(
    monkeypatch: pytest.MonkeyPatch,
    affected: bool,  # noqa: FBT001 (a case of the test)
    mapped: int,
    automatic: int,
) -> None:
    monkeypatch.setattr(driver, "library_verdict", lambda: LibraryVerdict(version="3.0.0", has_wal_reset_bug=affected))
    assert set(ConnectionOptions(synchronous="NORMAL").pragmas()) >= {
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = NORMAL",
        "PRAGMA cache_size = 10000",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA foreign_keys = ON",
        f"PRAGMA mmap_size = {mapped}",
        f"PRAGMA wal_autocheckpoint = {automatic}",
    }


def test_the_default_is_the_durable_one() -> None:
    assert "PRAGMA synchronous = FULL" in ConnectionOptions().pragmas()


def test_no_option_makes_a_thread_wait_longer_than_a_tenth_of_a_second() -> None:
    assert "PRAGMA busy_timeout = 100" in ConnectionOptions(busy_timeout_ms=60_000).pragmas()


def test_options_that_are_rarely_wanted_are_there_when_they_are() -> None:
    assert "PRAGMA max_page_count = 7" in ConnectionOptions(max_page_count=7).pragmas()
    assert "PRAGMA foreign_keys = OFF" in ConnectionOptions(foreign_keys=False).pragmas()
    assert not any("max_page_count" in pragma for pragma in ConnectionOptions().pragmas())


def test_a_connection_begins_no_transaction_by_itself(tmp_path: Path) -> None:
    with closing(open_connection(str(tmp_path / "a.db"), ConnectionOptions())) as connection:
        connection.execute("CREATE TABLE notes (id)")
        connection.execute("INSERT INTO notes VALUES (1)")
        assert connection.isolation_level is None
        assert not connection.in_transaction


def test_a_uri_is_opened_with_its_parameters(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_connection(str(path), ConnectionOptions()).close()
    with closing(open_connection(f"{path.as_uri()}?mode=ro", ConnectionOptions())) as connection:
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("CREATE TABLE notes (id)")
        assert caught.value.sqlite_errorname == "SQLITE_READONLY"


def test_a_connection_that_cannot_be_set_up_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("a letter, not a database" * 100)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    with pytest.raises(sqlite3.DatabaseError):
        open_connection(str(path), ConnectionOptions())
    after = len(os.listdir("/proc/self/fd")) if before else 0  # noqa: PTH208

    assert after == before


def test_whoever_opens_a_new_file_waits_for_whoever_sets_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE notes (id)")
        # Not yet in WAL mode: an exclusive lock keeps everybody out, and no busy timeout helps the switch.
        other.execute("BEGIN EXCLUSIVE")
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                other.execute("COMMIT")

        monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pause))
        with closing(open_connection(path, ConnectionOptions(busy_timeout_ms=1))) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(pauses) == 3


def test_whoever_opens_a_locked_file_gives_up_in_time(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE notes (id)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            open_connection(path, ConnectionOptions(lock_timeout_seconds=0.05, busy_timeout_ms=1))
    assert is_busy(caught.value)


def made_up(name: str | None, kind: type[sqlite3.Error] = sqlite3.OperationalError, text: str = "x") -> Any:
    error = kind(text)
    if name is not None:
        error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("error", "busy"),
    [
        (made_up("SQLITE_BUSY"), True),
        (made_up("SQLITE_BUSY_SNAPSHOT"), True),
        (made_up("SQLITE_LOCKED"), True),
        (made_up("SQLITE_FULL"), False),
        (made_up(None), False),
        (ValueError("database is locked"), False),
    ],
    ids=str,
)
def test_a_lock_of_somebody_else_is_known_by_its_name(error: Exception, busy: bool) -> None:  # noqa: FBT001
    assert is_busy(error) is busy


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (made_up("SQLITE_IOERR_READ"), True),
        (made_up("SQLITE_IOERR"), True),
        (made_up(None, sqlite3.ProgrammingError, "Cannot operate on a closed database."), True),
        (ValueError("no active connection"), True),
        (ValueError("Connection closed"), True),
        (made_up(None, sqlite3.ProgrammingError, "Error binding parameter 1"), False),
        (ValueError("a naive datetime"), False),
        (made_up("SQLITE_BUSY"), False),
        (made_up("SQLITE_CORRUPT"), False),
    ],
    ids=str,
)
def test_a_connection_that_is_of_no_more_use_is_known(error: Exception, broken: bool) -> None:  # noqa: FBT001
    assert is_broken(error) is broken


def test_a_transaction_that_is_gone_is_told() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with pytest.raises(TransactionError, match="nothing of it was written"):
            require_transaction(connection)
        connection.execute("BEGIN")
        require_transaction(connection)


class FailingConnection(sqlite3.Connection):
    """A connection whose COMMIT fails."""

    error: sqlite3.Error
    commits_first = False

    def commit(self) -> None:
        if self.commits_first:
            super().commit()
        raise self.error


@pytest.mark.parametrize(
    ("name", "commits_first", "expected"),
    [
        ("SQLITE_CONSTRAINT_FOREIGNKEY", False, sqlite3.OperationalError),
        ("SQLITE_BUSY", False, sqlite3.OperationalError),
        ("SQLITE_IOERR_FSYNC", False, OutcomeUnknownError),
        ("SQLITE_NOMEM", True, OutcomeUnknownError),
        ("SQLITE_FULL", True, sqlite3.OperationalError),
    ],
)
def test_a_commit_that_fails_is_rolled_back_or_unknown(
    name: str,
    commits_first: bool,  # noqa: FBT001 (a case of the test)
    expected: type[Exception],
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=FailingConnection)) as connection:
        connection.error, connection.commits_first = made_up(name), commits_first
        connection.execute("BEGIN")
        with pytest.raises(expected):
            commit(connection)
        assert not connection.in_transaction


@pytest.mark.parametrize(("name", "words"), [("mysql", "must be sqlite3 or pysqlite3"), ("pysqlite3", "pip install")])
def test_a_driver_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch, name: str, words: str) -> None:
    monkeypatch.setenv(driver.DRIVER_VARIABLE, name)
    monkeypatch.setitem(sys.modules, "pysqlite3", None)
    with pytest.raises(ConfigurationError, match=words) as caught:
        driver._load_driver()
    assert caught.value.variable == driver.DRIVER_VARIABLE
