"""`scripts/bench queue`: our queue beside other queues over one SQLite file, in one interleaved run at full durability.

Every contender puts in and does the same number of jobs whose handler does nothing, so that what is measured is the
queue. `raw` is the floor: the plain driver, with a claim and a completion of 32 jobs in one transaction each.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from agent_system import DatabaseManager, EntityManager
from agent_system.jobs import JobContext, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

HANDLERS = 32
PRODUCERS = 64
FINISHED_STATEMENT = (
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :crowd)"
    " INSERT INTO queue (task_type, payload, status, due_at, ready_at, completed_at)"
    " SELECT 'other', '{}', CASE n % 2 WHEN 0 THEN 'completed' ELSE 'pending' END, NULL,"
    " CASE n % 2 WHEN 0 THEN NULL ELSE '2026-01-01 00\\:00\\:00.000000' END,"
    " CASE n % 2 WHEN 0 THEN '2026-01-01 00\\:00\\:00.000000' END FROM numbers"
)

Result = dict[str, float]
"""Jobs per second, by what was done."""


def measure_ours(folder: Path, jobs: int, crowd: int = 0) -> Result:
    """Measure our queue and worker.

    Args:
        crowd: So many other jobs are in the table, half of them waiting and half of them over.
    """
    return asyncio.run(_ours(folder / "ours.db", jobs, crowd))


async def _ours(path: Path, jobs: int, crowd: int) -> Result:
    async with DatabaseManager(path) as db:
        em = EntityManager(db)
        if crowd:
            await db.write(lambda executor: executor.execute(text(FINISHED_STATEMENT), {"crowd": crowd}))
        began = time.perf_counter()

        async def produce(count: int) -> None:
            for number in range(count):
                await em.queue.enqueue("nothing", {"n": number})

        await asyncio.gather(*(produce(jobs // PRODUCERS) for _ in range(PRODUCERS)))
        put_in = time.perf_counter() - began
        worker = Worker(concurrency=HANDLERS)
        done = 0

        @worker.handler("nothing")
        async def nothing(_context: JobContext) -> None:
            nonlocal done
            done += 1

        began = time.perf_counter()
        await worker.run(em, until_idle=True)
        did = time.perf_counter() - began
        assert done == jobs // PRODUCERS * PRODUCERS
        return {"enqueue": done / put_in, "claim and complete": done / did}


def measure_huey(folder: Path, jobs: int) -> Result:
    """Measure SqliteHuey with fsync; its consumer's threads do the jobs."""
    huey: Any = importlib.import_module("huey").SqliteHuey("bench", filename=str(folder / "huey.db"), fsync=True)
    results: list[int] = []

    @huey.task()  # type: ignore[untyped-decorator] # huey has no types
    def nothing(number: int) -> None:
        results.append(number)

    began = time.perf_counter()
    for number in range(jobs):
        nothing(number)
    put_in = time.perf_counter() - began

    def consume() -> None:
        while (task := huey.dequeue()) is not None:
            huey.execute(task)

    threads = [threading.Thread(target=consume) for _ in range(HANDLERS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    did = time.perf_counter() - began
    assert len(results) == jobs
    return {"enqueue": jobs / put_in, "claim and complete": jobs / did}


def measure_litequeue(folder: Path, jobs: int) -> Result:
    """Measure litequeue, with the journal mode and durability that ours has."""
    module: Any = importlib.import_module("litequeue")
    queue = module.LiteQueue(str(folder / "litequeue.db"))
    queue.conn.execute("PRAGMA journal_mode = WAL")
    queue.conn.execute("PRAGMA synchronous = FULL")
    began = time.perf_counter()
    for number in range(jobs):
        queue.put(json.dumps({"n": number}))
    put_in = time.perf_counter() - began
    began, done = time.perf_counter(), 0
    while (message := queue.pop()) is not None:
        queue.done(message.message_id)
        done += 1
    did = time.perf_counter() - began
    queue.close()
    assert done == jobs
    return {"enqueue": jobs / put_in, "claim and complete": jobs / did}


def measure_raw(folder: Path, jobs: int) -> Result:
    """Measure the plain driver: one insert a transaction, claims and completions of 32."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, payload TEXT, priority INTEGER, status TEXT)")
    connection.execute("CREATE INDEX ready ON jobs (priority, id) WHERE status = 'pending'")
    began = time.perf_counter()
    for start in range(0, jobs, PRODUCERS):
        connection.execute("BEGIN IMMEDIATE")
        for number in range(start, min(start + PRODUCERS, jobs)):
            connection.execute("INSERT INTO jobs (payload, priority, status) VALUES (?, 5, 'pending')", (str(number),))
        connection.execute("COMMIT")
    put_in = time.perf_counter() - began
    claim = (
        "UPDATE jobs SET status = 'running' WHERE id IN"
        f" (SELECT id FROM jobs WHERE status = 'pending' ORDER BY priority, id LIMIT {HANDLERS}) RETURNING id"
    )
    began, done = time.perf_counter(), 0
    while True:
        connection.execute("BEGIN IMMEDIATE")
        found = connection.execute(claim).fetchall()
        connection.execute("COMMIT")
        if not found:
            break
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("UPDATE jobs SET status = 'done' WHERE id = ?", found)
        connection.execute("COMMIT")
        done += len(found)
    did = time.perf_counter() - began
    connection.close()
    assert done == jobs
    return {"enqueue": jobs / put_in, "claim and complete": jobs / did}


CONTENDERS: dict[str, Callable[[Path, int], Result]] = {
    "raw": measure_raw,
    "ours": measure_ours,
    "huey": measure_huey,
    "litequeue": measure_litequeue,
}


def main(arguments: list[str]) -> int:
    """Measure in turn, several rounds, and print medians with the ratio of ours to each."""
    parser = argparse.ArgumentParser(prog="scripts/bench queue", description=__doc__)
    parser.add_argument("--jobs", type=int, default=6_400, help="so many jobs in each round")
    parser.add_argument("--rounds", type=int, default=3, help="so many rounds; the median counts")
    parser.add_argument("--crowd", type=int, default=0, help="ours again with so many other jobs in the table")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args(arguments)
    contenders = dict(CONTENDERS)
    if options.crowd:
        contenders[f"ours, {options.crowd:,} others"] = lambda folder, jobs: measure_ours(folder, jobs, options.crowd)
    rounds: dict[str, list[Result]] = {name: [] for name in contenders}
    for number in range(options.rounds):
        for name, measure in contenders.items():
            print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                rounds[name].append(measure(Path(folder), options.jobs))
    medians = {
        name: {figure: statistics.median(one[figure] for one in results) for figure in results[0]}
        for name, results in rounds.items()
    }
    print(f"{'jobs a second':<24}" + "".join(f"{figure:>22}{'ours is':>10}" for figure in medians["ours"]))
    for name, figures in medians.items():
        cells = (f"{value:>22,.0f}{medians['ours'][figure] / value:>9.2f}x" for figure, value in figures.items())
        print(f"{name:<24}" + "".join(cells))
    if options.json:
        options.json.write_text(json.dumps(medians, indent=1) + "\n")
    return 0
