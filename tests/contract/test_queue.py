"""The queue: what goes in, who gets it, and what becomes of it."""

from __future__ import annotations

import asyncio
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from agent_system.entity_manager import EntityManager
from agent_system.errors import (
    DuplicateKeyError,
    ForeignKeyError,
    LeaseLostError,
    NotFoundError,
    TransitionError,
    ValidationError,
)
from agent_system.managers.queue.retries import RetryPolicy
from agent_system.types import JobStatus
from tests import requirements as requires
from tests.clock import Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Job


@pytest.fixture
def clock() -> Clock:
    return Clock.ahead()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    em = EntityManager(database, clock=clock)
    em.queue.retry_policy = RetryPolicy(random=lambda: 1.0)
    return em


async def claim_one(em: EntityManager, **arguments: Any) -> Job:
    (job,) = await em.queue.claim(**arguments)
    return job


async def status_of(em: EntityManager, job: Job) -> JobStatus:
    return (await em.queue.require(job.id)).status


async def run_sql(database: DatabaseManager, statement: str) -> None:
    await database.write(lambda executor: executor.execute(text(statement)))


# Putting work in.


async def test_an_enqueued_job_waits_for_a_worker(em: EntityManager) -> None:
    job = await em.queue.enqueue("answer", {"text": "hi\0\ud800"}, priority=7, created_by="ada", metadata={"a": 1})
    assert (job.status, job.priority, job.retries, job.max_retries) == (JobStatus.PENDING, 7, 0, 3)
    assert (job.payload, job.meta, job.created_by) == ({"text": "hi\0\ud800"}, {"a": 1}, "ada")
    assert (job.responded, job.memorized, job.result, job.started_at, job.completed_at) == (
        False,
        False,
        None,
        None,
        None,
    )
    assert await em.queue.require(job.id) == job


