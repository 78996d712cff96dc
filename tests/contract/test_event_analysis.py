"""What events tell when they are looked at together: performance, trends, ranks, patterns, samples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from agent_system.errors import ValidationError
from agent_system.managers.audit.analysis import EventPerformance
from agent_system.types import EventOutcome
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import EntityManager

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = NOON + timedelta(days=1)


async def log(em: EntityManager, entity: str, kind: str = "run", hours: float = 0, **fields: Any) -> None:
    await em.events.log(kind, "worker", entity, created_at=NOON + timedelta(hours=hours), **fields)


async def test_performance_with_percentiles_and_trend(em: EntityManager) -> None:
    for hours, duration, outcome in ((0, 10, "success"), (1, 30, "success"), (13, 40, "failure"), (14, 60, "timeout")):
        await log(em, "a", hours=hours, duration_ms=float(duration), outcome=outcome)
    await log(em, "a", hours=2)
    await log(em, "a", hours=24, duration_ms=1e9)
    where = {"entity_type": "worker"}
    with recorded_statements() as statements:
        found = await em.events.analysis.performance(NOON, DAY, where)
    assert len(statements) == 2
    assert (found.events, found.succeeded, found.failed, found.timed) == (5, 2, 2, 4)
    assert (found.average_ms, found.max_ms, found.p50_ms, found.p95_ms) == (35.0, 60.0, 30.0, 60.0)
    assert (found.success_rate, found.trend) == (0.5, 1.5)
    nothing = await em.events.analysis.performance(NOON, NOON, where)
    assert (nothing, nothing.trend, nothing.success_rate) == (EventPerformance(), None, None)


async def test_an_entity_beside_others_of_its_type(em: EntityManager) -> None:
    for entity, successes, failures, duration in (("a", 1, 1, 10), ("b", 3, 0, 20), ("c", 0, 2, 5), ("d", 1, 3, 40)):
        for number in range(successes + failures):
            outcome = "success" if number < successes else "error"
            await log(em, entity, outcome=outcome, duration_ms=float(duration))
    await log(em, "idle")
    with recorded_statements() as statements:
        rank = await em.events.analysis.rank("worker", "a", NOON, DAY)
    assert len(statements) == 1
    assert rank is not None
    assert (rank.success_rate, rank.average_ms, rank.entities) == (0.5, 10.0, 5)
    assert (rank.share_not_more_successful, rank.share_not_faster) == (0.75, 0.75)
    idle = await em.events.analysis.rank("worker", "idle", NOON, DAY)
    assert idle is not None
    assert (idle.success_rate, idle.share_not_more_successful, idle.share_not_faster) == (None, None, None)
    assert await em.events.analysis.rank("worker", "nobody", NOON, DAY) is None


async def test_patterns_of_use_of_errors_and_of_sequence(em: EntityManager) -> None:
    for entity in ("a", "b"):
        steps = [(0, "plan", None), (1, "call", "success"), (2, "plan", None), (3, "call", "error")]
        for hours, kind, outcome in steps:
            await log(em, entity, kind, hours, outcome=outcome)
    where = {"entity_type": "worker"}
    by_hour = await em.events.analysis.usage_by_hour(NOON, DAY, where)
    assert {hour: count for hour, count in by_hour.items() if count} == {12: 2, 13: 2, 14: 2, 15: 2}
    assert len(by_hour) == 24
    (error,) = await em.events.analysis.errors(NOON, DAY, where)
    assert (error.event_type, error.outcome, error.count) == ("call", EventOutcome.ERROR, 2)
    pairs = await em.events.analysis.sequences(NOON, DAY, where)
    found = [(one.first, one.then, one.count, one.succeeded) for one in pairs]
    assert found == [("plan", "call", 4, 2), ("call", "plan", 2, 0)]
    assert await em.events.analysis.sequences(NOON, DAY, where, least=5) == []
    with pytest.raises(ValidationError, match="since"):
        await em.events.analysis.errors(datetime(2026, 1, 1), DAY)  # noqa: DTZ001 (refused)


async def test_a_sample_is_written_now_and_then_and_says_so(em: EntityManager) -> None:
    with patch("random.random", side_effect=[0.05, 0.2, 0.1]):
        written = [await em.events.log_sampled(0.1, "poll", meta={"n": 1}) for _ in range(3)]
    assert [event is not None for event in written] == [True, False, False]
    assert written[0] is not None
    assert written[0].meta == {"n": 1, "sample_rate": 0.1}
    assert await em.events.log_sampled(0, "poll") is None
    assert await em.events.log_sampled(1, "poll") is not None
    with pytest.raises(ValidationError, match="rate"):
        await em.events.log_sampled(1.5, "poll")
