"""Leases are measured by a clock that nobody can set."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent_system.clock import boot, from_microseconds, microseconds_since_boot, to_microseconds, utc_now
from agent_system.entity_manager import EntityManager
from agent_system.managers.queue import lease_clock
from agent_system.managers.queue.lease_clock import LeaseClock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_by_an_hour_ends_no_lease_and_prolongs_none(
    database: DatabaseManager, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    em = EntityManager(database)
    await em.queue.enqueue("a")
    (job,) = await em.queue.claim(lease_seconds=60)
    # The date jumps; the machine's own count of time goes on.
    moved = EntityManager(database)
    monkeypatch.setattr(moved.queue, "_clock", lambda: utc_now() + timedelta(hours=hours))
    assert await moved.queue.claim(1) == []
    assert await moved.queue.stalled() == []
    later = microseconds_since_boot() + 61_000_000
    monkeypatch.setattr(lease_clock, "microseconds_since_boot", lambda: later)
    assert [one.id for one in await moved.queue.claim(1)] == [job.id]


async def test_all_processes_of_a_machine_agree_on_when_it_was_started(database: DatabaseManager) -> None:
    clocks = [LeaseClock(database, utc_now) for _ in range(3)]
    for clock in clocks:
        await clock.set()
    moments = [clock.now() for clock in clocks]
    assert max(moments) - min(moments) < timedelta(seconds=1)
    assert len({clock._started for clock in clocks}) == 1
    assert abs(moments[0] - utc_now()) < timedelta(seconds=5)


async def test_where_nothing_names_the_start_of_a_machine_each_process_has_its_own_clock(
    database: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_clock, "boot", lambda: None)
    clock = LeaseClock(database, utc_now)
    with pytest.raises(RuntimeError, match="not set"):
        clock.now()
    await clock.set()
    assert abs(clock.now() - utc_now()) < timedelta(seconds=5)


def test_moments_are_counted_in_microseconds() -> None:
    now = utc_now()
    assert from_microseconds(to_microseconds(now)) == now
    assert boot() == boot()
