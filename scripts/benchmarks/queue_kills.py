"""`scripts/bench kills`: workers are killed again and again while they do jobs that each write a row.

At the end each job is done, and each has written its row once: no more, no less.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from agent_system import DatabaseManager, EntityManager
from agent_system.jobs import JobContext, Worker
from agent_system.jobs.reporter import Patience
from agent_system.models import metadata
from agent_system.types import JobStatus
from scripts.benchmarks.servers import postgres_server

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

    from agent_system.database.executor import Executor

__all__ = ["Survived", "survive"]

LEASE_SECONDS = 1.0
HANDLERS = 16
BATCH = 1_000
LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Survived:
    """What came of it."""

    jobs: int
    """So many were put in."""
    completed: int
    """So many are done."""
    rows: int
    """So many rows were written."""
    doubled: int
    """So many jobs have written more than one."""
    kills: int
    """So many workers were killed, each while it had jobs."""
    begun_again: int
    """So many jobs were begun more than once."""
    seconds: float
    """How long it took."""

    @property
    def is_flawless(self) -> bool:
        """Whether each job is done and has written one row."""
        return self.completed == self.rows == self.jobs and not self.doubled


class _Process:
    """A worker process, and how many jobs it has begun."""

    def __init__(self, process: ForkServerProcess, heard: Connection, moved: asyncio.Event) -> None:
        self._process = process
        self._heard = heard
        self._moved = moved
        self.begun = 0
        asyncio.get_running_loop().add_reader(heard.fileno(), self._hear)

    @classmethod
    async def start(cls, url: str, moved: asyncio.Event) -> _Process:
        # Forked off a process that has imported everything: a worker is there in milliseconds instead of two seconds.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([_work.__module__])
        heard, said = context.Pipe()
        process = context.Process(target=_be_worker, args=(url, said), daemon=True)
        await asyncio.to_thread(process.start)
        said.close()
        await asyncio.to_thread(heard.recv)
        return cls(process, heard, moved)

    def _hear(self) -> None:
        try:
            while self._heard.poll():
                self._heard.recv()
                self.begun += 1
        except (EOFError, ConnectionResetError):
            asyncio.get_running_loop().remove_reader(self._heard.fileno())
        self._moved.set()

    async def kill(self) -> None:
        """End it as the machine would."""
        self._process.kill()
        await asyncio.to_thread(self._process.join)
        asyncio.get_running_loop().remove_reader(self._heard.fileno())
        self._heard.close()


async def survive(url: str, *, jobs: int, kills: int, processes: int = 4, seed: int = 0) -> Survived:
    """Let workers do jobs, and kill them, one at a random moment after the other; a new one takes its place.

    Args:
        url: A database with the newest schema, and without jobs.
        jobs: So many jobs; each writes an event in the transaction that completes it.
        kills: So many times a worker is killed, spread over the work.
        processes: So many workers at a time.
        seed: Of the choice of the moments and victims.
    """
    chance, began = random.Random(seed), time.monotonic()
    async with DatabaseManager(url, auto_migrate=False) as db:
        em = EntityManager(db)
        moved = asyncio.Event()
        workers = [await _Process.start(url, moved) for _ in range(processes)]
        shares = [jobs // (kills + 1)] * kills
        try:
            for share in shares:
                before = [worker.begun for worker in workers]
                await _put_in(em, share)
                wanted = chance.randint(1, max(1, share // 2))
                while sum(worker.begun for worker in workers) - sum(before) < wanted:
                    moved.clear()
                    await moved.wait()
                busy = [place for place, worker in enumerate(workers) if worker.begun > before[place]]
                victim = chance.choice(busy)
                await workers[victim].kill()
                workers[victim] = await _Process.start(url, moved)
            await _put_in(em, jobs - sum(shares))
            await _until_done(em, jobs)
        finally:
            for worker in workers:
                await worker.kill()
        return await _look(em, jobs, kills, time.monotonic() - began)


async def _put_in(em: EntityManager, jobs: int) -> None:
    for start in range(0, jobs, BATCH):
        count = min(BATCH, jobs - start)
        # A job that is lost is begun again, and here it may be lost often.
        rows = [{"task_type": "write", "max_retries": 1_000}] * count
        # The workers write all the time, and on SQLite one has the lock.
        await Patience().until_done(partial(em.queue.enqueue_many, rows))


async def _until_done(em: EntityManager, jobs: int) -> None:
    async with em.db.changes() as changes:
        while (await em.queue.stats()).by_status[JobStatus.COMPLETED] < jobs:
            await changes.changed(changes.mark(), LOOK_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)


async def _look(em: EntityManager, jobs: int, kills: int, seconds: float) -> Survived:
    queue, events = metadata.tables["queue"].c, metadata.tables["events"].c
    written = events.event_type == "job.done"

    def look(executor: Executor) -> tuple[int, int, int, int]:
        completed = select(func.count(queue.id)).where(queue.status == JobStatus.COMPLETED)
        again = select(func.count(queue.id)).where(queue.retries > 0)
        rows = select(func.count(events.id)).where(written)
        twice = select(events.entity_id).where(written).group_by(events.entity_id).having(func.count() > 1)
        return (
            executor.execute(completed).scalar_one(),
            executor.execute(again).scalar_one(),
            executor.execute(rows).scalar_one(),
            len(executor.execute(twice).all()),
        )

    completed, again, rows, doubled = await em.db.read(look)
    return Survived(
        jobs=jobs,
        completed=completed,
        rows=rows,
        doubled=doubled,
        kills=kills,
        begun_again=again,
        seconds=round(seconds, 1),
    )


def _be_worker(url: str, said: Connection) -> None:
    asyncio.run(_work(url, said))


async def _work(url: str, said: Connection) -> None:
    """Be one of the workers."""
    worker = Worker(concurrency=HANDLERS, lease_seconds=LEASE_SECONDS)

    @worker.handler("write")
    async def write(context: JobContext) -> None:
        said.send(context.id)
        event = {"event_type": "job.done", "entity_type": "job", "entity_id": str(context.id)}
        await asyncio.sleep(context.id % 20 / 1_000)
        async with context.completing():
            await context.em.events.create(event)

    async with DatabaseManager(url, auto_migrate=False) as db:
        # Nobody writes to it: it ends when whoever started this process has ended, in whatever way.
        asyncio.get_running_loop().add_reader(said.fileno(), worker.stop)
        said.send("ready")
        await worker.run(EntityManager(db))


async def _run(options: argparse.Namespace) -> bool:
    is_flawless = True
    with ExitStack() as stack:
        for engine in options.engines.split(","):
            if engine == "sqlite":
                url = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "jobs.db")
            else:
                url = await stack.enter_context(postgres_server()).database()
            async with DatabaseManager(url):
                """Bring the schema to head."""
            survived = await survive(url, jobs=options.jobs, kills=options.kills, seed=options.seed)
            is_flawless = is_flawless and survived.is_flawless
            print(engine, "flawless" if survived.is_flawless else "NOT FLAWLESS", asdict(survived), flush=True)
    return is_flawless


def main(arguments: list[str]) -> int:
    """Run it on both engines; 1 when a job was lost or had its effect twice."""
    parser = argparse.ArgumentParser(prog="scripts/bench kills", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000, help="so many jobs (20,000)")
    parser.add_argument("--kills", type=int, default=50, help="so many kills among 4 workers (50)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of moments and victims")
    parser.add_argument("--engines", default="sqlite,postgresql", help="sqlite,postgresql")
    return 0 if asyncio.run(_run(parser.parse_args(arguments))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
