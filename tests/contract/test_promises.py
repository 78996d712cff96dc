"""Promises: made, kept by jobs of the queue, waiting for each other, and never lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import LeaseLostError, NotFoundError, TransitionError, ValidationError
from agent_system.managers.queue.retries import RetryPolicy
from agent_system.types import DependencyPolicy, JobStatus, PromiseStatus, PromiseType
from tests.clock import Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Job, Promise

CHAT, MESSAGE = 7, 70


@pytest.fixture
def clock() -> Clock:
    return Clock.ahead()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    em = EntityManager(database, clock=clock)
    em.queue.retry_policy = RetryPolicy(random=lambda: 1.0)
    return em


async def make(em: EntityManager, description: str = "do it", **fields: Any) -> Promise:
    return await em.promises.make(CHAT, MESSAGE, description, **fields)


async def begun(em: EntityManager, promise: Promise) -> Promise:
    return await em.promises.start(promise.id)


async def kept(em: EntityManager, promise: Promise) -> Promise:
    await begun(em, promise)
    return await em.promises.complete(promise.id, "done")


async def status_of(em: EntityManager, promise: Promise) -> PromiseStatus:
    return (await em.promises.require(promise.id)).status


async def job_of(em: EntityManager, promise: Promise) -> Job:
    job_id = (await em.promises.require(promise.id)).job_id
    assert job_id is not None
    return await em.queue.require(job_id)


async def claimed(em: EntityManager, promise: Promise, **arguments: Any) -> Job:
    jobs = {job.payload["promise_id"]: job for job in await em.queue.claim(100, **arguments)}
    return jobs[promise.id]


async def winners(*calls: Any) -> list[Any]:
    """What those calls returned that were not refused."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        assert not isinstance(result, BaseException) or isinstance(result, TransitionError), result
    return [result for result in results if not isinstance(result, BaseException)]


# Making them.


@pytest.mark.parametrize("kind", PromiseType)
async def test_a_promise_is_kept_by_a_job_of_its_own_type(em: EntityManager, kind: PromiseType) -> None:
    # Seed 000's code lost the type, so that everything was done as code.
    promise = await make(em, "find\0 it", task_type=kind, priority=9, metadata={"a": [1]}, user_id="ada")
    assert (promise.status, promise.task_type, promise.priority) == (PromiseStatus.PENDING, kind, 9)
    assert (promise.chat_id, promise.message_id, promise.user_id, promise.meta) == (CHAT, MESSAGE, "ada", {"a": [1]})
    assert await em.promises.require(promise.id) == promise
    job = await job_of(em, promise)
    assert (job.task_type, job.payload) == (f"promise.{kind}", {"promise_id": promise.id})
    assert (job.priority, job.chat_id, job.user_id, job.status) == (9, CHAT, "ada", JobStatus.PENDING)


