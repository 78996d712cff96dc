"""Effects outside of the database: had once, however often their job is run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import (
    EffectUnknownError,
    LeaseLostError,
    NotFoundError,
    TransactionError,
    TransitionError,
    ValidationError,
)
from agent_system.managers.queue.effects import effect_key
from agent_system.types import EffectState
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Effect, Job


class World:
    """What is outside: it counts what is done to it."""

    def __init__(self) -> None:
        self.letters: list[str] = []

    async def send(self, effect: Effect) -> dict[str, Any]:
        self.letters.append(effect.key)
        return {"receipt": len(self.letters)}

    async def refuse(self, _effect: Effect) -> None:
        raise ConnectionRefusedError("nobody there")


@pytest.fixture
def clock() -> Clock:
    return Clock.ahead()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


@pytest.fixture
async def job(em: EntityManager) -> Job:
    await em.queue.enqueue("a")
    (job,) = await em.queue.claim(lease_seconds=10)
    return job


async def next_attempt(em: EntityManager, clock: Clock) -> Job:
    clock.move(seconds=10)
    (job,) = await em.queue.claim(lease_seconds=10)
    return job


async def test_an_effect_is_had_once_and_every_attempt_gets_its_result(
    em: EntityManager, clock: Clock, job: Job
) -> None:
    world = World()
    first = await em.effects.once(job, "send", world.send, arguments={"to": "ada", "n": 1})
    assert await em.effects.once(job, "send", world.send, arguments={"n": 1, "to": "ada"}) == first == {"receipt": 1}
    again = await next_attempt(em, clock)
    assert await em.effects.once(again, "send", world.send, arguments={"to": "ada", "n": 1}) == first
    assert await em.effects.once(again, "send", world.send, arguments={"to": "grace", "n": 1}) == {"receipt": 2}
    assert world.letters == [
        effect_key(job.id, "send", {"to": "ada", "n": 1}),
        effect_key(job.id, "send", {"n": 1, "to": "grace"}),
    ]
    (effect, _other) = await em.effects.find(job_id=job.id)
    assert (effect.state, effect.result, effect.completed_at is not None) == (EffectState.DONE, first, True)
    assert (await em.effects.unresolved()).items == []


async def test_an_effect_is_written_down_before_it_is_had(em: EntityManager, job: Job) -> None:
    async def look(effect: Effect) -> str:
        stored = await em.effects.require(effect.id)
        assert (stored.state, stored.arguments) == (EffectState.PENDING, [1])
        assert (await em.effects.unresolved()).items == []
        return "seen"

    assert await em.effects.once(job, "look", look, arguments=[1]) == "seen"


async def test_nobody_knows_of_an_effect_whose_worker_is_gone(em: EntityManager, clock: Clock, job: Job) -> None:
    world = World()
    effect = await em.effects.begin(job, "send")
    again = await next_attempt(em, clock)
    assert [one.id for one in (await em.effects.unresolved()).items] == [effect.id]
    for _ in range(2):
        with pytest.raises(EffectUnknownError, match="send") as caught:
            await em.effects.once(again, "send", world.send)
        assert (caught.value.effect_id, caught.value.job_id, caught.value.step) == (effect.id, job.id, "send")
    assert world.letters == []
    assert await em.queue.purge(clock.now) == 0

    await em.effects.resolve(effect.id, was_made=True, result="the mail server says so", note="asked")
    assert await em.effects.once(again, "send", world.send) == "the mail server says so"
    with pytest.raises(TransitionError):
        await em.effects.resolve(effect.id, was_made=False)


async def test_an_effect_that_was_not_had_is_had_now(em: EntityManager, clock: Clock, job: Job) -> None:
    world = World()
    effect = await em.effects.begin(job, "send")
    again = await next_attempt(em, clock)
    await em.effects.resolve(effect.id, was_made=False)
    assert await em.effects.once(again, "send", world.send) == {"receipt": 1}
    with pytest.raises(NotFoundError):
        await em.effects.resolve(999, was_made=True)


async def test_where_a_repetition_does_no_harm_it_is_made(em: EntityManager, clock: Clock, job: Job) -> None:
    world = World()
    effect = await em.effects.begin(job, "send")
    again = await next_attempt(em, clock)
    assert await em.effects.once(again, "send", world.send, repeat_unknown=True) == {"receipt": 1}
    assert world.letters == [effect.key]


async def test_errors_tell_whether_there_was_an_effect(em: EntityManager, clock: Clock, job: Job) -> None:
    world = World()
    with pytest.raises(ConnectionRefusedError):
        await em.effects.once(job, "sure", world.refuse, not_made=(ConnectionRefusedError,))
    with pytest.raises(ConnectionRefusedError):
        await em.effects.once(job, "unsure", world.refuse)
    (unknown,) = (await em.effects.unresolved()).items
    assert (unknown.step, unknown.state, "nobody there" in (unknown.note or "")) == (
        "unsure",
        EffectState.UNKNOWN,
        True,
    )
    again = await next_attempt(em, clock)
    assert await em.effects.once(again, "sure", world.send) == {"receipt": 1}
    with pytest.raises(EffectUnknownError):
        await em.effects.once(again, "unsure", world.send)


async def test_an_effect_that_is_cancelled_half_way_is_unknown(em: EntityManager, job: Job) -> None:
    begun = asyncio.Event()

    async def never(_effect: Effect) -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(em.effects.once(job, "wait", never))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [effect.state for effect in (await em.effects.unresolved()).items] == [EffectState.UNKNOWN]


async def test_only_the_holder_of_a_job_has_its_effects(em: EntityManager, clock: Clock, job: Job) -> None:
    world = World()
    await next_attempt(em, clock)
    with pytest.raises(LeaseLostError):
        await em.effects.once(job, "send", world.send)
    assert (world.letters, await em.effects.count()) == ([], 0)


async def test_an_effect_is_not_had_inside_a_transaction(
    em: EntityManager, database: DatabaseManager, job: Job
) -> None:
    world = World()
    async with database.transaction():
        with pytest.raises(TransactionError, match="before"):
            await em.effects.once(job, "send", world.send)
    assert world.letters == []


async def test_arguments_that_are_no_json_are_refused(em: EntityManager, job: Job) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.effects.begin(job, "send", {"to": object()})
    assert caught.value.field == "arguments"


async def test_of_sixty_four_at_once_one_has_the_effect(em: EntityManager, job: Job) -> None:
    world = World()
    tries = (em.effects.once(job, "send", world.send) for _ in range(64))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert len(world.letters) == 1
    assert {"receipt": 1} in results
    assert all(result == {"receipt": 1} or isinstance(result, EffectUnknownError) for result in results)
    assert (await em.effects.unresolved()).items == []
