"""The header of the WAL index, over real files and by SQLite's own descriptor."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_system.database import wal_index
from agent_system.database.wal_index import COUNTER, HEADER_BYTES, WalIndex, follows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needs_proc = pytest.mark.skipif(
    not wal_index._DESCRIPTORS.is_dir(), reason="without /proc there is no header, which another test shows"
)
pytestmark = needs_proc


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "system.db"


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    """Return what opens a connection to the file, which is in WAL mode and has a table."""
    opened: list[sqlite3.Connection] = []

    def open_one() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        opened.append(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, body TEXT)")
        return connection

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def raw(connect: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
    return connect()


@pytest.fixture
def index(raw: sqlite3.Connection, path: Path) -> Iterator[WalIndex]:
    assert raw
    index = WalIndex.of(str(path))
    assert index is not None
    with closing(index):
        yield index


def run_in_another_process(path: Path, *statements: str, end: str = "") -> None:
    program = "import os, sqlite3, sys; raw = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    program += "\n".join(f"raw.execute({statement!r}).fetchall()" for statement in statements)
    subprocess.run([sys.executable, "-c", f"{program}\n{end}", str(path)], check=True, timeout=30)


def mappings(path: Path) -> int:
    return Path("/proc/self/maps").read_text().count(f"{path}-shm")


class TestHeader:
    def test_it_changes_by_one_with_every_commit(self, raw: sqlite3.Connection, index: WalIndex) -> None:
        seen = [index.header()]
        for _ in range(5):
            raw.execute("INSERT INTO notes (body) VALUES ('x')")
            seen.append(index.header())
        assert len(set(seen)) == 6
        assert all(follows(before, after) for before, after in pairwise(seen))

    def test_it_changes_with_the_commit_of_another_connection(
        self, connect: Callable[[], sqlite3.Connection], index: WalIndex
    ) -> None:
        other = connect()
        before = index.header()
        other.execute("INSERT INTO notes (body) VALUES ('x')")
        assert follows(before, index.header())

    def test_it_changes_with_the_commit_of_another_process(self, path: Path, index: WalIndex) -> None:
        before = index.header()
        run_in_another_process(path, "INSERT INTO notes (body) VALUES ('x')")
        assert follows(before, index.header())

    def test_a_change_before_its_commit_and_a_rollback_leave_it_alone(
        self, raw: sqlite3.Connection, index: WalIndex
    ) -> None:
        before = index.header()
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("INSERT INTO notes (body) VALUES ('x')")
        assert index.header() == before
        raw.execute("ROLLBACK")
        assert index.header() == before

    def test_changes_that_overflow_the_page_cache_leave_it_alone_until_the_commit(
        self, raw: sqlite3.Connection, index: WalIndex
    ) -> None:
        before = index.header()
        raw.execute("PRAGMA cache_size = 5")
        raw.execute("BEGIN IMMEDIATE")
        raw.executemany("INSERT INTO notes (body) VALUES (?)", [["x" * 4_000]] * 50)
        assert index.header() == before
        raw.execute("COMMIT")
        assert follows(before, index.header())

    def test_reads_and_commits_without_a_change_leave_it_alone(self, raw: sqlite3.Connection, index: WalIndex) -> None:
        before = index.header()
        raw.execute("SELECT * FROM notes").fetchall()
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("UPDATE notes SET body = 'y' WHERE id = 99")
        raw.execute("COMMIT")
        assert index.header() == before

    def test_a_passive_checkpoint_leaves_it_alone(self, raw: sqlite3.Connection, index: WalIndex) -> None:
        raw.execute("INSERT INTO notes (body) VALUES ('x')")
        before = index.header()
        raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        assert index.header() == before

    def test_the_first_commit_after_a_truncated_log_follows_as_any_other(
        self, raw: sqlite3.Connection, index: WalIndex
    ) -> None:
        raw.execute("INSERT INTO notes (body) VALUES ('x')")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        before = index.header()
        raw.execute("INSERT INTO notes (body) VALUES ('y')")
        assert follows(before, index.header())

    def test_it_is_the_start_of_the_shared_memory(self, path: Path, index: WalIndex) -> None:
        # By a process that does not have the database open, so that no lock of ours is lost.
        program = f"import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read({HEADER_BYTES}))"
        read = subprocess.run([sys.executable, "-c", program, f"{path}-shm"], check=True, capture_output=True)
        assert index.header() == read.stdout


class TestFollows:
    @pytest.mark.parametrize(
        ("before", "after", "expected"), [(7, 8, True), (7, 7, False), (7, 9, False), (7, 0, False), (8, 7, False)]
    )
    def test_only_the_next_commit_follows(self, before: int, after: int, *, expected: bool) -> None:
        assert follows(self.header(before), self.header(after)) is expected

    def test_the_end_of_the_counter_has_no_successor(self) -> None:
        assert not follows(self.header(2**32 - 1), self.header(0))

    def header(self, count: int) -> bytes:
        return bytes(COUNTER.start) + count.to_bytes(4, sys.byteorder) + bytes(HEADER_BYTES - COUNTER.stop)


class TestFinding:
    def test_there_is_none_for_a_file_that_is_not_open(self, path: Path) -> None:
        assert WalIndex.of(str(path)) is None

    def test_there_is_none_for_a_file_in_another_mode(self, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
            assert WalIndex.of(str(path)) is None

    def test_there_is_none_when_the_index_is_no_shared_memory(self, raw: sqlite3.Connection, path: Path) -> None:
        raw.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as alone:
            alone.execute("PRAGMA locking_mode = EXCLUSIVE")
            alone.execute("INSERT INTO notes (body) VALUES ('x')")
            assert WalIndex.of(str(path)) is None

    @pytest.mark.usefixtures("raw")
    def test_there_is_none_where_descriptors_cannot_be_listed(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(wal_index, "_DESCRIPTORS", tmp_path / "missing")
        assert WalIndex.of(str(path)) is None

    @pytest.mark.usefixtures("raw")
    def test_it_is_found_through_a_symbolic_link(self, path: Path, tmp_path: Path) -> None:
        folder = tmp_path / "link"
        folder.symlink_to(path.parent, target_is_directory=True)
        index = WalIndex.of(str(folder / path.name))
        assert index is not None
        index.close()

    @pytest.mark.usefixtures("raw")
    def test_a_file_that_took_the_place_of_another_one_is_not_mistaken_for_it(self, path: Path) -> None:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        assert WalIndex.of(str(path)) is None


class TestClosing:
    def test_the_mapping_is_given_back(self, raw: sqlite3.Connection, path: Path) -> None:
        assert raw
        before = mappings(path)
        index = WalIndex.of(str(path))
        assert index is not None
        assert mappings(path) == before + 1
        index.close()
        assert mappings(path) == before

    def test_closing_twice_is_closing_once(self, index: WalIndex) -> None:
        index.close()
        index.close()

    def test_who_asks_afterwards_gets_a_header_that_no_file_has(self, index: WalIndex) -> None:
        index.close()
        assert index.header() == bytes(HEADER_BYTES)

    def test_it_outlives_the_connection_whose_descriptor_was_mapped(
        self, raw: sqlite3.Connection, index: WalIndex
    ) -> None:
        before = index.header()
        raw.close()
        assert len(index.header()) == len(before)

    def test_opening_and_closing_one_more_takes_no_lock_away(self, raw: sqlite3.Connection, path: Path) -> None:
        raw.execute("BEGIN IMMEDIATE")
        index = WalIndex.of(str(path))
        assert index is not None
        index.close()
        run_in_another_process(
            path,
            "PRAGMA busy_timeout = 0",
            end="try: raw.execute('BEGIN IMMEDIATE')\nexcept sqlite3.OperationalError: os._exit(0)\nos._exit(1)",
        )


def test_the_frames_of_the_log_are_counted_from_its_beginning(raw: sqlite3.Connection, index: WalIndex) -> None:
    before = index.frames()
    raw.execute("INSERT INTO notes (body) VALUES (?)", ("x" * 40_000,))
    grown = index.frames()
    in_log = raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    raw.execute("INSERT INTO notes (body) VALUES ('short')")

    assert before + 10 <= grown == in_log
    assert index.frames() < 10