@pytest.mark.parametrize(
    "fields",
    [
        {"task_type": "cooking"},
        {"priority": 0},
        {"priority": 11},
        {"unknown": 1},
        {"depends_on": "1"},
        {"depends_on": ["no name here"]},
        {"depends_on": [True]},
        {"depends_on": [1.5]},
        {"depends_on": [2**63]},
        {"depends_on": {1: "panic"}},
    ],
)
async def test_bad_promises_are_refused_and_nothing_is_written(em: EntityManager, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        await make(em, **fields)
    assert refused.value.field in {*fields, "priority"}
    assert (await em.promises.count(), await em.queue.count()) == (0, 0)


async def test_a_promise_cannot_depend_on_one_that_is_not_there(em: EntityManager) -> None:
    with pytest.raises(NotFoundError):
        await em.promises.make_parallel(
            CHAT, MESSAGE, [{"task_description": "a"}, {"task_description": "b", "depends_on": [999]}]
        )
    assert (await em.promises.count(), await em.queue.count()) == (0, 0)


async def test_parallel_promises_all_begin_at_once(em: EntityManager) -> None:
    made = await em.promises.make_parallel(CHAT, MESSAGE, [{"task_description": str(n)} for n in range(5)])
    assert [promise.task_description for promise in made] == list("01234")
    assert len({promise.job_id for promise in made}) == await em.queue.count() == 5
    assert await em.promises.make_parallel(CHAT, MESSAGE, []) == []


# Waiting for others.


async def test_a_promise_waits_for_those_that_it_depends_on(em: EntityManager) -> None:
    # In seed 000's code the writer and the reader of dependencies used two keys, so that nothing ever waited.
    first, second = [await make(em), await make(em)]
    third = await make(em, depends_on=[first.id, second.id])
    assert (third.status, third.job_id) == (PromiseStatus.WAITING, None)
    await kept(em, first)
    assert await status_of(em, third) is PromiseStatus.WAITING
    await kept(em, second)
    assert await status_of(em, third) is PromiseStatus.PENDING
    assert (await job_of(em, third)).status is JobStatus.PENDING
    late = await make(em, depends_on=[first.id])
    assert (late.status, (await job_of(em, late)).status) == (PromiseStatus.PENDING, JobStatus.PENDING)


async def test_a_graph_is_made_as_a_whole(em: EntityManager) -> None:
    there = await make(em)
    made = await em.promises.make_dependent(
        CHAT,
        MESSAGE,
        {
            "report": {"task_description": "write", "depends_on": {"read": "fail", "count": DependencyPolicy.IGNORE}},
            "count": {"task_description": "count", "task_type": "analysis", "depends_on": ["find"]},
            "read": {"task_description": "read", "depends_on": ["find", there.id]},
            "find": {"task_description": "find", "task_type": "search"},
        },
    )
    assert list(made) == ["report", "count", "read", "find"]
    assert {name: promise.status for name, promise in made.items()} == {
        "report": PromiseStatus.WAITING,
        "count": PromiseStatus.WAITING,
        "read": PromiseStatus.WAITING,
        "find": PromiseStatus.PENDING,
    }
    await kept(em, made["find"])
    assert await status_of(em, made["count"]) is PromiseStatus.PENDING
    assert await status_of(em, made["read"]) is PromiseStatus.WAITING
    await kept(em, there)
    await em.promises.fail(made["count"].id, "cannot count")
    assert await status_of(em, made["report"]) is PromiseStatus.WAITING
    await kept(em, made["read"])
    assert await status_of(em, made["report"]) is PromiseStatus.PENDING


@pytest.mark.parametrize(
    "graph",
    [
        {"a": ["a"]},
        {"a": ["b"], "b": ["a"]},
        {"a": ["b"], "b": ["c"], "c": ["a"], "d": []},
        {"a": ["gone"]},
    ],
)
async def test_a_ring_is_refused_and_nothing_is_written(em: EntityManager, graph: dict[str, list[str]]) -> None:
    promises = {name: {"task_description": name, "depends_on": names} for name, names in graph.items()}
    with pytest.raises(ValidationError) as refused:
        await em.promises.make_dependent(CHAT, MESSAGE, promises)
    assert refused.value.field == "depends_on"
    assert await em.promises.count() == 0


@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_a_failure_goes_on_as_the_policy_says(em: EntityManager, end: str) -> None:
    root = await make(em)
    fails, blocks, ignores = [await make(em, depends_on={root.id: policy}) for policy in ("fail", "block", "ignore")]
    below = await make(em, depends_on=[fails.id])
    beside = await make(em, depends_on={fails.id: "ignore"})
    await getattr(em.promises, end)(root.id, "no luck")
    assert await status_of(em, fails) is PromiseStatus.FAILED
    assert await status_of(em, below) is PromiseStatus.FAILED
    assert await status_of(em, blocks) is PromiseStatus.WAITING
    assert [await status_of(em, one) for one in (ignores, beside)] == [PromiseStatus.PENDING] * 2
    failed = await em.promises.require(below.id)
    assert (failed.error_message or "").startswith(f"promise {fails.id}, which it depends on, failed")
    assert failed.completed_at is not None
    assert (await job_of(em, root)).status is JobStatus.CANCELLED
    late = await make(em, depends_on=[fails.id])
    assert (late.status, late.job_id) == (PromiseStatus.FAILED, None)


# Keeping them.


async def test_a_worker_keeps_a_promise_with_its_job(em: EntityManager, clock: Clock) -> None:
    promise = await make(em)
    child = await make(em, depends_on=[promise.id])
    job = await claimed(em, promise)
    started = await em.promises.start(promise.id, job=job)
    assert (started.status, started.started_at) == (PromiseStatus.IN_PROGRESS, clock.now)
    assert (await em.promises.progress(promise.id, 0.5)).progress == 0.5
    clock.move(seconds=5)
    done = await em.promises.complete(promise.id, "here it is", job=job)
    assert (done.status, done.result_summary, done.progress) == (PromiseStatus.COMPLETED, "here it is", 1.0)
    assert done.completed_at == clock.now
    assert (await em.queue.require(job.id)).status is JobStatus.COMPLETED
    assert await status_of(em, child) is PromiseStatus.PENDING


async def test_an_attempt_that_fails_is_followed_by_another(em: EntityManager, clock: Clock) -> None:
    # Seed 000's code counted each attempt twice and never tried again.
    promise = await make(em)
    for attempt in range(4):
        clock.move(seconds=100_000)
        job = await claimed(em, promise)
        assert job.retries == attempt
        await em.promises.start(promise.id, job=job)
        after = await em.promises.fail(promise.id, f"no {attempt}", job=job)
        assert after.status is (PromiseStatus.FAILED if attempt == 3 else PromiseStatus.IN_PROGRESS)
        assert after.error_message == f"no {attempt}"
    assert (await job_of(em, promise)).status is JobStatus.FAILED


async def test_who_lost_the_lease_changes_nothing(em: EntityManager, clock: Clock) -> None:
    promise = await make(em)
    late = await claimed(em, promise, lease_seconds=10)
    await em.promises.start(promise.id, job=late)
    clock.move(seconds=11)
    job = await claimed(em, promise)
    for call in (
        em.promises.start(promise.id, job=late),
        em.promises.complete(promise.id, "mine", job=late),
        em.promises.fail(promise.id, "mine", job=late),
    ):
        with pytest.raises(LeaseLostError):
            await call
    before = await em.promises.require(promise.id)
    assert (before.status, before.result_summary, before.error_message) == (PromiseStatus.IN_PROGRESS, None, None)
    await em.promises.start(promise.id, job=job)
    await em.promises.complete(promise.id, job=job)
    other = await make(em)
    with pytest.raises(LeaseLostError):
        await em.promises.start(other.id, job=job)


async def test_result_and_error_are_never_erased(em: EntityManager) -> None:
    promise = await begun(em, await make(em))
    await em.promises.update(promise.id, {"result_summary": "half", "error_message": "slow"})
    done = await em.promises.complete(promise.id)
    assert (done.result_summary, done.error_message) == ("half", "slow")
    failed = await em.promises.fail((await begun(em, await make(em))).id, "broken", result="a part")
    assert (failed.result_summary, failed.error_message) == ("a part", "broken")


async def test_what_may_not_follow_is_refused(em: EntityManager) -> None:
    done, waiting = await kept(em, await make(em)), await make(em, depends_on=[(await make(em)).id])
    for call in (
        em.promises.start(done.id),
        em.promises.progress(done.id, 1.0),
        em.promises.complete(done.id, "again"),
        em.promises.fail(done.id, "after all"),
        em.promises.cancel(done.id),
        em.promises.start(waiting.id),
        em.promises.complete(waiting.id),
    ):
        with pytest.raises(TransitionError):
            await call
    assert await em.promises.require(done.id) == done
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValidationError):
            await em.promises.progress(done.id, bad)
    with pytest.raises(ValidationError):
        await em.promises.update(done.id, {"status": PromiseStatus.PENDING})


