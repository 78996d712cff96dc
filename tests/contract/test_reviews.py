"""Reviews: a threshold is reached once, opportunities are found once, and figures are compared."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agent_system import EntityManager
from agent_system.errors import CheckError, NotFoundError, TransitionError, ValidationError
from agent_system.types import CounterType, Effort, OpportunityStatus
from tests.clock import Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def test_a_count_reaches_its_threshold_and_begins_again(em: EntityManager) -> None:
    key = uuid4()
    await em.reviews.ensure("agent", key, threshold=3)
    due = [(await em.reviews.increment("agent", key)).needs_review for _ in range(7)]
    assert due == [False, False, True, False, False, True, False]
    (counter,) = await em.reviews.find(entity_id=str(key))
    assert (counter.count, counter.total_count, counter.review_count) == (1, 7, 2)
    assert counter.last_review_at == NOON
    events = await em.events.find_by_type("agent.review_due")
    assert [(event.entity_id, event.data["counter_type"]) for event in events] == [(str(key), "usage")] * 2


async def test_64_racers_reach_a_threshold_as_often_as_they_count(em: EntityManager) -> None:
    key = uuid4()
    await em.reviews.ensure("tool", key, "error", threshold=100)

    async def count() -> int:
        return sum([(await em.reviews.increment("tool", key, "error")).needs_review for _ in range(10)])

    async with asyncio.timeout(50):
        due = sum(await asyncio.gather(*(count() for _ in range(64))))
    (counter,) = await em.reviews.find()
    assert (counter.total_count, counter.count, counter.review_count, due) == (640, 40, 6, 6)
    assert await em.events.count(event_type="tool.review_due") == 6


async def test_racing_first_counts_make_one_counter(em: EntityManager) -> None:
    key = uuid4()
    await asyncio.gather(*(em.reviews.increment("agent", key) for _ in range(64)))
    (counter,) = await em.reviews.find()
    assert (counter.total_count, counter.threshold) == (64, 100)
    counters = await asyncio.gather(*(em.reviews.ensure("agent", "x", "success") for _ in range(16)))
    assert len({one.id for one in counters}) == 1


async def test_reviews_are_due_by_time_or_by_either(em: EntityManager, clock: Clock) -> None:
    day = timedelta(days=1)
    await em.reviews.ensure("agent", "p", frequency="periodic", period_seconds=86_400, threshold=2)
    await em.reviews.ensure("agent", "h", frequency="hybrid", period_seconds=86_400, threshold=2)
    assert not any([(await em.reviews.increment("agent", "p")).needs_review for _ in range(5)])
    assert [(await em.reviews.increment("agent", "h")).needs_review for _ in range(3)] == [False, True, False]
    assert await em.reviews.due() == []
    clock.now += day
    assert {counter.entity_id for counter in await em.reviews.due()} == {"p", "h"}
    triggers = await em.reviews.triggers()
    assert [(one.counter.entity_id, one.needs_review) for one in triggers] == [("p", True), ("h", True)]
    assert (await em.reviews.increment("agent", "p")).needs_review
    reviewed = await em.reviews.mark_reviewed("agent", "h")
    assert (reviewed.count, reviewed.next_review_at, reviewed.review_count) == (0, clock.now + day, 2)
    assert await em.reviews.due() == []
    with pytest.raises(NotFoundError):
        await em.reviews.mark_reviewed("agent", "nobody")


async def test_bad_counters_are_refused(em: EntityManager) -> None:
    for fields, field in (
        ({"frequency": "periodic"}, "period_seconds"),
        ({"counter_type": "joy"}, "counter_type"),
        ({"frequency": "yearly"}, "frequency"),
    ):
        with pytest.raises(ValidationError) as caught:
            await em.reviews.ensure("agent", "x", **fields)
        assert caught.value.field == field
    with pytest.raises(CheckError, match="threshold"):
        await em.reviews.ensure("agent", "x", threshold=0)
    with pytest.raises(ValidationError, match="amount"):
        await em.reviews.increment("agent", "x", amount=0)
    assert await em.reviews.count() == 0


async def test_an_observed_event_raises_the_counters_of_its_entity(em: EntityManager) -> None:
    key = uuid4()
    for counter_type in CounterType:
        await em.reviews.ensure("agent", key, counter_type, threshold=2)
    await em.reviews.ensure("agent", "other", threshold=2)
    first = await em.reviews.observe("run.ended", "agent", key, outcome="success", data={"n": 1})
    assert (first.event.event_type, first.event.entity_id, first.due) == ("run.ended", str(key), [])
    second = await em.reviews.observe("agent.updated", "agent", key, outcome="error")
    assert [counter.counter_type for counter in second.due] == [CounterType.USAGE]
    counts = {counter.counter_type.value: counter.total_count for counter in await em.reviews.find(entity_id=str(key))}
    assert counts == {"usage": 2, "success": 1, "error": 1, "modification": 1, "creation": 0, "failure": 0}
    assert [event.event_type for event in await em.events.for_entity("agent", key)] == [
        "agent.review_due", "agent.updated", "run.ended",
    ]  # fmt: skip


async def test_failures_and_slowness_are_opportunities_found_once(em: EntityManager, clock: Clock) -> None:
    key = uuid4()
    await em.reviews.observe("call", "tool", key, outcome="failure")
    clock.now += timedelta(hours=2)
    for number in range(4):
        seen = await em.reviews.observe("call", "tool", key, outcome="failure")
        assert bool(seen.opportunities) is (number >= 2)
    (found,) = await em.opportunities.of_entity("tool", key)
    assert (found.opportunity_type, found.occurrence_count, found.potential_impact) == ("repeated_failures", 2, 4.0)
    assert (found.created_by_event_id, found.effort_estimate) == (seen.event.id - 1, Effort.MEDIUM)
    for duration in (100.0,) * 5 + (140.0, 170.0):
        seen = await em.reviews.observe("read", "tool", key, duration_ms=duration)
    assert [one.opportunity_type for one in seen.opportunities] == ["slow"]
    assert "took 170 ms, on average 107 ms before" in seen.opportunities[0].description


async def test_opportunities_are_closed_once(em: EntityManager, clock: Clock) -> None:
    low = await em.opportunities.propose("agent", "a", "slow", "d", potential_impact=1)
    high = await em.opportunities.propose("agent", "b", "slow", potential_impact=5, effort_estimate="low")
    same = await em.opportunities.propose("agent", "a", "slow", potential_impact=2)
    assert (same.id, same.occurrence_count, same.potential_impact, same.description) == (low.id, 2, 2.0, "d")
    assert [one.id for one in await em.opportunities.find_open()] == [high.id, low.id]
    assert (await em.opportunities.begin(low.id)).completed_at is None
    done = await em.opportunities.complete(low.id, "cached")
    assert (done.status, done.result, done.completed_at) == (OpportunityStatus.COMPLETED, "cached", clock.now)
    with pytest.raises(TransitionError):
        await em.opportunities.reject(low.id)
    anew = await em.opportunities.propose("agent", "a", "slow")
    assert anew.id != low.id
    assert (await em.opportunities.reject(anew.id, "no")).status is OpportunityStatus.REJECTED
    proposals = await asyncio.gather(*(em.opportunities.propose("agent", "c", "slow") for _ in range(32)))
    assert len({one.id for one in proposals}) == 1
    assert (await em.opportunities.require(proposals[0].id)).occurrence_count == 32


async def test_figures_over_time_and_beside_others(em: EntityManager) -> None:
    figures = [("a", 0.1, 0), ("a", 0.5, 2), ("a", 0.3, 1), ("b", 0.7, 0), ("c", 0.5, 0), ("d", 0.2, 0)]
    for agent, value, hours in figures:
        await em.effectiveness.record("agent", agent, "rate", value, measured_at=NOON + timedelta(hours=hours))
    await em.effectiveness.record("agent", "a", "speed", 7, context={"tasks": 3})
    await em.effectiveness.record("tool", "a", "rate", 0.9)
    with recorded_statements() as statements:
        latest = await em.effectiveness.latest("agent", "a")
        standing = await em.effectiveness.standing("agent", "a", "rate")
        history = await em.effectiveness.history("agent", "a", "rate", since=NOON + timedelta(hours=1))
    assert len(statements) == 3
    assert {name: metric.metric_value for name, metric in latest.items()} == {"rate": 0.5, "speed": 7.0}
    assert latest["speed"].context == {"tasks": 3}
    assert standing is not None
    assert (standing.value, standing.share_not_above, standing.entities) == (0.5, 0.75, 4)
    assert [metric.metric_value for metric in history] == [0.5, 0.3]
    assert await em.effectiveness.standing("agent", "nobody", "rate") is None
