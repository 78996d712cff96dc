"""Alerts: said once an hour, taken note of once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.errors import ValidationError
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


async def types(em: EntityManager, **filters: Any) -> list[str]:
    return [alert.alert_type for alert in await em.alerts.active(**filters)]


async def test_an_alert_is_raised_once_an_hour(em: EntityManager, clock: Clock) -> None:
    first = await em.alerts.raise_alert("quota", severity="warning", message="low", threshold_value=5.0)
    assert first is not None
    assert (first.severity, first.created_at, first.acknowledged) == (AlertSeverity.WARNING, NOW, False)
    assert await em.alerts.require(first.id) == first
    clock.move(minutes=59)
    assert await em.alerts.raise_alert("quota", severity="warning") is None
    clock.move(minutes=1)
    assert await em.alerts.raise_alert("quota", severity="warning") is not None
    assert await em.alerts.count() == 2


async def test_a_worse_alert_a_type_or_a_provider_of_its_own_is_not_held_back(em: EntityManager) -> None:
    assert await em.alerts.raise_alert("quota", severity="warning", provider="a") is not None
    assert await em.alerts.raise_alert("quota", severity="critical", provider="a") is not None
    assert await em.alerts.raise_alert("quota", severity="warning", provider="a") is None
    assert await em.alerts.raise_alert("quota", severity="info", provider="a") is None
    assert await em.alerts.raise_alert("quota", severity="critical", provider="b") is not None
    assert await em.alerts.raise_alert("quota", severity="critical") is not None
    assert await em.alerts.raise_alert("quota", severity="critical") is None
    assert await em.alerts.raise_alert("limit", severity="info", provider="a") is not None
    assert await em.alerts.raise_alert("limit", severity="info", provider="a", dedupe_seconds=0) is not None


async def test_of_many_who_raise_an_alert_at_once_one_does(em: EntityManager) -> None:
    raised = await asyncio.gather(
        *(em.alerts.raise_alert(kind, severity="warning") for kind in ("a", "b") for _ in range(32))
    )
    assert sorted(alert.alert_type for alert in raised if alert is not None) == ["a", "b"]
    assert await em.alerts.count() == 2


async def test_one_who_raises_in_a_transaction_that_fails_has_raised_nothing(
    em: EntityManager, database: DatabaseManager
) -> None:
    async def fail() -> None:
        async with database.transaction():
            assert await em.alerts.raise_alert("quota") is not None
            assert await em.alerts.raise_alert("quota") is None
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await em.alerts.raise_alert("quota") is not None


async def test_active_alerts_are_those_of_the_last_day_that_nobody_noted(em: EntityManager, clock: Clock) -> None:
    await em.alerts.raise_alert("old", severity="critical")
    clock.move(hours=12)
    await em.alerts.raise_alert("middle", severity="warning")
    await em.alerts.raise_alert("new", severity="critical")
    with recorded_statements() as statements:
        assert await types(em) == ["new", "middle", "old"]
    assert len(statements) == 1
    clock.move(hours=12)
    assert await types(em) == ["new", "middle"]
    assert await types(em, hours=36) == ["new", "middle", "old"]
    assert await types(em, severity="critical") == ["new"]
    assert await types(em, limit=1) == ["new"]
    assert await em.alerts.acknowledge("new") == 1
    assert await types(em) == ["middle"]


async def test_alerts_are_noted_by_their_key_or_their_type_and_once(em: EntityManager, clock: Clock) -> None:
    for provider in ("a", "b", "c"):
        await em.alerts.raise_alert("quota", provider=provider)
    first = (await em.alerts.find())[0]
    clock.move(minutes=5)
    assert await em.alerts.acknowledge(first.id) == 1
    assert await em.alerts.acknowledge(first.id) == 0
    noted = await em.alerts.require(first.id)
    assert (noted.acknowledged, noted.acknowledged_at) == (True, NOW + timedelta(minutes=5))
    assert sum(await asyncio.gather(*(em.alerts.acknowledge("quota") for _ in range(8)))) == 2
    assert await em.alerts.acknowledge("nothing") == 0
    assert await em.alerts.acknowledge(2**40) == 0
    assert (await em.alerts.update(first.id, {"acknowledged": False})).acknowledged_at is None
    assert await types(em) == ["quota"]
    # One that was noted still keeps the next one away.
    assert await em.alerts.raise_alert("quota", provider="b") is None


async def test_bad_alerts_are_refused(em: EntityManager) -> None:
    for arguments, field in (
        ({"severity": "fatal"}, "severity"),
        ({"threshold_value": "5"}, "threshold_value"),
        ({"current_value": float("nan")}, "current_value"),
        ({"colour": "red"}, "colour"),
        ({"dedupe_seconds": -1}, "dedupe_seconds"),
        ({"acknowledged_at": NOW}, "acknowledged_at"),
    ):
        alert: dict[str, Any] = arguments
        with pytest.raises(ValidationError) as caught:
            await em.alerts.raise_alert("quota", **alert)
        assert caught.value.field == field
    assert await em.alerts.count() == 0