async def test_what_is_not_there_is_not_found(em: EntityManager) -> None:
    for unknown in (12345, "nobody", 2**70):
        for call in (
            em.promises.start(unknown),
            em.promises.progress(unknown, 0.5),
            em.promises.complete(unknown),
            em.promises.fail(unknown, "why"),
            em.promises.cancel(unknown),
            em.promises.retry(unknown),
        ):
            with pytest.raises(NotFoundError):
                await call


async def test_promises_are_cancelled_wherever_they_stand(em: EntityManager) -> None:
    pending, running = await make(em), await make(em)
    waiting = await make(em, depends_on=[pending.id])
    job = await claimed(em, running)
    await em.promises.start(running.id, job=job)
    for promise in (waiting, pending, running):
        assert (await em.promises.cancel(promise.id, "not needed")).status is PromiseStatus.CANCELLED
    assert await em.queue.count(status=JobStatus.CANCELLED) == 2
    assert await em.queue.heartbeat_many([job]) == {job.id: JobStatus.CANCELLED}
    with pytest.raises((LeaseLostError, TransitionError)):
        await em.promises.complete(running.id, job=job)
    assert await status_of(em, running) is PromiseStatus.CANCELLED


async def test_what_was_not_kept_is_tried_again(em: EntityManager) -> None:
    parent = await make(em)
    child = await make(em, depends_on=[parent.id])
    job = await claimed(em, parent)
    await em.promises.start(parent.id, job=job)
    await em.promises.fail(parent.id, "no disk", job=job, retry=False)
    with pytest.raises(TransitionError, match="depends on one that was not kept"):
        await em.promises.retry(child.id)
    assert await status_of(em, child) is PromiseStatus.FAILED
    again = await em.promises.retry(parent.id)
    assert (again.status, again.completed_at, again.error_message) == (PromiseStatus.PENDING, None, "no disk")
    assert again.job_id != job.id
    assert (await em.promises.retry(child.id)).status is PromiseStatus.WAITING
    await kept(em, again)
    assert await status_of(em, child) is PromiseStatus.PENDING
    with pytest.raises(TransitionError):
        await em.promises.retry(parent.id)
    await em.promises.cancel(child.id)
    assert len(await winners(*(em.promises.retry(child.id) for _ in range(8)))) == 1
    assert (await job_of(em, child)).status is JobStatus.PENDING