async def test_many_jobs_are_enqueued_in_order_all_or_none(em: EntityManager) -> None:
    jobs = await em.queue.enqueue_many([{"task_type": "a", "payload": number} for number in range(300)])
    assert [job.payload for job in jobs] == list(range(300))
    assert [job.id for job in jobs] == sorted(job.id for job in jobs)
    with pytest.raises(ValidationError):
        await em.queue.enqueue_many([{"task_type": "a"}, {"task_type": "a", "priority": 0}])
    assert await em.queue.count() == 300
    assert await em.queue.enqueue_many([]) == []


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("priority", {"priority": 0}),
        ("priority", {"priority": 11}),
        ("priority", {"priority": -1}),
        ("max_retries", {"max_retries": -1}),
        ("task_type", {"task_type": 5}),
        ("delay", {"delay": -1}),
        ("delay", {"delay": "soon"}),
        ("delay", {"delay": 1e300}),
        ("delay", {"delay": float("nan")}),
        ("delay", {"delay": 5, "scheduled_for": datetime(2030, 1, 1, tzinfo=UTC)}),
        ("scheduled_for", {"scheduled_for": datetime(2030, 1, 1)}),  # noqa: DTZ001 (that is the point)
        ("expires_in", {"expires_in": timedelta(seconds=-1)}),
        ("timeout_seconds", {"timeout_seconds": 0}),
        ("payload", {"payload": {1, 2}}),
        ("payload", {"payload": {"nan": float("nan")}}),
        ("payload", {"payload": "x" * 1_048_577}),
        ("status", {"state": "pending", "status": "nonsense"}),
        ("lease_token", {"lease_token": 5}),
        ("unknown", {"unknown": 1}),
    ],
)
async def test_bad_data_name_their_field_and_write_nothing(
    em: EntityManager, field: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.queue.enqueue(**({"task_type": "a"} | arguments))
    assert field in str(caught.value) or caught.value.field == field
    assert await em.queue.count() == 0


async def test_a_payload_of_one_mebibyte_is_stored_and_none_is_an_empty_object(em: EntityManager) -> None:
    large = "x" * (1_048_576 - 2)
    assert (await em.queue.enqueue("a", large)).payload == large
    assert (await claim_one(em)).payload == large
    assert (await em.queue.enqueue("a")).payload == {}


async def test_payloads_are_checked_by_the_model_of_their_type(em: EntityManager) -> None:
    class Letter(BaseModel):
        to: str
        copies: int = 1

    em.queue.register_payload("letter", Letter)
    await em.queue.enqueue("letter", {"to": "ada"})
    await em.queue.enqueue("letter", Letter(to="grace", copies=2))
    with pytest.raises(ValidationError, match=r"payload\.copies") as caught:
        await em.queue.enqueue("letter", {"to": "ada", "copies": "many"})
    assert caught.value.field == "payload"
    first, second = await em.queue.claim(2)
    assert first.payload == {"to": "ada", "copies": 1}
    assert em.queue.payload_of(second) == Letter(to="grace", copies=2)


async def test_of_jobs_that_are_not_over_one_has_a_dedupe_key(em: EntityManager) -> None:
    first = await em.queue.enqueue("a", 1, dedupe_key="k")
    assert (await em.queue.enqueue("a", 2, dedupe_key="k")).id == first.id
    job = await claim_one(em)
    assert (await em.queue.enqueue("a", 3, dedupe_key="k")).id == first.id
    await em.queue.complete(job)
    second = await em.queue.enqueue("a", 4, dedupe_key="k")
    assert (second.id != first.id, second.payload) == (True, 4)
    many = await em.queue.enqueue_many(
        [{"task_type": "a", "dedupe_key": "k"}, {"task_type": "a", "dedupe_key": "m"}] * 2
    )
    assert [job.id for job in many[:2]] == [job.id for job in many[2:]]
    assert many[0].id == second.id


async def test_sixty_four_at_once_with_one_dedupe_key_get_one_job(em: EntityManager) -> None:
    jobs = await asyncio.gather(*(em.queue.enqueue("a", number, dedupe_key="k") for number in range(64)))
    assert len({job.id for job in jobs}) == 1
    assert await em.queue.count() == 1


async def test_of_jobs_that_are_enqueued_at_once_a_bad_one_harms_no_other(em: EntityManager) -> None:
    # Those beside each other are written by one statement.
    good = [em.queue.enqueue("a", number) for number in range(6)]
    bad = [em.queue.enqueue("a", number, response_id=9_000 + number) for number in range(2)]
    results = await asyncio.gather(*good[:3], *bad, *good[3:], return_exceptions=True)
    assert [type(one) for one in results[3:5]] == [ForeignKeyError] * 2
    jobs = [one for one in (*results[:3], *results[5:]) if not isinstance(one, BaseException)]
    stored = await em.queue.get_many(job.id for job in jobs)
    assert [stored[job.id].payload for job in jobs] == list(range(6))
    assert await em.queue.count() == 6


async def test_a_user_who_was_not_seen_before_gets_an_identity(em: EntityManager) -> None:
    job = await em.queue.enqueue("a", user_id="discord:7")
    assert (job.user_id, (await em.identities.require("discord:7")).display_name) == ("discord:7", "discord:7")


# Claiming.


async def test_the_most_urgent_job_comes_first(em: EntityManager, clock: Clock) -> None:
    for name, arguments in {
        "late": {"scheduled_for": clock.now - timedelta(seconds=5)},
        "early": {"scheduled_for": clock.now - timedelta(seconds=9)},
        "urgent": {"priority": 9},
        "last": {"priority": 1},
    }.items():
        await em.queue.enqueue(name, **arguments)
    assert [job.task_type for job in await em.queue.claim(3)] == ["urgent", "early", "late"]
    assert [job.task_type for job in await em.queue.claim(3)] == ["last"]
    assert await em.queue.claim(3) == []


async def test_a_claimed_job_is_its_workers_and_nobody_elses(em: EntityManager, clock: Clock) -> None:
    created = await em.queue.enqueue("a")
    job = await claim_one(em, lease_seconds=30, worker="w1")
    assert (job.id, job.status, job.assigned_to, job.lease_token) == (created.id, JobStatus.IN_PROGRESS, "w1", 1)
    assert (job.started_at, job.lease_expires_at) == (clock.now, clock.now + timedelta(seconds=30))
    assert await em.queue.claim(5) == []
    assert await em.queue.require(job.id) == job


async def test_only_the_types_that_are_asked_for_are_claimed(em: EntityManager) -> None:
    for name in ("a", "b", "c", "a"):
        await em.queue.enqueue(name)
    assert [job.task_type for job in await em.queue.claim(9, types=["c", "a"])] == ["a", "c", "a"]
    assert await em.queue.claim(9, types=[]) == []
    assert await em.queue.claim(9, types=["x"]) == []
    assert [job.task_type for job in await em.queue.claim(9)] == ["b"]


async def test_a_job_is_not_begun_before_its_time(em: EntityManager, clock: Clock) -> None:
    later = await em.queue.enqueue("a", delay=30)
    never = await em.queue.enqueue("a", scheduled_for=datetime(9999, 12, 31, tzinfo=UTC))
    past = await em.queue.enqueue("a", scheduled_for=datetime(1970, 1, 1, tzinfo=UTC))
    assert [job.id for job in await em.queue.claim(9)] == [past.id]
    clock.move(seconds=29.9)
    assert await em.queue.claim(9) == []
    clock.move(seconds=0.1)
    assert [job.id for job in await em.queue.claim(9)] == [later.id]
    assert await status_of(em, never) is JobStatus.PENDING


async def test_a_changed_schedule_counts(em: EntityManager, clock: Clock) -> None:
    job = await em.queue.enqueue("a")
    await em.queue.update(job.id, {"scheduled_for": clock.now + timedelta(hours=1)})
    assert await em.queue.claim(1) == []
    await em.queue.update(job.id, {"scheduled_for": None, "priority": 9})
    assert (await claim_one(em)).priority == 9


async def test_a_job_whose_time_is_over_is_cancelled_instead(em: EntityManager, clock: Clock) -> None:
    late = await em.queue.enqueue("a", expires_in=10, priority=9)
    fresh = await em.queue.enqueue("a", expires_in=100)
    clock.move(seconds=10)
    assert [job.id for job in await em.queue.claim(1)] == [fresh.id]
    found = await em.queue.require(late.id)
    assert (found.status, found.completed_at) == (JobStatus.CANCELLED, clock.now)
    assert "time was over" in (found.error_message or "")


async def test_rows_that_plain_sql_has_written_are_claimed(em: EntityManager, database: DatabaseManager) -> None:
    rows = [("a", "pending", "null"), ("b", "pending", "'2999-01-01 00:00:00.000000'"), ("c", "completed", "null")]
    for task_type, status, schedule in rows:
        await run_sql(
            database,
            "INSERT INTO queue (task_type, payload, status, scheduled_for)"
            f" VALUES ('{task_type}', '{{}}', '{status}', {schedule})",
        )
    em = EntityManager(database)
    assert [job.task_type for job in await em.queue.claim(9)] == ["a"]
    assert await em.queue.claim(9) == []


async def test_an_end_that_plain_sql_has_written_is_respected(em: EntityManager, database: DatabaseManager) -> None:
    ready, running, dead = await em.queue.enqueue_many([{"task_type": name} for name in "abc"])
    (held,) = await em.queue.claim(1, types=["b"])
    (failing,) = await em.queue.claim(1, types=["c"])
    await em.queue.fail(failing, "no", retry=False)
    await run_sql(database, f"UPDATE queue SET status = 'cancelled' WHERE id IN ({ready.id}, {running.id})")
    await run_sql(database, f"UPDATE queue SET status = 'pending', retries = 0 WHERE id = {dead.id}")
    await em.queue.release_stalled()
    assert [job.id for job in await em.queue.claim(9)] == [dead.id]
    assert await status_of(em, ready) is JobStatus.CANCELLED
    with pytest.raises(LeaseLostError):
        await em.queue.complete(held)


@pytest.mark.parametrize("arguments", [{"n": 0}, {"lease_seconds": 0}, {"lease_seconds": 90_000}])
async def test_a_claim_of_nothing_or_for_ever_is_refused(em: EntityManager, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.queue.claim(**arguments)
    assert caught.value.field == next(iter(arguments))


async def test_of_many_claims_at_once_each_gets_its_own(em: EntityManager) -> None:
    await em.queue.enqueue_many([{"task_type": "a"}] * 100)
    shares = await asyncio.gather(*(em.queue.claim(2) for _ in range(64)))
    claimed = [job.id for share in shares for job in share]
    assert len(claimed) == len(set(claimed)) == 100
    assert sum(len(share) == 2 for share in shares) == 50


async def test_a_claim_and_a_completion_are_few_statements_for_everybody(em: EntityManager) -> None:
    await em.queue.enqueue_many([{"task_type": "a"}] * 64)
    await em.queue.claim(1)
    with recorded_statements() as statements:
        jobs = await asyncio.gather(*(em.queue.claim(1) for _ in range(50)))
        assert len(statements) <= 6
        statements.clear()
        await asyncio.gather(*(em.queue.complete(job) for (job,) in jobs))
        assert len(statements) <= 2


async def test_what_is_done_is_reported_and_the_next_is_claimed_in_one_transaction(
    em: EntityManager, clock: Clock
) -> None:
    await em.queue.enqueue_many([{"task_type": "a"}, {"task_type": "b"}])
    held, lost = sorted(await em.queue.claim(2, lease_seconds=10), key=lambda job: job.id)
    third = await em.queue.enqueue("a")
    clock.move(seconds=5)
    await em.queue.heartbeat(held, 10)
    clock.move(seconds=6)
    done = [em.queue.completion(job, {"n": job.id}) for job in (held, lost)]
    (again,) = await em.queue.claim(1, types=["b"])
    jobs, refused = await em.queue.exchange(done, 2)
    assert ([one.job_id for one in refused], [job.id for job in jobs]) == ([lost.id], [third.id])
    found = await em.queue.get_many([held.id, lost.id])
    assert (found[held.id].status, found[held.id].result) == (JobStatus.COMPLETED, {"n": held.id})
    assert (found[lost.id].status, found[lost.id].lease_token) == (JobStatus.IN_PROGRESS, 2)
    assert await em.queue.exchange([], 0) == ([], [])
    assert await em.queue.exchange([em.queue.completion(again)], 10, types=[]) == ([], [])
    with pytest.raises(ValidationError, match="n is from 0"):
        await em.queue.exchange([], -1)
    with pytest.raises(ValidationError, match=r"queue\.result"):
        em.queue.completion(again, {1, 2})


async def test_the_end_of_a_job_lets_the_next_with_its_key_begin_in_the_same_transaction(em: EntityManager) -> None:
    first, second = await em.queue.enqueue_many([{"task_type": "a", "concurrency_key": "k"}] * 2)
    (job,) = await em.queue.claim(2)
    assert job.id == first.id
    (job,), _ = await em.queue.exchange([em.queue.completion(job)], 2)
    assert job.id == second.id


async def test_what_was_claimed_for_somebody_who_gave_up_waits_again(em: EntityManager) -> None:
    await em.queue.enqueue_many([{"task_type": "a"}] * 40)
    tasks = [asyncio.create_task(em.queue.claim(1)) for _ in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    kept = [
        job.id
        for share in await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(share, list)
        for job in share
    ]
    rest = [job.id for job in await em.queue.claim(40)]
    assert sorted(kept + rest) == [job.id for job in await em.queue.find()]


# Leases.


async def test_a_job_whose_worker_does_not_come_back_is_claimed_again(em: EntityManager, clock: Clock) -> None:
    await em.queue.enqueue("a", max_retries=1)
    first = await claim_one(em, lease_seconds=30, worker="w1")
    clock.move(seconds=29)
    assert await em.queue.claim(1) == []
    clock.move(seconds=1)
    assert [job.id for job in await em.queue.stalled()] == [first.id]
    second = await claim_one(em, worker="w2")
    assert (second.id, second.assigned_to, second.retries, second.lease_token) == (first.id, "w2", 1, 2)
    for late in (
        em.queue.complete(first),
        em.queue.fail(first, "x"),
        em.queue.release(first),
        em.queue.heartbeat(first),
    ):
        with pytest.raises(LeaseLostError) as caught:
            await late
        assert (caught.value.job_id, caught.value.lease_token, caught.value.status) == (first.id, 1, "in_progress")
    assert await em.queue.require(first.id) == second
    await em.queue.complete(second, {"done": True})
    done = await em.queue.require(first.id)
    assert (done.status, done.result, done.error_message) == (JobStatus.COMPLETED, {"done": True}, None)


async def test_a_job_that_is_lost_again_and_again_is_a_dead_letter(em: EntityManager, clock: Clock) -> None:
    job = await em.queue.enqueue("poison", max_retries=2)
    for _ in range(3):
        await claim_one(em, lease_seconds=1)
        clock.move(seconds=1)
    assert await em.queue.claim(5) == []
    dead = await em.queue.require(job.id)
    assert (dead.status, dead.retries, dead.completed_at) == (JobStatus.FAILED, 2, clock.now)
    assert "did not come back" in (dead.error_message or "")


async def test_a_heartbeat_prolongs_a_lease(em: EntityManager, clock: Clock) -> None:
    await em.queue.enqueue_many([{"task_type": "a"}] * 2)
    kept, lost = await em.queue.claim(2, lease_seconds=10)
    clock.move(seconds=9)
    await em.queue.heartbeat(kept, 10)
    clock.move(seconds=9)
    assert (await claim_one(em)).id == lost.id
    assert await em.queue.heartbeat_many([kept, lost]) == {lost.id: JobStatus.IN_PROGRESS}
    assert await em.queue.heartbeat_many([]) == {}


async def test_a_lease_beyond_every_lease_is_no_lease(em: EntityManager, clock: Clock) -> None:
    job = await em.queue.enqueue("a")
    clock.move(seconds=10 * 365 * 86_400)
    await claim_one(em)
    clock.move(seconds=-10 * 365 * 86_400)
    assert (await claim_one(em)).id == job.id


async def test_stalled_jobs_are_released(em: EntityManager, clock: Clock) -> None:
    await em.queue.enqueue("a", max_retries=1)
    await em.queue.enqueue("b", max_retries=0)
    await em.queue.enqueue("c", expires_in=5)
    await em.queue.claim(2, lease_seconds=10, types=["a", "b"])
    clock.move(seconds=10)
    released = {job.task_type: job for job in await em.queue.release_stalled()}
    assert {name: job.status for name, job in released.items()} == {"a": JobStatus.PENDING, "b": JobStatus.FAILED}
    assert (released["a"].retries, await em.queue.release_stalled()) == (1, [])
    assert await em.queue.count(status=JobStatus.CANCELLED) == 1
    assert [job.task_type for job in await em.queue.claim(5)] == ["a"]


@requires.row_locks
async def test_a_stalled_job_that_another_transaction_has_is_not_waited_for(em: EntityManager, clock: Clock) -> None:
    await em.queue.enqueue_many([{"task_type": name} for name in "ab"])
    first, second = await em.queue.claim(2, lease_seconds=10)
    clock.move(seconds=10)
    async with em.db.transaction():
        await em.queue.heartbeat(first, 10)
        async with asyncio.timeout(5):
            task = asyncio.get_running_loop().create_task(em.queue.release_stalled(), context=Context())
            assert [job.id for job in await task] == [second.id]
    assert await em.queue.release_stalled() == []


# What becomes of them.


async def test_a_completed_job_has_its_result(em: EntityManager, clock: Clock) -> None:
    await em.queue.enqueue_many([{"task_type": "a"}] * 3)
    jobs = await em.queue.claim(3)
    results = [{"text": "\0\ud800 'é\"", "n": [1, None]}, None, 0]
    clock.move(seconds=5)
    await asyncio.gather(*(em.queue.complete(job, result) for job, result in zip(jobs, results, strict=True)))
    done = [await em.queue.require(job.id) for job in jobs]
    assert [job.result for job in done] == results
    assert {(job.status, job.completed_at, job.lease_expires_at) for job in done} == {
        (JobStatus.COMPLETED, clock.now, None)
    }
    with pytest.raises(LeaseLostError, match="completed"):
        await em.queue.complete(jobs[0])


async def test_a_result_that_is_no_json_is_refused(em: EntityManager) -> None:
    await em.queue.enqueue("a")
    job = await claim_one(em)
    with pytest.raises(ValidationError, match="result"):
        await em.queue.complete(job, object())
    assert await status_of(em, job) is JobStatus.IN_PROGRESS


async def test_a_failed_job_is_tried_again_ever_later(em: EntityManager, clock: Clock) -> None:
    await em.queue.enqueue("a", max_retries=2)
    for wait in (1, 2):
        job = await claim_one(em)
        failed = await em.queue.fail(job, f"after {wait}")
        assert (failed.status, failed.scheduled_for) == (JobStatus.PENDING, clock.now + timedelta(seconds=wait))
        assert await em.queue.require(job.id) == failed
        clock.move(seconds=wait - 0.001)
        assert await em.queue.claim(1) == []
        clock.move(seconds=0.001)
    failed = await em.queue.fail(await claim_one(em), "at last")
    assert (failed.status, failed.retries, failed.error_message) == (JobStatus.FAILED, 2, "at last")
    assert failed.completed_at == clock.now
    assert (await em.queue.dead_letters()).items == [failed]


async def test_a_failure_that_nothing_can_help_is_final(em: EntityManager) -> None:
    await em.queue.enqueue("a")
    failed = await em.queue.fail(await claim_one(em), "no such user", retry=False)
    assert (failed.status, failed.retries) == (JobStatus.FAILED, 0)


async def test_a_released_job_has_lost_no_attempt(em: EntityManager) -> None:
    job = await em.queue.enqueue("a", priority=9)
    await em.queue.enqueue("b")
    released = await em.queue.release(await claim_one(em))
    assert (released.status, released.retries) == (JobStatus.PENDING, 0)
    assert (await claim_one(em)).id == job.id


async def test_progress_is_reported_by_its_holder(em: EntityManager) -> None:
    await em.queue.enqueue("a")
    job = await claim_one(em)
    await em.queue.report_progress(job, 0.5)
    assert (await em.queue.require(job.id)).progress == 0.5
    with pytest.raises(ValidationError, match="progress"):
        await em.queue.report_progress(job, 1.5)
    await em.queue.cancel(job.id)
    with pytest.raises(LeaseLostError):
        await em.queue.report_progress(job, 1)


async def test_the_writes_of_a_handler_and_the_completion_are_one_transaction(em: EntityManager, clock: Clock) -> None:
    await em.queue.enqueue("a")
    job = await claim_one(em, lease_seconds=10)

    async def handle_half() -> None:
        async with em.queue.completing(job):
            await em.hosts.create({"name": "written"})
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        await handle_half()
    assert (await em.hosts.count(), await status_of(em, job)) == (0, JobStatus.IN_PROGRESS)
    clock.move(seconds=10)
    second = await claim_one(em)
    with pytest.raises(LeaseLostError):
        async with em.queue.completing(job):
            await em.hosts.create({"name": "written"})
    assert await em.hosts.count() == 0
    async with em.queue.completing(second, "result"):
        await em.hosts.create({"name": "written"})
    done = await em.queue.require(job.id)
    assert (await em.hosts.count(), done.status, done.result) == (1, JobStatus.COMPLETED, "result")


async def test_verbs_inside_a_transaction_are_part_of_it(em: EntityManager, database: DatabaseManager) -> None:
    first = await em.queue.enqueue("a")

    async def undo() -> None:
        async with database.transaction():
            (job,) = await em.queue.claim(1)
            await em.queue.enqueue("b")
            await em.queue.complete(job)
            raise RuntimeError("undo")

    with pytest.raises(RuntimeError, match="undo"):
        await undo()
    assert [job.id for job in await em.queue.claim(9)] == [first.id]


# Taking out and putting back.


async def test_a_cancelled_job_is_not_begun_and_a_running_one_is_lost(em: EntityManager, clock: Clock) -> None:
    waiting, running, later = await em.queue.enqueue_many(
        [{"task_type": "a"}, {"task_type": "b", "priority": 9}, {"task_type": "c", "delay": 5}]
    )
    held = await claim_one(em)
    for job in (waiting, running, later):
        cancelled = await em.queue.cancel(job.id, "no longer needed")
        assert (cancelled.status, cancelled.error_message) == (JobStatus.CANCELLED, "no longer needed")
        assert await em.queue.cancel(job.id) == cancelled
    clock.move(seconds=100)
    assert await em.queue.claim(9) == []
    with pytest.raises(LeaseLostError, match="cancelled") as caught:
        await em.queue.complete(held)
    assert caught.value.status == JobStatus.CANCELLED
    assert await em.queue.heartbeat_many([held]) == {running.id: "cancelled"}


async def test_only_what_is_not_over_can_be_cancelled(em: EntityManager) -> None:
    await em.queue.enqueue("a")
    job = await claim_one(em)
    await em.queue.complete(job)
    with pytest.raises(TransitionError) as caught:
        await em.queue.cancel(job.id)
    assert (caught.value.current, caught.value.wanted) == ("completed", "cancelled")
    with pytest.raises(TransitionError):
        await em.queue.retry(job.id)
    for missing in (em.queue.cancel(99), em.queue.retry(99), em.queue.mark_memorized(99)):
        with pytest.raises(NotFoundError):
            await missing


async def test_a_job_that_failed_can_begin_anew(em: EntityManager, clock: Clock) -> None:
    await em.queue.enqueue("a", max_retries=0, expires_in=5)
    job = await em.queue.fail(await claim_one(em), "no")
    clock.move(seconds=100)
    again = await em.queue.retry(job.id)
    assert (again.status, again.retries, again.completed_at) == (JobStatus.PENDING, 0, None)
    assert (await claim_one(em)).lease_token == 2


async def test_dead_letters_are_listed_and_driven_again(em: EntityManager) -> None:
    for number in range(4):
        await em.queue.enqueue("a" if number else "b", max_retries=0, dedupe_key="same" if number < 2 else None)
        await em.queue.fail(await claim_one(em), f"error {number}")
    page = await em.queue.dead_letters(limit=3)
    assert [job.error_message for job in page.items] == ["error 3", "error 2", "error 1"]
    assert len((await em.queue.dead_letters(limit=3, after=page.next_cursor)).items) == 1
    assert len((await em.queue.dead_letters(task_type="b")).items) == 1
    assert await em.queue.redrive(task_type="a", limit=1) == 1
    # The two with one key are waiting or dead: only one of them can begin anew.
    assert await em.queue.redrive() == 3 - (await em.queue.count(status=JobStatus.FAILED))
    assert await em.queue.redrive() == 0
    open_keys = [job.dedupe_key for job in await em.queue.find(status=JobStatus.PENDING)]
    assert open_keys.count("same") == 1


async def test_a_job_cannot_begin_anew_beside_another_with_its_dedupe_key(em: EntityManager) -> None:
    await em.queue.enqueue("a", max_retries=0, dedupe_key="k")
    dead = await em.queue.fail(await claim_one(em), "no")
    await em.queue.enqueue("a", dedupe_key="k")
    with pytest.raises(DuplicateKeyError):
        await em.queue.retry(dead.id)


async def test_answers_and_memories_are_marked(em: EntityManager) -> None:
    first, second = await em.queue.enqueue_many([{"task_type": "a"}] * 2)
    message = await em.messages.create({"role": "assistant", "content": "done"})
    answered = await em.queue.mark_responded(first.id, message.id)
    assert (answered.responded, answered.response_id, answered.memorized) == (True, message.id, False)
    assert (await em.queue.mark_memorized(first.id)).memorized
    with pytest.raises(DuplicateKeyError):
        await em.queue.mark_responded(second.id, message.id)
    with pytest.raises(ForeignKeyError):
        await em.queue.mark_responded(second.id, 999)
    await em.messages.delete(message.id)
    assert (await em.queue.require(first.id)).response_id is None


async def test_what_only_verbs_may_change_is_refused(em: EntityManager) -> None:
    job = await em.queue.enqueue("a")
    for name, value in {"status": "completed", "retries": 3, "lease_token": 1, "ready_at": None}.items():
        with pytest.raises(ValidationError) as caught:
            await em.queue.update(job.id, {name: value})
        assert caught.value.field == name


async def test_old_jobs_are_purged_in_batches(em: EntityManager, clock: Clock) -> None:
    for _ in range(7):
        await em.queue.enqueue("a")
        await em.queue.complete(await claim_one(em))
        clock.move(seconds=10)
    await em.queue.enqueue("waiting")
    assert await em.queue.purge(timedelta(seconds=45), batch=2) == 3
    assert await em.queue.purge(clock.now, limit=1, batch=2) == 1
    assert await em.queue.purge(timedelta(0), statuses=["failed"]) == 0
    assert await em.queue.purge(timedelta(0)) == 3
    assert await em.queue.count() == 1
    with pytest.raises(ValidationError, match="statuses"):
        await em.queue.purge(timedelta(0), statuses=["pending"])


async def test_statistics_count_what_there_is(em: EntityManager, clock: Clock) -> None:
    began = clock.now
    await em.queue.enqueue_many(
        [{"task_type": "a"}, {"task_type": "a"}, {"task_type": "b"}, {"task_type": "b", "delay": 9}]
    )
    await claim_one(em, types=["a"], lease_seconds=5)
    await em.queue.complete(await claim_one(em, types=["b"]))
    await em.queue.pause("c")
    clock.move(seconds=5)
    stats = await em.queue.stats()
    assert stats.by_status == {
        JobStatus.PENDING: 2,
        JobStatus.IN_PROGRESS: 1,
        JobStatus.COMPLETED: 1,
        JobStatus.FAILED: 0,
        JobStatus.CANCELLED: 0,
    }
    assert (stats.ready, stats.scheduled, stats.stalled, stats.total) == (1, 1, 1, 4)
    assert stats.oldest_ready_at is not None
    assert began is not None
    assert [(one.task_type, one.ready, one.running, one.is_paused) for one in stats.types] == [
        ("a", 1, 1, False),
        ("c", 0, 0, True),
    ]
