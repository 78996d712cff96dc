"""How fast jobs are done when a million wait and a million are over, beside a queue that holds no more than is done.

Both queues hold the same kind of jobs, of ten priorities in turn: what is claimed together lies apart in the table, and
jobs that were put in in the order in which they are done would be cheaper whatever else the queue holds.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

from sqlalchemy import text

from agent_system import DatabaseManager, EntityManager
from agent_system.jobs import JobContext, Worker

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fill_backlog", "least_waiting", "measure_backlog"]

HANDLERS = 32
BATCH = 50_000
CLAIMS = 1_000
# Handlers that have begun when the worker is stopped go on.
SPARE = 1_024
INSERT = (
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"
    " INSERT INTO queue (task_type, payload, priority, status, due_at, ready_at, completed_at) SELECT 'nothing', '{}',"
    " 1 + n % 10, :status, NULL, :ready_at, :completed_at FROM numbers"
)
MOMENT = "2026-01-01 00:00:00.000000"


async def fill_backlog(path: Path, waiting: int, over: int) -> None:
    """Make a queue in which so many jobs wait and so many are over."""
    async with DatabaseManager(path) as db:
        for status, count in (("pending", waiting), ("completed", over)):
            for start in range(0, count, BATCH):
                values = {
                    "count": min(BATCH, count - start),
                    "status": status,
                    "ready_at": MOMENT if status == "pending" else None,
                    "completed_at": None if status == "pending" else MOMENT,
                }
                await db.write(lambda executor, values=values: executor.execute(text(INSERT), values))  # type: ignore[misc] # mypy cannot tell
        await db.write(lambda executor: executor.execute(text("ANALYZE queue")))


def least_waiting(jobs: int) -> int:
    """So many have to wait before so many are measured."""
    return jobs + CLAIMS + SPARE


async def measure_backlog(path: Path, jobs: int) -> dict[str, float]:
    """Do so many jobs of a queue, the most urgent first, and then claim some one by one."""
    async with DatabaseManager(path) as db:
        em = EntityManager(db)
        rate = await _do(em, jobs)
        seconds = []
        for _ in range(CLAIMS):
            began = time.perf_counter()
            (job,) = await em.queue.claim(1, types=["nothing"])
            seconds.append(time.perf_counter() - began)
            await em.queue.complete(job)
    return {
        "claim and complete": rate,
        "claim p50 ms": statistics.median(seconds) * 1_000,
        "claim p99 ms": statistics.quantiles(seconds, n=100)[-1] * 1_000,
    }


async def _do(em: EntityManager, jobs: int) -> float:
    worker = Worker(concurrency=HANDLERS)
    done, began, ended = 0, 0.0, asyncio.Event()

    @worker.handler("nothing")
    async def nothing(_context: JobContext) -> None:
        nonlocal began, done
        began = began or time.perf_counter()
        done += 1
        if done == jobs:
            worker.stop()
            ended.set()

    running = asyncio.create_task(worker.run(em))
    await ended.wait()
    rate = jobs / (time.perf_counter() - began)
    await running
    return rate
