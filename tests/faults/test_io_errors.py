"""The n-th call to a full or a broken disk fails: every caller gets a true answer, and afterwards everything works."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import make_url

from agent_system import errors
from tests import requirements as requires
from tests.faults.shim import FOR_EVER, run_program

if TYPE_CHECKING:
    from tests.faults.report import Teller

# Processes are started and ended here: on a machine that is busy with other tests too it takes its time.
pytestmark = pytest.mark.timeout(240)

# What is done to which file and how it fails, once or for ever; and what a writer may then be told. SQLite calls a page
# that the disk cannot read damaged, and so do we.
UNKNOWN, FAILED, FULL, CORRUPT, ABSENT = (
    kind.__name__
    for kind in (
        errors.OutcomeUnknownError,
        errors.DatabaseError,
        errors.DiskFullError,
        errors.DatabaseCorruptError,
        errors.DatabaseUnavailableError,
    )
)
CASES: dict[tuple[str, str, str, int], set[str]] = {
    ("WRITE", "WAL", "ENOSPC", 1): set(),
    ("WRITE", "WAL", "ENOSPC", FOR_EVER): {FULL},
    ("WRITE", "WAL", "EIO", 1): {UNKNOWN, FAILED},
    ("WRITE", "WAL", "EIO", FOR_EVER): {UNKNOWN, FAILED},
    ("SYNC", "WAL", "EIO", 1): {UNKNOWN, FAILED},
    ("SYNC", "WAL", "EIO", FOR_EVER): {UNKNOWN, FAILED},
    ("TRUNCATE", "WAL", "EIO", 1): {UNKNOWN, FAILED},
    ("READ", "WAL", "EIO", 1): {UNKNOWN, FAILED, CORRUPT},
    ("READ", "DATABASE", "EIO", 1): {UNKNOWN, FAILED, CORRUPT},
    ("READ", "DATABASE", "EIO", FOR_EVER): {UNKNOWN, FAILED, CORRUPT},
    ("WRITE", "DATABASE", "ENOSPC", FOR_EVER): set(),
    ("WRITE", "DATABASE", "EIO", 1): set(),
    ("SYNC", "DATABASE", "EIO", 1): set(),
    # The disk goes away altogether and comes back: other connections cannot be opened meanwhile.
    ("ANY", "ANY", "EIO", FOR_EVER): {UNKNOWN, FAILED, CORRUPT, ABSENT},
}
MOST = 10
DISK_FULL = "disk full at the n-th write"
IO_ERROR = "I/O error at the n-th read, write or sync"


@pytest.fixture
def path(migrated_sqlite_url: str) -> Path:
    """Return a database with a table of the test's own; nobody has it open."""
    path = Path(str(make_url(migrated_sqlite_url).database))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT NOT NULL, filling BLOB)")
    return path


def try_all(path: Path, shim: Path, most: int, tell: Teller) -> None:
    output = run_program("meets_io_errors", path, json.dumps([*CASES]), most, shim=shim, database=path, seconds=600)
    results = dict(zip(CASES, json.loads(output), strict=True))
    there, findings = titles_and_integrity(path)
    acknowledged, denied = set[str](), set[str]()
    for tries in results.values():
        for phase in ("during", "after"):
            for way, title, answer in (answer for one in tries for answer in one[phase]):
                rows = {f"{title} first", f"{title} second"} if way == "by_transaction" else {title}
                if not way.startswith(("by_read", "by_checkpoint")):
                    acknowledged |= rows if answer == "done" else set()
                    denied |= rows if answer not in {"done", UNKNOWN} else set()

    for name, error in ((DISK_FULL, "ENOSPC"), (IO_ERROR, "EIO")):
        trials = sum(len(tries) for case, tries in results.items() if error in case)
        mine = {title for title in acknowledged if error in title}
        tell(name, trials=trials, acknowledged=len(mine), lost=len(mine - there))
    assert acknowledged <= there
    assert not denied & there, "somebody was told that nothing was written, and it was"
    assert {title.replace("first", "second") for title in there if title.endswith("first")} <= there
    assert findings == [("ok",)]
    for case, tries in results.items():
        assert tries, f"{case}: it was never called"
        heard = {answer for one in tries for *_, answer in one["during"]}
        assert heard <= {"done", CORRUPT, FAILED} | CASES[case], case
        assert writers_told(tries) <= {"done"} | CASES[case], case
        assert {answer for one in tries for *_, answer in one["after"]} == {"done"}, case
        for one in tries:
            met = {answer for way, _, answer in one["during"] if way in {"by_write", "by_transaction"}}
            assert one["replaced"] >= bool(met & {UNKNOWN, FAILED}), f"{case}: the writer kept a broken connection"


def writers_told(tries: list[dict[str, Any]]) -> set[str]:
    return {
        answer for one in tries for way, _, answer in one["during"] if not way.startswith(("by_read", "by_checkpoint"))
    }


def titles_and_integrity(path: Path) -> tuple[set[str], list[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        titles = {title for (title,) in connection.execute("SELECT title FROM notes")}
        return titles, connection.execute("PRAGMA integrity_check").fetchall()


@requires.database_file
def test_whatever_call_to_the_disk_fails_every_answer_is_true(path: Path, shim: Path, tell: Teller) -> None:
    try_all(path, shim, MOST, tell)


@requires.database_file
@pytest.mark.full
@pytest.mark.timeout(900)
def test_whatever_call_of_many_fails_every_answer_is_true(path: Path, shim: Path, tell: Teller) -> None:
    try_all(path, shim, 100, tell)
