"""Damaged files, and imports that were killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_system.errors import ImportFileError
from agent_system.importers.legacy import import_legacy
from agent_system.importers.legacy.tables import Loss, TableReader
from tests import requirements as requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.entity_manager import EntityManager

    MakeFile = Callable[..., Path]

ROOT = Path(__file__).parents[3]
THEN = "2025-06-01 10:00:00"
TABLES = (
    "CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT, description TEXT, created_at TIMESTAMP)",
    "CREATE TABLE hosts (id INTEGER PRIMARY KEY, name TEXT, base_url TEXT, created_at TIMESTAMP)",
    "CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT, host_id INTEGER, created_at TIMESTAMP)",
    """CREATE TABLE token_usage (id INTEGER PRIMARY KEY, timestamp TIMESTAMP, project_id INTEGER, model_id INTEGER,
       input_tokens INTEGER, output_tokens INTEGER, request_id TEXT, created_at TIMESTAMP)""",
)
PAGE_BYTES = 4096


def ledger(make_file: MakeFile, rows: int) -> Path:
    return make_file(
        *TABLES,
        projects=[(1, "p", None, THEN)],
        hosts=[(1, "h", None, THEN)],
        models=[(1, "m", 1, THEN)],
        token_usage=[(n, THEN, 1, 1, n, n, f"request-{n}-" + "x" * 80, THEN) for n in range(1, rows + 1)],
    )


def leaves(path: Path) -> list[int]:
    """Return the offsets of the pages that hold the rows of token_usage, in the order of the file."""
    content = path.read_bytes()
    starts = range(PAGE_BYTES, len(content), PAGE_BYTES)
    return [start for start in starts if content[start] == 0x0D and b"request-" in content[start : start + PAGE_BYTES]]


def spoil(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xee" * PAGE_BYTES)


async def test_rows_around_damaged_pages_are_brought_over(em: EntityManager, make_file: MakeFile) -> None:
    path = ledger(make_file, 400)
    pages = leaves(path)
    spoil(path, pages[2])
    spoil(path, pages[5])
    report = await import_legacy(em, path)
    table = report.tables[-1]
    assert not report.is_complete
    assert len(table.losses) == 2
    lost = sum((loss.last or 0) - loss.first + 1 for loss in table.losses)
    assert table.read == table.written == 400 - lost == await em.token_usage.count()
    assert 0 < lost < 100
    found = {row.input_tokens for row in await em.token_usage.find()}
    assert found == {n for n in range(1, 401) if not any(x.first <= n <= (x.last or 400) for x in table.losses)}


async def test_a_file_whose_end_is_missing_gives_what_it_has(em: EntityManager, make_file: MakeFile) -> None:
    path = ledger(make_file, 400)
    os.truncate(path, path.stat().st_size * 2 // 3)
    table = (await import_legacy(em, path)).tables[-1]
    assert 0 < table.written == table.read < 400
    assert table.losses


@requires.database_file
async def test_a_file_without_a_schema_is_refused(em: EntityManager, make_file: MakeFile) -> None:
    path = ledger(make_file, 5)
    spoil(path, 100)
    with pytest.raises(ImportFileError, match=r"schema cannot be read|belong to none|cannot be opened"):
        await import_legacy(em, path)


def test_rows_that_stand_in_the_wrong_order_end_some_time() -> None:
    class Cursor(list[tuple[int, str]]):
        def fetchall(self) -> list[tuple[int, str]]:
            return self

        def close(self) -> None:
            pass

    class Malformed:
        """Gives rowid 135 twice, as the databases of seed 003 do."""

        rows = ((1, "a"), (135, "b"), (3, "c"), (135, "d"), (140, "e"))

        def execute(self, _statement: str, parameters: tuple[int]) -> Cursor:
            return Cursor(row for row in self.rows if row[0] > parameters[0])

    reader = TableReader(Malformed(), "memories", ["content"])
    pages = [reader.page(2) for _ in range(5)]
    assert [number for page in pages for number, _ in page] == [1, 135, 140]
    assert reader.losses == []
    assert Loss(3, None).shown == "from 3"


@requires.database_file
async def test_a_database_in_wal_mode_is_read_with_its_log_and_left_as_it_is(
    em: EntityManager, make_file: MakeFile, tmp_path: Path
) -> None:
    path = ledger(make_file, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("INSERT INTO token_usage VALUES (9, ?, 1, 1, 5, 5, 'in the log', ?)", (THEN, THEN))
        # What a program that was killed leaves: closing the connection would take the log away.
        folder = tmp_path / "killed"
        folder.mkdir()
        for part in ("", "-wal"):
            (folder / f"old.db{part}").write_bytes(path.with_name(path.name + part).read_bytes())
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    folder.chmod(0o500)
    try:
        report = await import_legacy(em, folder / "old.db")
    finally:
        folder.chmod(0o700)
    assert (report.tables[-1].written, report.is_unchanged) == (4, True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


async def test_an_import_that_was_killed_goes_on_and_ends_the_same(
    em: EntityManager, migrated_url: str, make_file: MakeFile
) -> None:
    path = ledger(make_file, 2_600)
    program = f"""
import asyncio, os, signal, sys
from agent_system import DatabaseManager, EntityManager
from agent_system.importers.legacy import import_legacy

def advance(table, done, total):
    if done > 900:
        print("in the middle", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with DatabaseManager(sys.argv[1], auto_migrate=False) as db:
        await import_legacy(EntityManager(db), {str(path)!r}, progress=advance)

asyncio.run(main())
"""
    killed = subprocess.run(  # noqa: ASYNC221 (nothing else is to run)
        [sys.executable, "-c", program, migrated_url],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    begun = await em.token_usage.count()
    assert 900 <= begun < 2_600
    report = await import_legacy(em, path)
    assert (report.tables[-1].written, report.tables[-1].skipped) == (2_600 - begun, begun)
    rows = await em.token_usage.find()
    assert [row.input_tokens for row in rows] == list(range(1, 2_601))
    assert {row.attempt for row in rows} == {1}
    assert (await import_legacy(em, path)).total("written") == 0
