"""Promises that a worker keeps, from the first to the last of a graph."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_system.jobs import GiveUpError, JobContext, Worker, keeps_promises, promises
from agent_system.managers.queue.retries import RetryPolicy
from agent_system.types import JobStatus, PromiseStatus

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from agent_system.models import Promise


@pytest.fixture
def em(entity_manager: EntityManager) -> EntityManager:
    entity_manager.queue.retry_policy = RetryPolicy(random=lambda: 0.0)
    return entity_manager


async def test_a_worker_keeps_a_graph_of_promises_in_its_order(em: EntityManager) -> None:
    worker, order = Worker(), list[str]()

    @keeps_promises(worker, "search")
    async def search(_context: JobContext, promise: Promise) -> str:
        order.append(promise.task_description)
        return f"found {promise.task_description}"

    @keeps_promises(worker, "analysis")
    async def analyse(context: JobContext, promise: Promise) -> None:
        if context.attempt < 3:
            message = "not yet"
            raise RuntimeError(message)
        order.append(promise.task_description)

    made = await em.promises.make_dependent(
        1,
        1,
        {
            "c": {"task_description": "c", "task_type": "search", "depends_on": ["b"]},
            "b": {"task_description": "b", "task_type": "analysis", "depends_on": ["a"]},
            "a": {"task_description": "a", "task_type": "search"},
        },
    )
    await worker.run(em, until_idle=True)
    assert order == ["a", "b", "c"]
    assert (await em.promises.require(made["c"].id)).result_summary == "found c"
    assert await em.promises.count(status=PromiseStatus.COMPLETED) == 3
    assert await em.queue.count(status=JobStatus.COMPLETED) == 3


@pytest.mark.parametrize("error", [RuntimeError, GiveUpError])
async def test_what_a_worker_cannot_keep_fails_with_what_waits_for_it(
    em: EntityManager, error: type[Exception]
) -> None:
    worker, attempts = Worker(), list[int]()

    @keeps_promises(worker, "code")
    async def code(context: JobContext, _promise: Promise) -> None:
        attempts.append(context.attempt)
        message = "no compiler"
        raise error(message)

    made = await em.promises.make(1, 1, "write it")
    child = await em.promises.make(1, 1, "ship it", depends_on=[made.id])
    await worker.run(em, until_idle=True)
    assert attempts == ([1] if error is GiveUpError else [1, 2, 3, 4])
    failed = await em.promises.require(made.id)
    assert (failed.status, failed.error_message) == (PromiseStatus.FAILED, f"{error.__name__}: no compiler")
    assert (await em.promises.require(child.id)).status is PromiseStatus.FAILED
    assert await em.queue.count(status=JobStatus.FAILED) == 1


async def test_a_worker_takes_up_what_was_left_lying(em: EntityManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "RESUME_SECONDS", 0.01)
    worker, done = Worker(), list[str]()

    @keeps_promises(worker, "code")
    async def code(_context: JobContext, promise: Promise) -> None:
        done.append(promise.task_description)
        if promise.task_description == "before":
            await em.promises.create({**new, "task_description": "meanwhile"})
        elif promise.task_description == "meanwhile":
            worker.stop()

    # As another system would write it: nobody has put a job into the queue.
    new = {"chat_id": 1, "message_id": 1, "task_type": "code"}
    await em.promises.create({**new, "task_description": "before"})
    crashed = await em.promises.make(1, 1, "crashed")
    (job,) = await em.queue.claim()
    await em.promises.start(crashed.id, job=job)
    await em.queue.fail(job, "the last attempt was killed", retry=False)
    by_hand = await em.promises.create({**new, "task_description": "by hand"})
    await em.promises.start(by_hand.id)
    async with asyncio.timeout(30):
        await worker.run(em)
    assert done == ["before", "meanwhile"]
    assert (await em.promises.require(crashed.id)).status is PromiseStatus.FAILED
    assert (await em.promises.require(by_hand.id)).status is PromiseStatus.IN_PROGRESS


async def test_a_promise_that_was_taken_back_is_not_begun(em: EntityManager) -> None:
    worker = Worker()

    @keeps_promises(worker, "code")
    async def code(_context: JobContext, _promise: Promise) -> None:
        pytest.fail("it was begun")

    made = await em.promises.make(1, 1, "write it")
    assert made.job_id is not None
    await em.promises.cancel(made.id)
    await em.queue.retry(made.job_id)
    await worker.run(em, until_idle=True)
    assert (await em.promises.require(made.id)).status is PromiseStatus.CANCELLED
    assert (await em.queue.require(made.job_id)).status is JobStatus.FAILED
