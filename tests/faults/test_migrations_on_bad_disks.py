"""A migration meets a full or a broken disk: it says so, the old schema and rows are there, and the next one works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.engine import make_url

from agent_system import errors
from agent_system.database.migrations import head_revision, run_migrations
from tests import requirements as requires
from tests.faults.shim import run_program
from tests.migration.rows import insert_rows
from tests.migration.schema import connected

if TYPE_CHECKING:
    from tests.faults.report import Teller

# Processes are started and ended here: on a machine that is busy with other tests too it takes its time.
pytestmark = pytest.mark.timeout(240)

OLD = f"{int(head_revision()) - 3:04}"
# From which call on, of which kind to which file, every one fails.
CASES = [
    ("WRITE", "WAL", "ENOSPC", 10),
    ("WRITE", "WAL", "EIO", 2),
    ("SYNC", "WAL", "EIO", 1),
    ("WRITE", "DATABASE", "ENOSPC", 2),
]
UNKNOWN = errors.OutcomeUnknownError.__name__


@requires.database_file
async def test_a_migration_on_a_bad_disk_changes_all_or_nothing(
    migrated_sqlite_url: str, shim: Path, tell: Teller
) -> None:
    async with connected(migrated_sqlite_url) as connection:
        await connection.run_sync(insert_rows)
    await run_migrations(migrated_sqlite_url, OLD)
    old = Path(str(make_url(migrated_sqlite_url).database))
    path = old.with_name("migrated.db")
    results = json.loads(run_program("migrates_on_a_bad_disk", old, path, json.dumps(CASES), shim=shim, database=path))

    spoilt = [result for result in results if result["answer"] not in {"done", UNKNOWN} and not result["same"]]
    tell("migration on a full or broken disk", trials=len(results), lost=len(spoilt))
    for case, result in zip(CASES, results, strict=True):
        assert result["fired"], case
        assert result["afterwards"] == "done", case
    assert not spoilt
    assert {result["answer"] for result in results} <= {
        "done",
        UNKNOWN,
        errors.DiskFullError.__name__,
        errors.MigrationError.__name__,
        errors.DatabaseCorruptError.__name__,
    }
