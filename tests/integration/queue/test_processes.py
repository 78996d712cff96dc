"""Workers in processes of their own: each job is done once, whoever is killed when."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.types import JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_system.entity_manager import EntityManager

PROGRAM = Path(__file__).with_name("programs") / "works.py"
ROOT = Path(__file__).parents[3]


class WorkerProcess:
    """A running worker; it says what it does, one line at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, url: str, **options: Any) -> WorkerProcess:
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-W", "error", str(PROGRAM), url, json.dumps(options)]
        return cls(await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=ROOT))

    async def hear(self, word: str) -> Any:
        """Wait for the next line with this word."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            if word in said:
                return said[word]
        assert self.process.stderr is not None
        raise AssertionError((await self.process.stderr.read()).decode())

    async def end(self) -> int:
        """Wait until it has ended."""
        _, errors = await self.process.communicate()
        assert self.process.returncode == 0, errors.decode()
        return 0

    async def kill(self) -> None:
        """End it as the machine would."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


@pytest.fixture
async def start(migrated_url: str) -> AsyncIterator[Any]:
    """Return what starts a worker on the database of the test."""
    started: list[WorkerProcess] = []

    async def begin(**options: Any) -> WorkerProcess:
        worker = await WorkerProcess.start(migrated_url, **options)
        started.append(worker)
        await worker.hear("ready")
        return worker

    yield begin
    for worker in started:
        await worker.kill()


async def until_empty(em: EntityManager) -> None:
    async with asyncio.timeout(50), em.db.changes() as changes:
        while (await em.queue.stats()).by_status[JobStatus.COMPLETED] < await em.queue.count():
            await changes.changed(changes.mark(), 0.2)


async def test_two_processes_do_a_thousand_jobs_each_exactly_once(entity_manager: EntityManager, start: Any) -> None:
    em = entity_manager
    await em.queue.enqueue_many([{"task_type": "plain"}] * 2_000)
    workers = [await start(concurrency=32, until_idle=True) for _ in range(2)]
    outputs = await asyncio.gather(*(worker.process.communicate() for worker in workers))
    said = [json.loads(line) for output, _ in outputs for line in output.splitlines()]
    begun = [words["begun"] for words in said if "begun" in words]
    assert len(begun) == len(set(begun)) == 2_000
    assert await em.queue.count(status=JobStatus.COMPLETED, retries=0, lease_token=1) == 2_000


async def test_another_worker_begins_the_job_of_one_that_was_killed(entity_manager: EntityManager, start: Any) -> None:
    em = entity_manager
    job = await em.queue.enqueue("wait", 30)
    first = await start(lease_seconds=1)
    assert await first.hear("begun") == job.id
    second = await start(lease_seconds=1)
    await first.kill()
    killed = time.monotonic()
    assert await second.hear("begun") == job.id
    # A lease and a second, and the time that a busy machine takes.
    assert time.monotonic() - killed < 1 + 1 + 3


async def test_an_idle_worker_of_another_process_begins_a_job_at_once(
    entity_manager: EntityManager, start: Any
) -> None:
    em = entity_manager
    worker = await start(poll_seconds=3_600)
    for _ in range(5):
        job = await em.queue.enqueue("write")
        async with asyncio.timeout(20):
            assert await worker.hear("begun") == job.id
    await until_empty(em)


async def test_sigterm_lets_a_handler_finish(entity_manager: EntityManager, start: Any) -> None:
    em = entity_manager
    job = await em.queue.enqueue("wait", 0.3)
    worker = await start()
    await worker.hear("begun")
    worker.process.send_signal(signal.SIGTERM)
    await worker.end()
    assert (await em.queue.require(job.id)).result == "waited"


async def test_sigterm_hands_back_what_does_not_finish(entity_manager: EntityManager, start: Any) -> None:
    em = entity_manager
    job = await em.queue.enqueue("wait", 3_600)
    worker = await start(drain_seconds=0.1)
    await worker.hear("begun")
    worker.process.send_signal(signal.SIGTERM)
    await worker.end()
    found = await em.queue.require(job.id)
    assert (found.status, found.retries) == (JobStatus.PENDING, 0)


async def test_a_job_that_is_cancelled_here_is_stopped_there(entity_manager: EntityManager, start: Any) -> None:
    em = entity_manager
    jobs = await em.queue.enqueue_many([{"task_type": "wait", "payload": 3_600}] * 20)
    worker = await start(concurrency=20, poll_seconds=3_600, until_idle=True)
    for _ in jobs:
        await worker.hear("begun")
    await asyncio.gather(*(em.queue.cancel(job.id) for job in jobs))
    async with asyncio.timeout(20):
        await worker.hear("ended")
    assert await em.queue.count(status=JobStatus.CANCELLED) == 20