# Races.


async def test_of_64_who_begin_one_does(em: EntityManager) -> None:
    promise = await make(em)
    assert len(await winners(*(em.promises.start(promise.id) for _ in range(64)))) == 1


async def test_of_64_who_end_one_does(em: EntityManager) -> None:
    promise = await begun(em, await make(em))
    calls = [
        (em.promises.complete, (promise.id, "yes")),
        (em.promises.fail, (promise.id, "no")),
        (em.promises.cancel, (promise.id,)),
    ]
    (winner,) = await winners(*(calls[n % 3][0](*calls[n % 3][1]) for n in range(64)))
    assert await em.promises.require(promise.id) == winner


async def test_of_64_parents_that_end_together_the_last_lets_the_child_begin(em: EntityManager) -> None:
    parents = await em.promises.make_parallel(CHAT, MESSAGE, [{"task_description": str(n)} for n in range(64)])
    child = await make(em, depends_on=[parent.id for parent in parents])
    await asyncio.gather(*(kept(em, parent) for parent in parents))
    assert await status_of(em, child) is PromiseStatus.PENDING
    assert await em.queue.count() == 65


async def test_children_that_are_made_while_the_parent_ends_are_never_left(em: EntityManager) -> None:
    parent = await begun(em, await make(em))
    calls = [make(em, depends_on=[parent.id]) for _ in range(63)]
    calls.insert(32, em.promises.complete(parent.id))
    await asyncio.gather(*calls)
    assert await em.promises.count(status=PromiseStatus.WAITING) == 0
    assert await em.queue.count() == 64


# After a restart.


async def test_pending_promises_are_resumed_once(em: EntityManager) -> None:
    # Seed 000's code put everything that was pending for five minutes into its queue again, every five minutes.
    lost = await em.promises.create({"chat_id": 1, "message_id": 1, "task_description": "written without a job"})
    purged, live = await make(em), await make(em)
    await em.queue.delete(purged.job_id)
    resumed = await asyncio.gather(*(em.promises.resume_pending() for _ in range(64)))
    assert {promise.id for each in resumed for promise in each} == {lost.id, purged.id}
    assert await em.queue.count() == 3
    assert {(await job_of(em, one)).payload["promise_id"] for one in (lost, purged, live)} == {
        lost.id,
        purged.id,
        live.id,
    }
    assert await em.promises.resume_pending() == []


async def test_what_waits_for_nothing_any_more_is_resumed(em: EntityManager) -> None:
    parent = await make(em)
    child = await make(em, depends_on=[parent.id])
    below = await make(em, depends_on=[child.id])
    # As plain SQL or another system would leave it.
    await em.db.write(
        lambda executor: executor.execute(
            em.promises.plans.table.update().where(em.promises.plans.columns["id"] == parent.id).values(status="failed")
        )
    )
    assert [promise.id for promise in await em.promises.resume_pending()] == [child.id, below.id]
    assert [await status_of(em, one) for one in (child, below)] == [PromiseStatus.FAILED] * 2


async def test_stalled_is_who_lost_the_lease_however_old_the_others_are(em: EntityManager, clock: Clock) -> None:
    old, dead = await make(em), await make(em)
    jobs = {job.payload["promise_id"]: job for job in await em.queue.claim(2, lease_seconds=60)}
    for promise in (old, dead):
        await em.promises.start(promise.id, job=jobs[promise.id])
    for _ in range(100):
        clock.move(seconds=50)
        await em.queue.heartbeat(jobs[old.id], 60)
    assert [promise.id for promise in await em.promises.stalled()] == [dead.id]
    await em.promises.start(dead.id, job=await claimed(em, dead))
    assert await em.promises.stalled() == []


