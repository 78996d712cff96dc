"""Imports of large files: how long they take, and that memory does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_system.importers.legacy import import_legacy
from tests import requirements as requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.entity_manager import EntityManager

    MakeFile = Callable[..., Path]

ROOT = Path(__file__).parents[3]
THEN = "2025-06-01 10:00:00"
PROMISES = """CREATE TABLE promises (id INTEGER PRIMARY KEY, chat_id INTEGER, message_id INTEGER, task_description TEXT,
  status TEXT, created_at TIMESTAMP)"""
LEDGER = (
    "CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT, description TEXT, created_at TIMESTAMP)",
    "CREATE TABLE hosts (id INTEGER PRIMARY KEY, name TEXT, base_url TEXT, created_at TIMESTAMP)",
    "CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT, host_id INTEGER, created_at TIMESTAMP)",
    """CREATE TABLE token_usage (id INTEGER PRIMARY KEY, timestamp TIMESTAMP, project_id INTEGER, model_id INTEGER,
       input_tokens INTEGER, output_tokens INTEGER, total_tokens INTEGER, cost_usd REAL, request_id TEXT, user_id TEXT,
       created_at TIMESTAMP)""",
)
MEGABYTE = 1 << 20
PROGRAM = """
import asyncio, json, resource, sys
from agent_system import DatabaseManager, EntityManager
from agent_system.importers.legacy import import_legacy

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

async def main():
    async with DatabaseManager(sys.argv[1], auto_migrate=False) as db:
        em = EntityManager(db)
        await import_legacy(em, sys.argv[2])
        before = peak()
        report = await import_legacy(em, sys.argv[3])
    print(json.dumps({"written": report.total("written"), "grown": peak() - before}))

asyncio.run(main())
"""


@pytest.mark.full
@requires.database_file
def test_memory_does_not_grow_with_the_file(migrated_url: str, make_file: MakeFile) -> None:
    small = make_file(
        PROMISES, name="small.db", promises=[(n, 1, n, "x" * 10_000, "pending", THEN) for n in range(2_000)]
    )
    rows = ((n, 2, n, "y" * 100_000, "pending", THEN) for n in range(3_000))
    large = make_file(PROMISES, name="large.db", promises=rows)
    assert large.stat().st_size > 280 * MEGABYTE
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, migrated_url, small, large],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    outcome = json.loads(done.stdout)
    assert outcome["written"] == 3_000
    # The caches of SQLite (40 MiB for the target) and a few pages of 4 MiB.
    assert outcome["grown"] < 100 * MEGABYTE


@pytest.mark.full
async def test_a_hundred_thousand_rows_are_imported_quickly(em: EntityManager, make_file: MakeFile) -> None:
    calls = (
        (n, THEN, 1, 1, n % 5_000, n % 900, n % 5_000 + n % 900, 0.001 * (n % 100), f"request-{n}", f"u{n % 50}", THEN)
        for n in range(1, 100_001)
    )
    path = make_file(
        *LEDGER,
        projects=[(1, "p", None, THEN)],
        hosts=[(1, "h", None, THEN)],
        models=[(1, "m", 1, THEN)],
        token_usage=calls,
    )
    begun = time.process_time()
    report = await import_legacy(em, path)
    assert report.total("written") == 100_003
    # Of this process alone, however busy the machine is; the figure to beat stands in the benchmarks.
    assert time.process_time() - begun < 15
