"""The schema is asked for when somebody else may have changed it, and only then."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from agent_system.database import wal_index
from agent_system.database.schema_watch import SchemaWatch
from agent_system.database.wal_index import WalIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


@pytest.fixture
def other(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "watched.db")) as other:
        other.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
        yield other


@pytest.fixture
def raw(tmp_path: Path, other: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    del other
    with closing(connect(tmp_path / "watched.db")) as raw:
        yield raw


@pytest.fixture
def asked(raw: sqlite3.Connection) -> list[str]:
    statements: list[str] = []
    raw.set_trace_callback(lambda sql: statements.append(sql) if sql.startswith("PRAGMA") else None)
    return statements


def add(watch: SchemaWatch, raw: sqlite3.Connection) -> int:
    """Commit a row as a group does; returns the version that was seen before."""
    version = watch.look()
    raw.execute("INSERT INTO notes DEFAULT VALUES")
    watch.committed()
    return version


@pytest.mark.skipif(not wal_index._DESCRIPTORS.is_dir(), reason="nobody tells by which descriptor the index is open")
def test_own_commits_do_not_ask_again_and_those_of_others_do(
    tmp_path: Path, raw: sqlite3.Connection, other: sqlite3.Connection, asked: list[str]
) -> None:
    watch = SchemaWatch(raw)
    raw.execute("SELECT count(*) FROM notes").fetchone()
    watch.index = WalIndex.of(os.fspath(tmp_path / "watched.db"))
    first = add(watch, raw)
    assert [add(watch, raw), add(watch, raw), len(asked)] == [first, first, 1]

    other.execute("CREATE TABLE more (id)")
    assert (add(watch, raw), len(asked)) == (first + 1, 2)
    # In the middle of a group.
    watch.look()
    other.execute("CREATE TABLE still_more (id)")
    raw.execute("INSERT INTO notes DEFAULT VALUES")
    watch.committed()
    assert (add(watch, raw), len(asked)) == (first + 2, 3)
    # In the place of a commit that changed nothing.
    watch.look()
    raw.execute("UPDATE notes SET id = 1 WHERE id = 99")
    other.execute("DROP TABLE more")
    watch.committed()
    assert (watch.look(), len(asked)) == (first + 3, 4)
    # By a statement of our own.
    watch.forget()
    raw.execute("DROP TABLE still_more")
    watch.committed()
    assert (watch.look(), watch.look(), len(asked)) == (first + 4, first + 4, 5)


def test_without_an_index_it_is_asked_for_each_time(
    raw: sqlite3.Connection, other: sqlite3.Connection, asked: list[str]
) -> None:
    watch = SchemaWatch(raw)
    first = add(watch, raw)
    other.execute("CREATE TABLE more (id)")

    assert (add(watch, raw), len(asked)) == (first + 1, 2)
