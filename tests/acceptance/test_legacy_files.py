"""The databases of the five systems, as their own code has made them, come over to the row, on both engines."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_system.doctor import Severity, examine
from agent_system.importers.legacy import import_legacy
from agent_system.models import metadata

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy import FileReport

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("AGENT_SYSTEM_LEGACY_DATA") or ROOT.parent / "shared" / "data" / "legacy")
FILES = sorted(FOLDER.glob("*.db"))
SETTINGS = {"library", "permissions"}


def rows_of(path: Path) -> dict[str, int]:
    """Count the rows of every table of a copy, but for those that SQLite keeps for itself."""
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        wanted = [name for name in names if not name.startswith("sqlite_") and "_fts" not in name]
        return {name: connection.execute("SELECT count(*) FROM {}".format(name)).fetchone()[0] for name in wanted}  # noqa: UP032


def rows_read(report: FileReport) -> dict[str, int]:
    """Count the rows that were read of each table there; items of their columns are counted by themselves."""
    whole = {table.table: table.read for table in report.tables if "." not in table.table}
    parts: dict[str, int] = {}
    for table in report.tables:
        name, _, part = table.table.partition(".")
        if part and name not in whole:
            parts[name] = parts.get(name, 0) + table.read
    return whole | parts


async def count_all(em: EntityManager) -> dict[str, int]:
    return {
        table.name: len(await em.db.read(lambda executor, table=table: executor.execute(table.select()).all()))
        for table in metadata.sorted_tables
    }


@pytest.mark.skipif(not FILES, reason="the old databases are not part of the project")
async def test_all_of_them_come_over_to_the_row_into_one_database(em: EntityManager, tmp_path: Path) -> None:
    before = {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in FILES}
    beside = sorted(FOLDER.iterdir())
    reports = [await import_legacy(em, path) for path in FILES]
    stored = await count_all(em)
    for path, report in zip(FILES, reports, strict=True):
        copy = shutil.copyfile(path, tmp_path / path.name)
        read, there = rows_read(report), rows_of(copy)
        assert report.is_unchanged
        assert report.is_reconciled
        assert not any(table.losses for table in report.tables)
        assert {name: there[name] for name in read} == read
        assert there.keys() - read.keys() == {name for name in report.left_out if "_fts" not in name}
        assert all(table.reasons.get("rejected") for table in report.tables if table.rejected)

    again = [await import_legacy(em, path) for path in FILES]
    assert [(report.total("written"), report.total("merged")) for report in again] == [(0, 0)] * len(FILES)
    assert [report.total("rejected") for report in again] == [report.total("rejected") for report in reports]
    assert await count_all(em) == stored

    found = [each for each in (await examine(em.db)).findings if each.check not in SETTINGS]
    assert [each.message for each in found if each.severity is not Severity.INFO] == []
    assert {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in FILES} == before
    assert sorted(FOLDER.iterdir()) == beside
