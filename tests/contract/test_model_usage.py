"""Model usage: calls with whoever asked for them, and reports of one statement each."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.errors import ValidationError
from tests.clock import NOW, Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system import DatabaseManager

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


@pytest.fixture
async def recorded(em: EntityManager) -> None:
    """Record calls of two models by two people and by nobody, on two days."""
    await em.identities.create({"id": "ada", "display_name": "Ada"})
    calls: list[dict[str, Any]] = [
        {"user_id": "ada", "prompt_tokens": 10, "completion_tokens": 5, "response_time_ms": 100, "estimated_cost": 0.5},
        {"user_id": "ada", "prompt_tokens": 20, "completion_tokens": 5, "response_time_ms": 300, "estimated_cost": 1.0},
        {"user_id": "grace", "success": False, "error_type": "timeout"},
        {"timestamp": NOW - DAY, "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 3, "estimated_cost": 0.25},
    ]
    for call in calls:
        await em.model_usage.record("gpt", **call)
    tools = {"capabilities_detected": 3, "capabilities_executed": 2, "capability_types": "memory,web"}
    await em.model_usage.record("claude", user_id="ada", response_time_ms=50, estimated_cost=4.0, **tools)
    await em.model_usage.record("claude", user_id="grace", response_time_ms=150, estimated_cost=6.5)


async def test_a_call_is_kept_with_all_that_is_known(em: EntityManager) -> None:
    call = await em.model_usage.record("gpt", user_id="юзер", prompt_tokens=3, completion_tokens=4, message_id="m\0")
    assert (call.total_tokens, call.timestamp, call.success, call.message_id) == (7, NOW, True, "m\0")
    # What nobody measured is not zero.
    assert (call.estimated_cost, call.response_time_ms, call.input_length) == (None, None, None)
    assert await em.model_usage.require(call.id) == call
    assert (await em.model_usage.record("gpt", prompt_tokens=3)).total_tokens is None
    assert (await em.identities.require("юзер")).display_name == "юзер"


async def test_somebody_new_gets_one_identity_in_the_same_transaction(
    em: EntityManager, database: DatabaseManager
) -> None:
    await asyncio.gather(*(em.model_usage.record("gpt", user_id="ada") for _ in range(64)))
    assert await em.identities.count() == 1
    assert await em.model_usage.count(user_id="ada") == 64
    await em.model_usage.create_many([{"model_name": "gpt", "user_id": user} for user in ("a", "b", "a")])
    assert await em.identities.count() == 3

    async def fail() -> None:
        async with database.transaction():
            await em.model_usage.record("gpt", user_id="grace")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await em.identities.get_by_id("grace") is None
    with pytest.raises(ValidationError, match="prompt_tokens"):
        await em.model_usage.record("gpt", user_id="joan", prompt_tokens=-1)
    assert await em.identities.get_by_id("joan") is None


async def test_calls_outlive_whoever_asked_for_them(em: EntityManager) -> None:
    call = await em.model_usage.record("gpt", user_id="ada")
    assert await em.identities.delete("ada")
    assert (await em.model_usage.require(call.id)).user_id is None


@pytest.mark.usefixtures("recorded")
async def test_totals(em: EntityManager) -> None:
    totals = await em.model_usage.totals()
    assert (totals.calls, totals.succeeded, totals.failed) == (6, 5, 1)
    assert (totals.prompt_tokens, totals.completion_tokens, totals.total_tokens) == (31, 11, 43)
    assert (totals.estimated_cost, totals.priced, totals.unpriced) == (12.25, 5, 1)
    assert totals.success_rate == pytest.approx(5 / 6)
    assert totals.average_total_tokens == pytest.approx(43 / 3)
    assert (totals.timed, totals.average_response_time_ms) == (4, 150.0)
    assert (await em.model_usage.totals(since=NOW)).calls == 5
    assert (await em.model_usage.totals(until=NOW)).calls == 1
    assert (await em.model_usage.totals(since=NOW - DAY, until=NOW, model_name="claude")).calls == 0
    nothing = await em.model_usage.totals(user_id="nobody")
    assert (nothing.calls, nothing.success_rate, nothing.average_total_tokens) == (0, None, None)
    assert (nothing.estimated_cost, nothing.average_response_time_ms) == (0.0, None)


@pytest.mark.usefixtures("recorded")
async def test_usage_of_a_person(em: EntityManager) -> None:
    usage = await em.model_usage.of_user("ada")
    assert (usage.user_id, usage.most_used_model) == ("ada", "gpt")
    assert (usage.totals.calls, usage.totals.total_tokens, usage.totals.estimated_cost) == (3, 40, 5.5)
    nobody = await em.model_usage.of_user("nobody")
    assert (nobody.most_used_model, nobody.totals.calls) == (None, 0)
    assert (await em.model_usage.of_user("ada", until=NOW)).most_used_model is None
    assert await em.model_usage.most_used_model() == "gpt"
    # Of two that were called equally often it is always the same.
    assert await em.model_usage.most_used_model(user_id="grace") == "claude"
    assert await em.model_usage.most_used_model(user_id="nobody") is None


@pytest.mark.usefixtures("recorded")
async def test_usage_by_model(em: EntityManager) -> None:
    gpt, claude = await em.model_usage.by_model()
    assert (gpt.model_name, gpt.totals.calls, gpt.totals.success_rate) == ("gpt", 4, 0.75)
    assert gpt.totals.average_response_time_ms == 200.0
    assert (claude.model_name, claude.totals.estimated_cost) == ("claude", 10.5)
    assert [each.model_name for each in await em.model_usage.by_model(user_id="ada", since=NOW)] == ["gpt", "claude"]


@pytest.mark.usefixtures("recorded")
async def test_what_models_make_of_tools(em: EntityManager) -> None:
    gpt, claude = await em.model_usage.tool_performance()
    assert (gpt.model_name, gpt.detected_percent, gpt.executed_percent) == ("gpt", 0.0, None)
    assert (claude.calls, claude.calls_with_tools, claude.detected, claude.executed) == (2, 1, 3, 2)
    assert claude.detected_percent == 50.0
    assert claude.executed_percent == pytest.approx(200 / 3)
    assert claude.average_response_time_ms == 100.0


@pytest.mark.usefixtures("recorded")
async def test_usage_by_day(em: EntityManager, clock: Clock) -> None:
    clock.move(seconds=10)
    await em.model_usage.record("gpt")
    days = await em.model_usage.daily()
    assert [(each.day, each.totals.calls) for each in days] == [
        (date(2026, 3, 30), 1), (date(2026, 3, 31), 5), (date(2026, 4, 1), 1),
    ]  # fmt: skip
    since = datetime(2026, 3, 31, tzinfo=UTC)
    assert [each.day.day for each in await em.model_usage.daily(since=since, until=since + DAY)] == [31]


@pytest.mark.usefixtures("recorded")
async def test_those_who_cost_most(em: EntityManager) -> None:
    spenders = await em.model_usage.top_spenders()
    assert [(each.user_id, each.display_name, each.totals.estimated_cost) for each in spenders] == [
        ("grace", "grace", 6.5), ("ada", "Ada", 5.5),
    ]  # fmt: skip
    assert [each.user_id for each in await em.model_usage.top_spenders(1, model_name="gpt")] == ["ada"]


@pytest.mark.usefixtures("recorded")
async def test_every_report_is_one_statement(em: EntityManager) -> None:
    reports: list[Callable[[], Awaitable[object]]] = [
        em.model_usage.totals,
        lambda: em.model_usage.of_user("ada"),
        em.model_usage.by_model,
        em.model_usage.tool_performance,
        em.model_usage.daily,
        em.model_usage.top_spenders,
        em.model_usage.most_used_model,
    ]
    for report in reports:
        with recorded_statements() as statements:
            await report()
        assert len(statements) == 1


async def test_bad_calls_and_filters_are_refused(em: EntityManager) -> None:
    for values, field in (
        ({"prompt_tokens": -1}, "prompt_tokens"),
        ({"success": "yes"}, "success"),
        ({"estimated_cost": float("nan")}, "estimated_cost"),
        ({"tokens": 3}, "tokens"),
    ):
        call: dict[str, Any] = values
        with pytest.raises(ValidationError) as caught:
            await em.model_usage.record("gpt", **call)
        assert caught.value.field == field
    for filters, field in (
        ({"since": datetime(2026, 1, 1)}, "since"),  # noqa: DTZ001 (refused)
        ({"user_id": 3}, "user_id"),
        ({"model": "gpt"}, "model"),
    ):
        wanted: dict[str, Any] = filters
        with pytest.raises(ValidationError) as caught:
            await em.model_usage.totals(**wanted)
        assert caught.value.field == field
