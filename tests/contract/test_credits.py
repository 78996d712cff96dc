"""Credits: snapshots of what is left, how fast it goes, and what is worth an alert."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.errors import ValidationError
from agent_system.managers.ledger.credit_thresholds import CreditThresholds
from agent_system.types import AlertSeverity
from tests.clock import NOW, Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def alerts_of(em: EntityManager, **figures: Any) -> list[tuple[str, str, float | None, float | None]]:
    recorded = await em.credits.record(**figures)
    return [
        (alert.alert_type, alert.severity.value, alert.threshold_value, alert.current_value)
        for alert in recorded.alerts
    ]


async def test_each_snapshot_is_a_row_with_the_whole_answer(em: EntityManager, clock: Clock) -> None:
    answer = {"credits_remaining": "100.00", "nested": {"emoji": "🚀", "nul": "\0"}}
    first = await em.credits.record(credits_remaining=100, credits_used=1.5, raw_response=answer)
    assert first.balance.raw_response == answer
    assert (first.balance.provider, first.balance.last_updated) == ("openrouter", NOW)
    assert (first.balance.credits_remaining, first.balance.daily_spend) == (100.0, None)
    assert first.alerts == []
    assert await em.credits.require(first.balance.id) == first.balance
    clock.move(minutes=1)
    second = await em.credits.record(credits_remaining=99.5)
    await em.credits.record("other", credits_remaining=7)
    assert await em.credits.current() == second.balance
    assert await em.credits.current("nobody") is None
    assert await em.credits.count() == 3
    with recorded_statements() as statements:
        newest = await em.credits.current_by_provider()
    assert len(statements) == 1
    assert {provider: balance.credits_remaining for provider, balance in newest.items()} == {
        "openrouter": 99.5,
        "other": 7.0,
    }


async def test_figures_that_the_provider_did_not_say_do_no_harm(em: EntityManager) -> None:
    assert await alerts_of(em) == []
    assert await alerts_of(em, credits_remaining=None, credits_used=1.0, daily_spend=None) == []
    status = await em.credits.status()
    assert (status.credits_remaining, status.burn_rate_usd_per_day, status.days_left) == (None, None, None)
    assert status.is_exhausted is None
    assert await em.credits.is_exhausted() is None
    assert (await em.credits.status("nobody")).balance is None
    await em.credits.record(credits_remaining=12.0)
    await em.credits.record(credits_remaining=None)
    # What was known last goes on being known.
    status = await em.credits.status()
    assert status.balance is not None
    assert (status.balance.credits_remaining, status.credits_remaining) == (None, 12.0)


async def test_thresholds_raise_alerts_once(em: EntityManager, clock: Clock) -> None:
    assert await alerts_of(em, credits_remaining=25.01, daily_spend=49.99, rate_limit_remaining=6) == []
    assert await alerts_of(em, credits_remaining=25, daily_spend=50, rate_limit_remaining=5) == [
        ("low_balance", "warning", 25.0, 25.0),
        ("daily_limit", "warning", 50.0, 50.0),
        ("rate_limit", "warning", 5.0, 5.0),
    ]
    assert await alerts_of(em, credits_remaining=24, daily_spend=60, rate_limit_remaining=0) == []
    assert await alerts_of(em, credits_remaining=5) == [("low_balance", "critical", 5.0, 5.0)]
    assert await alerts_of(em, credits_remaining=4) == []
    clock.move(hours=1)
    assert await alerts_of(em, credits_remaining=-1) == [("low_balance", "critical", 5.0, -1.0)]
    assert [alert.alert_type for alert in await em.alerts.active(severity="critical")] == ["low_balance"] * 2
    alert = (await em.alerts.active())[0]
    assert alert.provider == "openrouter"
    assert alert.message == "only $-1.00 of credits are left"


async def test_thresholds_are_the_callers_choice(em: EntityManager) -> None:
    none = CreditThresholds(low_balance_critical=None, low_balance_warning=None, daily_spend=None, rate_limit=None)
    assert await alerts_of(em, credits_remaining=0, daily_spend=99, rate_limit_remaining=0, thresholds=none) == []
    em.credits.thresholds = CreditThresholds(low_balance_critical=None, low_balance_warning=1_000)
    assert await alerts_of(em, credits_remaining=0) == [("low_balance", "warning", 1_000.0, 0.0)]
    assert EntityManager(em.db).credits.thresholds == CreditThresholds()


async def test_of_many_snapshots_at_once_one_raises_the_alert(em: EntityManager) -> None:
    recorded = await asyncio.gather(*(em.credits.record(credits_remaining=3) for _ in range(64)))
    assert sum(len(one.alerts) for one in recorded) == 1
    assert await em.credits.count() == 64
    assert [alert.severity for alert in await em.alerts.active()] == [AlertSeverity.CRITICAL]


async def test_a_snapshot_and_its_alerts_are_one_transaction(em: EntityManager, database: DatabaseManager) -> None:
    async def fail() -> None:
        async with database.transaction():
            await em.credits.record(credits_remaining=3)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert (await em.credits.count(), await em.alerts.count()) == (0, 0)


async def test_history_comes_in_pages_newest_first(em: EntityManager, clock: Clock) -> None:
    for left in (30.0, 29.0, 28.0, 27.0):
        await em.credits.record(credits_remaining=left)
        await em.credits.record("other", credits_remaining=1_000.0)
        clock.move(days=1)
    first = await em.credits.history(limit=3)
    rest = await em.credits.history(limit=3, after=first.next_cursor)
    assert [row.credits_remaining for row in [*first.items, *rest.items]] == [27.0, 28.0, 29.0, 30.0]
    assert rest.next_cursor is None
    since, until = NOW + timedelta(days=1), NOW + timedelta(days=3)
    between = await em.credits.history(since=since, until=until)
    assert [row.credits_remaining for row in between.items] == [28.0, 29.0]
    with pytest.raises(ValidationError, match="since"):
        await em.credits.history(since=datetime(2026, 1, 1))  # noqa: DTZ001 (refused)


async def test_the_burn_rate_is_what_went_per_day_whatever_was_paid_in(em: EntityManager, clock: Clock) -> None:
    assert await em.credits.burn_rate() is None
    await em.credits.record(credits_remaining=1_000)
    assert await em.credits.burn_rate() is None
    clock.move(days=30)
    for left in (20.0, 18.0, 100.0, 94.0):
        await em.credits.record(credits_remaining=left)
        await em.credits.record("other", credits_remaining=left / 2)
        clock.move(days=1)
    # Eight dollars went in three days; the eighty-two that were paid in do not count.
    assert await em.credits.burn_rate() == pytest.approx(8 / 3)
    assert await em.credits.burn_rate("other") == pytest.approx(4 / 3)
    assert await em.credits.days_left() == pytest.approx(94 * 3 / 8)
    assert await em.credits.burn_rate(days=2.5) == pytest.approx(6.0)
    assert await em.credits.burn_rate(days=1.5) is None
    with recorded_statements() as statements:
        await em.credits.burn_rate()
    assert len(statements) == 1


async def test_the_burn_rate_takes_the_measure_that_moves(em: EntityManager, clock: Clock) -> None:
    for left, used in ((50.0, 1.0), (None, 3.0), (50.0, None), (50.0, 7.0)):
        await em.credits.record(credits_remaining=left, credits_used=used)
        clock.move(days=1)
    assert await em.credits.burn_rate() == pytest.approx(2.0)
    assert (await em.credits.status()).days_left == pytest.approx(25.0)
    for left in (60.0, 40.0):
        await em.credits.record("moves", credits_remaining=left, credits_used=1.0)
        clock.move(days=1)
    assert await em.credits.burn_rate("moves") == pytest.approx(20.0)
    for _ in range(2):
        await em.credits.record("still", credits_remaining=9.0)
        clock.move(hours=1)
    still = await em.credits.status("still")
    assert (still.burn_rate_usd_per_day, still.days_left, still.is_exhausted) == (0.0, None, False)


async def test_nothing_left_is_exhausted(em: EntityManager, clock: Clock) -> None:
    await em.credits.record(credits_remaining=2.0)
    assert await em.credits.is_exhausted() is False
    clock.move(minutes=1)
    await em.credits.record(credits_remaining=0.0)
    assert await em.credits.is_exhausted() is True
    assert await em.credits.days_left() == 0.0


async def test_bad_snapshots_are_refused(em: EntityManager) -> None:
    for figures, field in (
        ({"credits_remaining": "3"}, "credits_remaining"),
        ({"daily_spend": float("inf")}, "daily_spend"),
        ({"rate_limit_remaining": 1.5}, "rate_limit_remaining"),
        ({"rate_limit_reset": datetime(2026, 1, 1)}, "rate_limit_reset"),  # noqa: DTZ001 (refused)
        ({"balance": 3}, "balance"),
        ({"raw_response": {"bad": float("nan")}}, "raw_response"),
    ):
        bad: dict[str, Any] = figures
        with pytest.raises(ValidationError) as caught:
            await em.credits.record(**bad)
        assert caught.value.field == field
    for days in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValidationError, match="days"):
            await em.credits.burn_rate(days=days)
    assert (await em.credits.count(), await em.alerts.count()) == (0, 0)
