"""The rules of the queue: pauses, limits per type and per key, rates."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import ValidationError
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Job


@pytest.fixture
def clock() -> Clock:
    return Clock.ahead()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


def types(jobs: list[Job]) -> str:
    return "".join(job.task_type for job in jobs)


async def enqueue(em: EntityManager, names: str, **fields: Any) -> list[Job]:
    return await em.queue.enqueue_many([{"task_type": name, **fields} for name in names])


async def test_jobs_of_a_paused_type_wait_until_it_is_resumed(em: EntityManager) -> None:
    await enqueue(em, "aab")
    running = (await em.queue.claim(1, types=["a"]))[0]
    await em.queue.pause("a", by="ada")
    assert types(await em.queue.claim(9)) == "b"
    assert await em.queue.claim(9, types=["a"]) == []
    await em.queue.complete(running)
    (rule,) = await em.queue.rules()
    assert (rule.task_type, rule.is_paused, rule.paused_by) == ("a", True, "ada")
    await em.queue.resume("a")
    assert types(await em.queue.claim(9)) == "a"


async def test_a_lost_job_of_a_paused_type_waits_too(em: EntityManager, clock: Clock) -> None:
    await enqueue(em, "ab")
    await em.queue.claim(2, lease_seconds=5)
    await em.queue.pause("a")
    clock.move(seconds=5)
    assert types(await em.queue.claim(9)) == "b"
    await em.queue.resume("a")
    assert types(await em.queue.claim(9)) == "a"


async def test_only_so_many_jobs_of_a_type_run_at_once(em: EntityManager, clock: Clock) -> None:
    await em.queue.limit("a", max_running=2)
    await enqueue(em, "aaabaa")
    first = await em.queue.claim(9, lease_seconds=5)
    assert types(first) == "aab"
    assert await em.queue.claim(9) == []
    await em.queue.complete(first[0])
    assert types(await em.queue.claim(9, lease_seconds=5)) == "a"
    clock.move(seconds=5)
    # What was lost runs again instead of itself.
    assert sorted(types(await em.queue.claim(9))) == ["a", "a", "b"]
    await em.queue.limit("a", max_running=None)
    assert types(await em.queue.claim(9)) == "aa"


async def test_a_limit_of_none_at_once_stops_a_type(em: EntityManager) -> None:
    await em.queue.limit("a", max_running=0)
    await enqueue(em, "a")
    assert await em.queue.claim(1) == []


async def test_priority_counts_beside_limits(em: EntityManager) -> None:
    await em.queue.limit("a", max_running=1)
    await enqueue(em, "aa", priority=9)
    await enqueue(em, "bb", priority=5)
    await enqueue(em, "c", priority=7)
    assert types(await em.queue.claim(3)) == "acb"


@pytest.mark.parametrize("verb", ["complete", "exchange", "exchange and claim"])
@pytest.mark.parametrize("held_up_by", ["key", "limit"])
async def test_who_waits_for_the_end_of_a_job_is_told_of_it(em: EntityManager, verb: str, held_up_by: str) -> None:
    if held_up_by == "limit":
        await em.queue.limit("a", max_running=1)
    key = "k" if held_up_by == "key" else None
    await em.queue.enqueue_many([{"task_type": "a", "concurrency_key": key}] * 2)
    (job,) = await em.queue.claim(2)
    async with em.db.changes() as changes:
        async with asyncio.timeout(20):
            while not changes.is_listening:
                await changes.changed(changes.mark(), 0.1)
        mark = changes.mark()
        if verb == "complete":
            await em.queue.complete(job)
        else:
            await em.queue.exchange([em.queue.completion(job)], 1 if "claim" in verb else 0, types=["a"])
        assert await changes.changed(mark, 20)


async def test_of_jobs_with_one_key_one_runs_at_once(em: EntityManager) -> None:
    await enqueue(em, "aa", concurrency_key="chat 1")
    await enqueue(em, "ab", concurrency_key="chat 2")
    await enqueue(em, "ab")
    first = await em.queue.claim(9)
    assert [(job.task_type, job.concurrency_key) for job in first] == [
        ("a", "chat 1"),
        ("a", "chat 2"),
        ("a", None),
        ("b", None),
    ]
    assert await em.queue.claim(9) == []
    await em.queue.complete(first[1])
    assert [(job.task_type, job.concurrency_key) for job in await em.queue.claim(9)] == [("b", "chat 2")]
    await em.queue.cancel(first[0].id)
    assert [(job.task_type, job.concurrency_key) for job in await em.queue.claim(9)] == [("a", "chat 1")]


async def test_what_waits_for_its_key_keeps_nobody_else_waiting(em: EntityManager) -> None:
    await enqueue(em, "a" * 200, concurrency_key="one", priority=9)
    await enqueue(em, "b" * 3, priority=1)
    other = EntityManager(em.db)
    for queue in (em.queue, other.queue):
        assert Counter(types(await queue.claim(3))) == ({"a": 1, "b": 2} if queue is em.queue else {"b": 1})


async def test_a_type_may_let_more_jobs_with_one_key_run(em: EntityManager) -> None:
    await em.queue.limit("a", max_running_per_key=3)
    await enqueue(em, "aaaaa", concurrency_key="k")
    await enqueue(em, "b", concurrency_key="k")
    assert types(await em.queue.claim(9)) == "aaa"
    assert await em.queue.claim(9) == []


async def test_a_lost_job_keeps_its_key(em: EntityManager, clock: Clock) -> None:
    lost, _waiting = await enqueue(em, "aa", concurrency_key="k")
    await em.queue.claim(2, lease_seconds=5)
    clock.move(seconds=5)
    assert [job.id for job in await em.queue.claim(2, lease_seconds=5)] == [lost.id]
    clock.move(seconds=5)
    assert [job.id for job in await em.queue.claim(1)] == [lost.id]


async def test_only_so_many_jobs_of_a_type_begin_in_a_while(em: EntityManager, clock: Clock) -> None:
    await em.queue.limit("a", rate_limit=3, rate_seconds=10)
    await enqueue(em, "a" * 9)
    await enqueue(em, "b")
    assert types(await em.queue.claim(2)) == "aa"
    clock.move(seconds=4)
    jobs = await em.queue.claim(9)
    assert types(jobs) == "ab"
    await em.queue.complete(jobs[0])
    clock.move(seconds=5.9)
    assert await em.queue.claim(9) == []
    clock.move(seconds=0.1)
    assert types(await em.queue.claim(9)) == "aa"
    clock.move(seconds=4)
    assert types(await em.queue.claim(9)) == "a"


async def test_a_clock_that_is_set_back_does_not_stop_a_rate(em: EntityManager, clock: Clock) -> None:
    await em.queue.limit("a", rate_limit=1, rate_seconds=10)
    await enqueue(em, "aa")
    assert types(await em.queue.claim(9)) == "a"
    clock.move(seconds=-3_600)
    assert types(await em.queue.claim(9)) == "a"


async def test_sixty_four_claims_at_once_pass_no_limit(em: EntityManager, database: DatabaseManager) -> None:
    await em.queue.limit("a", max_running=5)
    await em.queue.limit("b", rate_limit=7, rate_seconds=3_600)
    await enqueue(em, "ab" * 40)
    await enqueue(em, "c" * 20, concurrency_key="k")
    # Managers of their own do not share a statement.
    managers = [EntityManager(database).queue for _ in range(16)]
    shares = await asyncio.gather(*(managers[number % 16].claim(3) for number in range(64)))
    claimed = Counter("".join(types(share) for share in shares))
    more = await em.queue.claim(100)
    assert claimed + Counter(types(more)) == {"a": 5, "b": 7, "c": 1}


@pytest.mark.parametrize(
    "rules",
    [
        {"max_running": -1},
        {"max_running_per_key": 0},
        {"rate_limit": 5},
        {"rate_limit": 0, "rate_seconds": 1},
        {"rate_limit": 1, "rate_seconds": 0},
        {"rate_limit": None, "rate_seconds": 1},
        {"unknown": 1},
        {"recent_starts": [1]},
    ],
)
async def test_rules_that_cannot_be_are_refused(em: EntityManager, rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.queue.limit("a", **rules)
    assert caught.value.field in rules
    assert await em.queue.rules() == []
