"""Our queue beside other queues over one SQLite file, each in one process, at full durability.

Every contender puts in and does the same number of jobs whose handler does nothing, so that what is measured is the
queue; before that it puts in and does a few that nobody counts, so that what it does only once in a process (preparing
statements, opening connections) is in nobody's figures. `raw` is the floor: the plain driver, with a claim and a
completion of 32 jobs in one transaction each.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from agent_system import DatabaseManager, EntityManager
from agent_system.jobs import JobContext, Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["CONTENDERS", "Result"]

HANDLERS = 32
PRODUCERS = 64
WARM_UP = 4 * PRODUCERS

Result = dict[str, float]
"""Jobs per second, by what was done."""


def measure_ours(folder: Path, jobs: int) -> Result:
    """Measure our queue and worker."""
    return asyncio.run(_ours(folder / "ours.db", jobs))


async def _ours(path: Path, jobs: int) -> Result:
    async with DatabaseManager(path) as db:
        em = EntityManager(db)
        worker = Worker(concurrency=HANDLERS)
        done = 0

        async def produce(count: int) -> None:
            for number in range(count):
                await em.queue.enqueue("nothing", {"n": number})

        @worker.handler("nothing")
        async def nothing(_context: JobContext) -> None:
            nonlocal done
            done += 1

        async def measure(count: int) -> Result:
            nonlocal done
            done = 0
            began = time.perf_counter()
            await asyncio.gather(*(produce(count // PRODUCERS) for _ in range(PRODUCERS)))
            put_in = time.perf_counter() - began
            began = time.perf_counter()
            await worker.run(em, until_idle=True)
            did = time.perf_counter() - began
            assert done == count // PRODUCERS * PRODUCERS
            return {"enqueue": done / put_in, "claim and complete": done / did}

        await measure(WARM_UP)
        return await measure(jobs)


def measure_huey(folder: Path, jobs: int) -> Result:
    """Measure SqliteHuey with fsync; its consumer's threads do the jobs."""
    huey: Any = importlib.import_module("huey").SqliteHuey("bench", filename=str(folder / "huey.db"), fsync=True)
    results: list[int] = []

    @huey.task()  # type: ignore[untyped-decorator] # huey has no types
    def nothing(number: int) -> None:
        results.append(number)

    def consume() -> None:
        while (task := huey.dequeue()) is not None:
            huey.execute(task)

    def measure(count: int) -> Result:
        results.clear()
        began = time.perf_counter()
        for number in range(count):
            nothing(number)
        put_in = time.perf_counter() - began
        threads = [threading.Thread(target=consume) for _ in range(HANDLERS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        did = time.perf_counter() - began
        assert len(results) == count
        return {"enqueue": count / put_in, "claim and complete": count / did}

    measure(WARM_UP)
    return measure(jobs)


def measure_litequeue(folder: Path, jobs: int) -> Result:
    """Measure litequeue, with the journal mode and durability that ours has."""
    module: Any = importlib.import_module("litequeue")
    queue = module.LiteQueue(str(folder / "litequeue.db"))
    queue.conn.execute("PRAGMA journal_mode = WAL")
    queue.conn.execute("PRAGMA synchronous = FULL")

    def measure(count: int) -> Result:
        began = time.perf_counter()
        for number in range(count):
            queue.put(json.dumps({"n": number}))
        put_in = time.perf_counter() - began
        began, done = time.perf_counter(), 0
        while (message := queue.pop()) is not None:
            queue.done(message.message_id)
            done += 1
        did = time.perf_counter() - began
        assert done == count
        return {"enqueue": count / put_in, "claim and complete": count / did}

    measure(WARM_UP)
    # It becomes slower with every job that is over, so that with fewer it does better.
    figures = measure(jobs // 4)
    queue.close()
    return figures


def measure_raw(folder: Path, jobs: int) -> Result:
    """Measure the plain driver: one insert a transaction, claims and completions of 32."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, payload TEXT, priority INTEGER, status TEXT)")
    connection.execute("CREATE INDEX ready ON jobs (priority, id) WHERE status = 'pending'")
    claim = (
        "UPDATE jobs SET status = 'running' WHERE id IN"
        f" (SELECT id FROM jobs WHERE status = 'pending' ORDER BY priority, id LIMIT {HANDLERS}) RETURNING id"
    )

    def put(count: int) -> float:
        began = time.perf_counter()
        for start in range(0, count, PRODUCERS):
            connection.execute("BEGIN IMMEDIATE")
            for number in range(start, min(start + PRODUCERS, count)):
                row = (str(number),)
                connection.execute("INSERT INTO jobs (payload, priority, status) VALUES (?, 5, 'pending')", row)
            connection.execute("COMMIT")
        return time.perf_counter() - began

    def do() -> tuple[int, float]:
        began, done = time.perf_counter(), 0
        while True:
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute(claim).fetchall()
            connection.execute("COMMIT")
            if not found:
                return done, time.perf_counter() - began
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("UPDATE jobs SET status = 'done' WHERE id = ?", found)
            connection.execute("COMMIT")
            done += len(found)

    put(WARM_UP)
    do()
    put_in = put(jobs)
    done, did = do()
    connection.close()
    assert done == jobs
    return {"enqueue": jobs / put_in, "claim and complete": jobs / did}


CONTENDERS: dict[str, Callable[[Path, int], Result]] = {
    "raw": measure_raw,
    "ours": measure_ours,
    "huey": measure_huey,
    "litequeue": measure_litequeue,
}
"""Who puts in and does so many jobs in an empty folder."""
