"""Periodic jobs: one for each time, however many workers look."""

from __future__ import annotations

import asyncio
import builtins
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import MissingExtraError, ValidationError
from agent_system.managers.queue.cron import next_time
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager


@pytest.fixture
def clock() -> Clock:
    clock = Clock.ahead()
    clock.now = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
    return clock


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def test_a_schedule_makes_a_job_at_each_of_its_times(em: EntityManager, clock: Clock) -> None:
    schedule = await em.queue.schedule("report", "0 * * * *", "report", {"to": "ada"}, priority=8)
    assert schedule.next_run_at == datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert await em.queue.run_schedules() == []
    clock.move(seconds=3_600)
    (job,) = await em.queue.run_schedules()
    assert (job.task_type, job.payload, job.priority) == ("report", {"to": "ada"}, 8)
    assert job.meta == {"schedule": "report", "time": "2026-03-01T13:00:00+00:00"}
    assert await em.queue.run_schedules() == []
    (found,) = await em.queue.schedules.find()
    assert (found.last_run_at, found.next_run_at) == (schedule.next_run_at, schedule.next_run_at + timedelta(hours=1))


async def test_times_that_nobody_saw_come_are_made_up_for_by_one_job(em: EntityManager, clock: Clock) -> None:
    await em.queue.schedule("report", "*/5 * * * *", "report")
    clock.move(seconds=86_400)
    assert len(await em.queue.run_schedules()) == 1
    assert await em.queue.run_schedules() == []


async def test_of_many_workers_at_once_one_makes_the_job(em: EntityManager, clock: Clock) -> None:
    await em.queue.schedule("report", "0 * * * *", "report")
    clock.move(seconds=3_600)
    made = await asyncio.gather(*(em.queue.run_schedules() for _ in range(16)))
    assert sum(map(len, made)) == await em.queue.count() == 1


async def test_a_schedule_that_is_there_is_changed(em: EntityManager, clock: Clock) -> None:
    first = await em.queue.schedule("report", "0 * * * *", "report")
    clock.move(seconds=1_800)
    same = await em.queue.schedule("report", "0 * * * *", "report", {"n": 1})
    assert (same.next_run_at, same.payload) == (first.next_run_at, {"n": 1})
    other = await em.queue.schedule("report", "30 6 * * *", "report", timezone="Asia/Kolkata")
    assert other.next_run_at == datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
    await em.queue.schedules.update("report", {"is_active": False})
    clock.move(seconds=86_400 * 2)
    assert await em.queue.run_schedules() == []
    assert await em.queue.schedules.delete("report")


def test_an_hour_that_a_change_of_the_clocks_leaves_out_or_repeats_is_run_once() -> None:
    def times(month: int, day: int) -> list[str]:
        moment, found = datetime(2026, month, day, tzinfo=UTC), []
        for _ in range(2):
            moment = next_time("30 2 * * *", "Europe/Berlin", moment)
            found.append(moment.isoformat())
        return found

    assert times(3, 28) == ["2026-03-28T01:30:00+00:00", "2026-03-29T01:00:00+00:00"]
    assert times(10, 24) == ["2026-10-24T00:30:00+00:00", "2026-10-25T00:30:00+00:00"]


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("cron", {"cron": "every day"}),
        ("cron", {"cron": "61 * * * *"}),
        ("cron", {"cron": "0 0 30 2 *"}),
        ("timezone", {"timezone": "Middle/Earth"}),
        ("timezone", {"timezone": "../etc/passwd"}),
        ("priority", {"priority": 11}),
        ("payload", {"payload": {1}}),
        ("unknown", {"unknown": 1}),
    ],
)
async def test_what_cannot_be_scheduled_is_refused(em: EntityManager, field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.queue.schedule(**({"name": "a", "cron": "0 * * * *", "task_type": "a"} | arguments))
    assert caught.value.field == field
    assert await em.queue.schedules.find() == []


def test_the_package_for_cron_expressions_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def fail(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "cronsim":
            raise ImportError(name)
        return real_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(MissingExtraError, match=r"agent_system\[worker\]"):
        next_time("0 * * * *", "UTC", datetime(2026, 1, 1, tzinfo=UTC))
