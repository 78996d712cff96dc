"""Bad days of workers: a database that is busy, full or gone, and handlers that do not end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system import DatabaseManager, DatabaseSettings, EntityManager
from agent_system.jobs import JobContext, Worker, shift
from agent_system.managers.queue.retries import RetryPolicy
from agent_system.types import JobStatus
from tests import requirements as requires

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONG = 30
BUSY_SECONDS = 0.05


@pytest.fixture
async def em(migrated_url: str) -> AsyncIterator[EntityManager]:
    """Return a facade that waits for a lock for a moment only, where 30 s are usual."""
    settings = DatabaseSettings(lock_timeout_seconds=BUSY_SECONDS, busy_timeout_ms=1)
    async with DatabaseManager(migrated_url, settings=settings, auto_migrate=False) as db:
        em = EntityManager(db)
        em.queue.retry_policy = RetryPolicy(random=lambda: 0.0)
        yield em


class Handled:
    """A worker whose handler waits until it may end."""

    def __init__(self, em: EntityManager, result: str = "done") -> None:
        self.worker = Worker(concurrency=2, poll_seconds=0.05, drain_seconds=LONG)
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()

        @self.worker.handler("a")
        async def handle(_context: JobContext) -> str:
            self.begun.set()
            await self.may_end.wait()
            return result

        self.task = asyncio.create_task(self.worker.run(em, until_idle=True))

    async def end(self) -> None:
        async with asyncio.timeout(LONG):
            await self.task


async def until_logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    async with asyncio.timeout(LONG):
        while words not in caplog.text:  # noqa: ASYNC110 (a log tells nobody)
            await asyncio.sleep(0.01)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message.split(",")[0] for record in caplog.records if record.name == "agent_system.jobs"]


WORDS = ["the database does not answer", "the database answers again"]


@requires.one_writer
async def test_a_worker_waits_for_a_file_that_another_process_has_locked(
    em: EntityManager, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = await em.queue.enqueue_many([{"task_type": "a"}] * 3)
    handled = Handled(em)
    await handled.begun.wait()
    with caplog.at_level(logging.WARNING, "agent_system.jobs"):
        async with em.db.another() as other, other.transaction():
            handled.may_end.set()
            await until_logged(caplog, WORDS[0])
            # Several of its own waits, all of which end in vain.
            await asyncio.sleep(4 * BUSY_SECONDS)
        await handled.end()
    assert said(caplog) == WORDS
    found = await em.queue.get_many(job.id for job in jobs)
    assert [(job.status, job.lease_token) for job in found.values()] == [(JobStatus.COMPLETED, 1)] * 3


@requires.page_limit
async def test_a_worker_waits_for_a_disk_that_is_full(em: EntityManager, caplog: pytest.LogCaptureFixture) -> None:
    job = await em.queue.enqueue("a")
    handled = Handled(em, "x" * 1_000_000)
    await handled.begun.wait()

    def limit(pages: str) -> Any:
        return lambda executor: executor.execute(text(f"PRAGMA max_page_count = {pages}")).scalar()

    pages = await em.db.read(lambda executor: executor.execute(text("PRAGMA page_count")).scalar_one())
    await em.db.write(limit(str(pages + 3)))
    with caplog.at_level(logging.WARNING, "agent_system.jobs"):
        handled.may_end.set()
        await until_logged(caplog, WORDS[0])
        await em.db.write(limit("1000000"))
        await handled.end()
    assert said(caplog) == WORDS
    found = await em.queue.require(job.id)
    assert (found.status, found.lease_token, len(found.result)) == (JobStatus.COMPLETED, 1, 1_000_000)


@requires.server_connection
async def test_a_worker_goes_on_when_all_its_connections_were_ended(
    em: EntityManager, database: DatabaseManager
) -> None:
    job = await em.queue.enqueue("a")
    handled = Handled(em)
    await handled.begun.wait()
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    await database.write(lambda executor: executor.execute(text(end)).all())
    handled.may_end.set()
    await handled.end()
    found = await em.queue.require(job.id)
    assert (found.status, found.lease_token) == (JobStatus.COMPLETED, 1)


async def test_a_handler_that_never_ends_keeps_no_worker_from_ending(
    em: EntityManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shift, "HAND_BACK_SECONDS", 0.05)
    worker, release = Worker(drain_seconds=0.05, lease_seconds=5), asyncio.Event()
    stuck: list[asyncio.Task[Any] | None] = []

    @worker.handler("deaf")
    async def deaf(_context: JobContext) -> None:
        stuck.append(asyncio.current_task())
        worker.stop()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                """It listens to nobody."""

    job = await em.queue.enqueue("deaf")
    async with asyncio.timeout(LONG):
        await worker.run(em)
    assert f"deaf {job.id} does not stop" in caplog.text
    # Its lease runs out, and then another worker has it.
    assert (await em.queue.require(job.id)).status is JobStatus.IN_PROGRESS
    release.set()
    await asyncio.gather(*(task for task in stuck if task is not None), return_exceptions=True)
