"""The worker: handlers side by side, and what becomes of their jobs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from agent_system.errors import CheckError, ConfigurationError, DatabaseBusyError, NotConnectedError
from agent_system.jobs import GiveUpError, JobContext, TryLaterError, Worker
from agent_system.managers.queue.retries import RetryPolicy
from agent_system.types import JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_system.entity_manager import EntityManager
    from agent_system.models import Effect, Job


@pytest.fixture
def em(entity_manager: EntityManager) -> EntityManager:
    entity_manager.queue.retry_policy = RetryPolicy(random=lambda: 0.0)
    return entity_manager


@pytest.fixture
def worker() -> Worker:
    return Worker(concurrency=8, lease_seconds=5, drain_seconds=5)


class Running:
    """A worker that runs while a test looks on."""

    def __init__(self, em: EntityManager, worker: Worker) -> None:
        self.em = em
        self.worker = worker
        self.task = asyncio.create_task(worker.run(em))

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(20), self.em.db.changes() as changes:
            mark = changes.mark()
            while not await condition():
                await changes.changed(mark, 0.02)
                mark = changes.mark()

    async def until_over(self, *jobs: Job) -> list[Job]:
        async def are_over() -> bool:
            found = await self.em.queue.get_many(job.id for job in jobs)
            return all(job.completed_at is not None for job in found.values())

        await self.until(are_over)
        return [await self.em.queue.require(job.id) for job in jobs]


@pytest.fixture
async def running(em: EntityManager, worker: Worker) -> AsyncIterator[Running]:
    running = Running(em, worker)
    await asyncio.sleep(0)
    yield running
    worker.stop()
    await running.task


async def test_handlers_do_the_jobs_of_their_types(em: EntityManager, worker: Worker) -> None:
    @worker.handler("double")
    async def double(context: JobContext) -> int:
        assert (context.task_type, context.attempt) == ("double", 1)
        return int(context.payload["n"]) * 2

    jobs = await em.queue.enqueue_many([{"task_type": "double", "payload": {"n": number}} for number in range(50)])
    other = await em.queue.enqueue("unknown")
    await worker.run(em, until_idle=True)
    done = await em.queue.get_many(job.id for job in jobs)
    assert [(job.status, job.result) for job in done.values()] == [(JobStatus.COMPLETED, n * 2) for n in range(50)]
    assert (await em.queue.require(other.id)).status is JobStatus.PENDING
    assert worker.running == []


async def test_a_waiting_worker_begins_a_job_at_once(em: EntityManager, worker: Worker, running: Running) -> None:
    @worker.handler("a")
    async def handle(context: JobContext) -> str:
        return context.payload

    first = await running.until_over(await em.queue.enqueue("a", "one"))
    second = await running.until_over(await em.queue.enqueue("a", "two", delay=0.05))
    assert [job.result for job in first + second] == ["one", "two"]


async def test_no_more_handlers_run_side_by_side_than_it_is_told(em: EntityManager) -> None:
    worker = Worker(concurrency=3)
    now, most = 0, 0

    @worker.handler("a")
    async def handle(_context: JobContext) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    await em.queue.enqueue_many([{"task_type": "a"}] * 30)
    await worker.run(em, until_idle=True)
    assert (most, await em.queue.count(status=JobStatus.COMPLETED)) == (3, 30)


async def test_a_handler_that_fails_is_tried_again_until_its_retries_are_used_up(
    em: EntityManager, worker: Worker
) -> None:
    attempts: list[int] = []

    @worker.handler("flaky")
    async def flaky(context: JobContext) -> str:
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise RuntimeError("not yet")
        return "at last"

    @worker.handler("hopeless")
    async def hopeless(_context: JobContext) -> None:
        raise RuntimeError("never")

    flaky_job = await em.queue.enqueue("flaky", max_retries=3)
    hopeless_job = await em.queue.enqueue("hopeless", max_retries=1)
    await worker.run(em, until_idle=True)
    done, dead = await em.queue.require(flaky_job.id), await em.queue.require(hopeless_job.id)
    assert (attempts, done.status, done.result) == ([1, 2, 3], JobStatus.COMPLETED, "at last")
    assert (dead.status, dead.retries, dead.error_message) == (JobStatus.FAILED, 1, "RuntimeError: never")


async def test_a_handler_says_what_becomes_of_its_job(em: EntityManager, worker: Worker) -> None:
    class Letter(BaseModel):
        to: str

    @worker.handler("give_up")
    async def give_up(_context: JobContext) -> None:
        raise GiveUpError("no such user")

    @worker.handler("later")
    async def later(_context: JobContext) -> None:
        raise TryLaterError("closed", delay_seconds=3_600)

    @worker.handler("letter")
    async def letter(context: JobContext) -> str:
        return context.payload.to

    @worker.handler("no_json")
    async def no_json(_context: JobContext) -> object:
        return object()

    for name in ("give_up", "later", "letter", "no_json"):
        await em.queue.enqueue(name, {"from": "ada"})
    em.queue.register_payload("letter", Letter)
    await worker.run(em, until_idle=True)
    jobs = {job.task_type: job for job in await em.queue.find()}
    assert {name: job.status for name, job in jobs.items()} == {
        "give_up": JobStatus.FAILED,
        "later": JobStatus.PENDING,
        "letter": JobStatus.FAILED,
        "no_json": JobStatus.FAILED,
    }
    assert jobs["give_up"].error_message == "GiveUpError: no such user"
    assert jobs["later"].scheduled_for is not None
    assert "payload.to" in (jobs["letter"].error_message or "")
    assert "result" in (jobs["no_json"].error_message or "")


async def test_a_handler_that_takes_too_long_is_stopped(em: EntityManager, worker: Worker) -> None:
    stopped: list[str] = []

    async def never(context: JobContext) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            stopped.append(context.task_type)

    worker.handler("a", timeout_seconds=0.01)(never)
    worker.handler("b")(never)
    jobs = [
        await em.queue.enqueue("a", max_retries=0),
        await em.queue.enqueue("b", max_retries=0, timeout_seconds=0.01),
    ]
    await worker.run(em, until_idle=True)
    assert sorted(stopped) == ["a", "b"]
    for job in jobs:
        found = await em.queue.require(job.id)
        assert (found.status, found.error_message) == (JobStatus.FAILED, "it took longer than 0.01 s")


@pytest.mark.usefixtures("running")
async def test_a_running_handler_is_told_that_its_job_is_cancelled(em: EntityManager, worker: Worker) -> None:
    begun, told = asyncio.Event(), asyncio.Event()

    @worker.handler("a")
    async def handle(_context: JobContext) -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            told.set()

    job = await em.queue.enqueue("a")
    await begun.wait()
    await em.queue.cancel(job.id, "changed my mind")
    async with asyncio.timeout(10):
        await told.wait()
    found = await em.queue.require(job.id)
    assert (found.status, found.error_message) == (JobStatus.CANCELLED, "changed my mind")


async def test_a_worker_that_has_no_slot_left_hears_of_cancelled_jobs_too(em: EntityManager) -> None:
    worker = Worker(concurrency=1)
    begun = asyncio.Event()

    @worker.handler("a")
    async def handle(_context: JobContext) -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    job = await em.queue.enqueue("a")
    running = Running(em, worker)
    await begun.wait()
    await em.queue.cancel(job.id)

    async def is_idle() -> bool:
        return not worker.running

    await running.until(is_idle)
    worker.stop()
    await running.task


async def test_a_handler_may_complete_its_job_with_what_it_writes(em: EntityManager, worker: Worker) -> None:
    @worker.handler("a")
    async def handle(context: JobContext) -> str:
        async with context.completing({"written": True}):
            await context.em.hosts.create({"name": f"host {context.id}"})
        return "not stored"

    job = await em.queue.enqueue("a")
    await worker.run(em, until_idle=True)
    assert ((await em.queue.require(job.id)).result, await em.hosts.count()) == ({"written": True}, 1)


async def test_what_a_handler_does_after_it_has_completed_its_job_is_not_stopped(em: EntityManager) -> None:
    worker = Worker(concurrency=1, lease_seconds=0.1, drain_seconds=5)
    after = 0

    @worker.handler("a")
    async def handle(context: JobContext) -> None:
        nonlocal after
        async with context.completing():
            """Nothing else is written."""
        # Several heartbeats, none of which finds the job.
        await asyncio.sleep(0.2)
        after += 1

    job = await em.queue.enqueue("a")
    await worker.run(em, until_idle=True)
    assert ((await em.queue.require(job.id)).status, after) == (JobStatus.COMPLETED, 1)


async def test_an_effect_is_had_once_by_all_attempts(em: EntityManager, worker: Worker) -> None:
    letters: list[str] = []

    async def send(effect: Effect) -> int:
        letters.append(effect.key)
        return len(letters)

    @worker.handler("a")
    async def handle(context: JobContext) -> int:
        receipt: int = await context.once("send", send)
        if context.attempt == 1:
            raise RuntimeError("after the letter")
        return receipt

    job = await em.queue.enqueue("a")
    await worker.run(em, until_idle=True)
    assert (len(letters), (await em.queue.require(job.id)).result) == (1, 1)


async def test_a_stopped_worker_finishes_what_runs(em: EntityManager, worker: Worker) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @worker.handler("a")
    async def handle(_context: JobContext) -> str:
        begun.set()
        await go_on.wait()
        return "finished"

    first = await em.queue.enqueue("a")
    task = asyncio.create_task(worker.run(em))
    await begun.wait()
    worker.stop()
    second = await em.queue.enqueue("a")
    go_on.set()
    await task
    assert (await em.queue.require(first.id)).result == "finished"
    assert (await em.queue.require(second.id)).status is JobStatus.PENDING


async def test_what_is_not_finished_by_the_deadline_is_handed_back(em: EntityManager) -> None:
    worker = Worker(drain_seconds=0.01)
    begun = asyncio.Event()

    @worker.handler("a")
    async def handle(_context: JobContext) -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    job = await em.queue.enqueue("a")
    task = asyncio.create_task(worker.run(em))
    await begun.wait()
    worker.stop()
    await task
    found = await em.queue.require(job.id)
    assert (found.status, found.retries) == (JobStatus.PENDING, 0)
    assert [one.id for one in await em.queue.claim(1)] == [job.id]


async def test_a_second_stop_waits_for_nobody(em: EntityManager, worker: Worker) -> None:
    begun = asyncio.Event()

    @worker.handler("a")
    async def handle(_context: JobContext) -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    await em.queue.enqueue("a")
    task = asyncio.create_task(worker.run(em))
    await begun.wait()
    worker.stop()
    worker.stop()
    await task
    assert await em.queue.count(status=JobStatus.PENDING) == 1


async def test_a_worker_takes_over_what_another_one_has_lost(em: EntityManager, worker: Worker) -> None:
    job = await em.queue.enqueue("a")
    await em.queue.claim(1, lease_seconds=0.05, worker="gone")

    @worker.handler("a")
    async def handle(context: JobContext) -> int:
        return context.attempt

    running = Running(em, worker)
    (done,) = await running.until_over(job)
    assert (done.result, done.retries) == (2, 1)
    worker.stop()
    await running.task


async def test_a_handler_that_keeps_the_loop_busy_keeps_its_job(em: EntityManager) -> None:
    worker = Worker(lease_seconds=0.3)

    @worker.handler("a")
    async def handle(context: JobContext) -> str:
        begun = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - begun < 1.2:
            pass
        return str(context.attempt)

    job = await em.queue.enqueue("a")
    await worker.run(em, until_idle=True)
    found = await em.queue.require(job.id)
    assert (found.status, found.result, found.lease_token) == (JobStatus.COMPLETED, "1", 1)


async def test_a_worker_waits_for_a_database_that_does_not_answer_and_says_so_once(
    em: EntityManager, worker: Worker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    @worker.handler("a")
    async def handle(_context: JobContext) -> None:
        monkeypatch.setattr(em.db, "write", refuse)

    refused = 0
    write = em.db.write

    async def refuse(_work: Any) -> Any:
        nonlocal refused
        refused += 1
        if refused > 3:
            monkeypatch.setattr(em.db, "write", write)
        raise DatabaseBusyError

    job = await em.queue.enqueue("a")
    with caplog.at_level(logging.WARNING, "agent_system.jobs"):
        await worker.run(em, until_idle=True)
    assert (await em.queue.require(job.id)).status is JobStatus.COMPLETED
    assert [record.message.split(",")[0] for record in caplog.records] == [
        "the database does not answer",
        "the database answers again",
    ]


async def test_a_completion_that_the_database_refuses_keeps_no_other_from_it(
    em: EntityManager, worker: Worker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = em.queue.exchange

    async def refuse(done: Any, n: int, **options: Any) -> Any:
        if any(one.result == '"bad"' for one in done):
            raise CheckError
        return await exchange(done, n, **options)

    @worker.handler("a")
    async def handle(context: JobContext) -> str:
        return str(context.payload)

    monkeypatch.setattr(em.queue, "exchange", refuse)
    jobs = await em.queue.enqueue_many([{"task_type": "a", "payload": word} for word in ("good", "bad", "good")])
    await worker.run(em, until_idle=True)
    found = await em.queue.get_many(job.id for job in jobs)
    assert [found[job.id].status == "completed" for job in jobs] == [True, False, True]
    assert [record.message for record in caplog.records] == [f"job {jobs[1].id} could not be reported"]


async def test_a_job_that_was_lost_while_it_ran_is_not_reported(
    em: EntityManager, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    @worker.handler("a")
    async def handle(context: JobContext) -> None:
        await em.queue.cancel(context.id)

    job = await em.queue.enqueue("a")
    await worker.run(em, until_idle=True)
    assert (await em.queue.require(job.id)).status is JobStatus.CANCELLED
    assert "it is cancelled" in caplog.text


async def test_a_worker_does_not_wait_for_a_database_that_was_closed(em: EntityManager, worker: Worker) -> None:
    @worker.handler("a")
    async def handle(context: JobContext) -> None:
        await context.em.db.disconnect()

    await em.queue.enqueue("a")
    with pytest.raises(NotConnectedError):
        await worker.run(em)


async def test_jobs_of_short_handlers_are_claimed_ahead_and_given_back(em: EntityManager) -> None:
    worker = Worker(concurrency=2, drain_seconds=5)
    done = 0

    @worker.handler("a")
    async def handle(_context: JobContext) -> None:
        nonlocal done
        done += 1
        if done == 50:
            worker.stop()

    await em.queue.enqueue_many([{"task_type": "a"}] * 100)
    await worker.run(em)
    assert worker.running == []
    found = await em.queue.find()
    assert sum(job.status is JobStatus.COMPLETED for job in found) == done
    assert {(job.status, job.retries) for job in found} == {(JobStatus.COMPLETED, 0), (JobStatus.PENDING, 0)}


async def test_many_short_jobs_are_each_done_once(em: EntityManager) -> None:
    worker = Worker(concurrency=8)
    done: list[int] = []

    @worker.handler("short")
    async def short(context: JobContext) -> None:
        done.append(context.job.id)

    jobs = await em.queue.enqueue_many([{"task_type": "short"}] * 600)
    await worker.run(em, until_idle=True)
    assert sorted(done) == [job.id for job in jobs]
    assert await em.queue.count(status=JobStatus.COMPLETED, lease_token=1) == 600


def test_two_handlers_of_one_type_are_refused(worker: Worker) -> None:
    async def handle(_context: JobContext) -> None:
        """Do nothing."""

    worker.handler("a")(handle)
    with pytest.raises(ConfigurationError, match="two handlers"):
        worker.handler("a")(handle)
    assert worker.types == ("a",)