async def test_promises_without_a_job_that_goes_on_are_taken_up(em: EntityManager) -> None:
    gone, dead = await make(em), await make(em)
    child = await make(em, depends_on=[dead.id])
    jobs = {job.payload["promise_id"]: job for job in await em.queue.claim(2)}
    for promise in (gone, dead):
        await em.promises.start(promise.id, job=jobs[promise.id])
    await em.queue.cancel(jobs[gone.id].id)
    await em.queue.fail(jobs[dead.id], "out of memory", retry=False)
    assert {promise.id for promise in await em.promises.stalled()} == {gone.id, dead.id}
    taken = {promise.id: promise for promise in await em.promises.resume_stalled()}
    assert (taken[gone.id].status, taken[dead.id].status) == (PromiseStatus.PENDING, PromiseStatus.FAILED)
    assert taken[dead.id].error_message == "out of memory"
    assert (await job_of(em, gone)).status is JobStatus.PENDING
    assert await status_of(em, child) is PromiseStatus.FAILED
    assert await em.promises.resume_stalled() == []


# Looking at them.


async def test_promises_of_a_chat_and_of_a_user(em: EntityManager) -> None:
    made = [
        await em.promises.make(chat, n, str(n), user_id=user)
        for n, (chat, user) in enumerate([(0, "ada"), (1, "ada"), (0, "bob"), (0, None)])
    ]
    await begun(em, made[3])
    assert [one.message_id for one in (await em.promises.of_chat(0)).items] == [3, 2, 0]
    assert [one.message_id for one in (await em.promises.of_chat(0, "in_progress")).items] == [3]
    assert [one.message_id for one in (await em.promises.of_user("ada")).items] == [1, 0]
    # Chat 0 is a chat, not all of them.
    assert [one.message_id for one in (await em.promises.pending(0)).items] == [0, 2]
    assert [one.message_id for one in (await em.promises.pending()).items] == [0, 1, 2]
    page = await em.promises.of_chat(0, limit=2)
    assert [one.message_id for one in (await em.promises.of_chat(0, limit=2, after=page.next_cursor)).items] == [0]


async def test_statistics_are_counted_by_the_database(em: EntityManager) -> None:
    monday = datetime(2026, 3, 2, tzinfo=UTC)

    async def past(days: int, status: str, *, chat: int, kind: str = "code", seconds: float | None = None) -> None:
        moment = monday + timedelta(days=days, hours=23)
        took = {} if seconds is None else {"completed_at": moment + timedelta(seconds=seconds), "started_at": moment}
        named = {"chat_id": chat, "message_id": 1, "task_description": "x", "task_type": kind, "status": status}
        created = await em.promises.create(named | took)
        columns = em.promises.plans.columns
        change = em.promises.plans.table.update().where(columns["id"] == created.id).values(created_at=moment)
        await em.db.write(lambda executor: executor.execute(change))

    await past(-1, "completed", chat=1, seconds=1)
    await past(0, "completed", chat=1, seconds=2.5)
    await past(0, "failed", chat=0, seconds=7.5, kind="search")
    await past(6, "pending", chat=0)
    await past(7, "cancelled", chat=1)
    await past(8, "completed", chat=2, seconds=100)
    with recorded_statements() as statements:
        found = await em.promises.statistics(monday, monday + timedelta(days=8))
    assert len(statements) == 6
    assert (found.all.count, found.all.chats, found.all.completed, found.all.ended) == (4, 2, 1, 3)
    assert (found.all.success_rate, found.all.mean_seconds) == (1 / 3, 5.0)
    assert {status: one.count for status, one in found.by_status.items()} == {
        PromiseStatus.PENDING: 1,
        PromiseStatus.WAITING: 0,
        PromiseStatus.IN_PROGRESS: 0,
        PromiseStatus.COMPLETED: 1,
        PromiseStatus.FAILED: 1,
        PromiseStatus.CANCELLED: 1,
    }
    assert found.by_status[PromiseStatus.COMPLETED].mean_seconds == 2.5
    assert [found.by_type[kind].count for kind in PromiseType] == [3, 1, 0]
    assert found.by_type[PromiseType.ANALYSIS].success_rate is None
    assert [(one.begins, one.count, one.completed) for one in found.daily] == [
        (date(2026, 3, 2), 2, 1),
        (date(2026, 3, 8), 1, 0),
        (date(2026, 3, 9), 1, 0),
    ]
    assert [(one.begins, one.count) for one in found.weekly] == [(date(2026, 3, 2), 3), (date(2026, 3, 9), 1)]
    assert [(one.chat_id, one.count) for one in found.most_active] == [(1, 2), (0, 2)]
    assert [one.chat_id for one in (await em.promises.statistics(chats=1)).most_active] == [1]
    assert (await em.promises.statistics(until=monday - timedelta(days=9))).all.success_rate is None
    for bad in ({"chats": 0}, {"since": datetime(2026, 1, 1)}):  # noqa: DTZ001
        with pytest.raises(ValidationError):
            await em.promises.statistics(**bad)
