"""The dashboard and the timeline of a task: everything that a monitor shows, by a handful of statements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from agent_system import EntityManager
from agent_system.errors import CursorError, NotFoundError, ValidationError
from agent_system.types import TaskStatus
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


async def work(em: EntityManager, clock: Clock, count: int) -> None:
    """Let tasks call tools and end."""
    for number in range(count):
        task = await em.tasks.create({"instruction": "i", "status": "running", "session_uuid": f"s{number % 2}"})
        await em.tool_usage.start(f"c{number}", "Bash", task_id=task.id, session_uuid=f"s{number % 2}")
        await em.agent_status.record("tool_call", task_id=task.id)
        clock.now += timedelta(minutes=1)
        await em.tool_usage.finish(f"c{number}", error="timed out" if number % 2 else None)
        if number % 3:
            await em.tasks.set_status(task.id, "completed" if number % 3 == 1 else "failed")


async def test_a_snapshot_takes_ten_statements_however_much_there_is(em: EntityManager, clock: Clock) -> None:
    counts = []
    for number in (1, 2):
        for _ in range(number):
            await em.tasks.create({"instruction": "i", "status": "running"})
            await em.tool_usage.finish(None, tool_name="Bash", session_uuid=f"s{number}", error="timed out")
        clock.now += timedelta(minutes=1)
        with recorded_statements() as statements:
            await em.dashboard.snapshot()
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 10


async def test_a_snapshot_shows_what_happened(em: EntityManager, clock: Clock) -> None:
    await work(em, clock, 9)
    await em.tool_usage.start("open", "Read", session_uuid="s1")
    snapshot = await em.dashboard.snapshot(timedelta(hours=2), timedelta(hours=1))
    assert (snapshot.at, snapshot.since) == (clock.now, clock.now - timedelta(hours=2))
    assert snapshot.tasks_by_status[TaskStatus.RUNNING] == len(snapshot.running) == 3
    assert snapshot.tasks_ended == {
        TaskStatus.COMPLETED: 3, TaskStatus.FAILED: 3, TaskStatus.STOPPED: 0, TaskStatus.CANCELLED: 0,
    }  # fmt: skip
    assert snapshot.success_rate == 0.5
    assert (snapshot.calls.calls, snapshot.calls.succeeded, snapshot.calls.failed) == (10, 5, 4)
    assert (snapshot.calls.in_progress, snapshot.calls.p50_duration_ms) == (1, 60_000.0)
    assert [call.call_id for call in snapshot.errors] == ["c7", "c5", "c3", "c1"]
    assert [(bucket.start.hour, bucket.calls, bucket.failed) for bucket in snapshot.series] == [
        (10, 0, 0), (11, 0, 0), (12, 10, 4),
    ]  # fmt: skip
    assert [(bucket.completed, bucket.failed) for bucket in snapshot.task_series] == [(0, 0), (0, 0), (3, 3)]
    assert snapshot.statuses == {"tool_call": 9}
    assert [(one.session_uuid, one.calls, one.in_progress) for one in snapshot.sessions] == [("s1", 3, 1), ("s0", 3, 0)]
    assert snapshot.health is not None
    assert snapshot.health.disk_usage > 0
    clock.now += timedelta(minutes=10)
    assert await em.dashboard.active_sessions() == []
    assert (await em.dashboard.snapshot(timedelta(minutes=5), with_health=False)).calls.calls == 0


async def test_a_scope_sees_its_own_dashboard(em: EntityManager) -> None:
    users = [await em.users.create({"username": name}) for name in ("ada", "bob")]
    for user in users:
        task = await em.tasks.create({"instruction": "i", "user_id": user.id, "status": "running"})
        await em.tool_usage.finish(None, tool_name="Bash", task_id=task.id, error="timed out")
    hers = em.scoped(user_id=users[0].id)
    snapshot = await hers.dashboard.snapshot(with_health=False)
    assert [task.user_id for task in snapshot.running] == [users[0].id]
    assert (snapshot.calls.calls, [call.user_id for call in snapshot.errors]) == (1, [users[0].id])
    assert (await hers.dashboard.timeline(task.id)).items == []
    assert len((await hers.dashboard.timeline(snapshot.running[0].id)).items) == 1


async def test_an_empty_system_has_a_snapshot(em: EntityManager) -> None:
    snapshot = await em.dashboard.snapshot(with_health=False)
    assert (snapshot.success_rate, snapshot.running, snapshot.errors, snapshot.sessions) == (None, [], [], [])
    assert len(snapshot.series) == 24


async def test_a_timeline_merges_what_happened_in_order(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    other = await em.tasks.create({"instruction": "other"})
    for number in range(5):
        for belongs in (task, other):
            await em.tasks.add_activity(belongs.id, f"a{number}")
            await em.agent_status.record(f"s{number}", task_id=belongs.id, timestamp=NOON + timedelta(minutes=number))
            await em.tool_usage.start(
                f"t{number}-{belongs.id}", f"t{number}", task_id=belongs.id, timestamp=NOON + timedelta(minutes=number)
            )
    whole = await em.dashboard.timeline(task.id)
    assert whole.next_cursor is None
    assert sorted((entry.at, entry.kind, entry.item.id) for entry in whole.items) == [
        (entry.at, entry.kind, entry.item.id) for entry in whole.items
    ]
    assert [entry.kind for entry in whole.items].count("activity") == 5
    assert {entry.item.task_id for entry in whole.items} == {task.id}
    entries, cursor = [], None
    while True:
        with recorded_statements() as statements:
            page = await em.dashboard.timeline(task.id, limit=4, after=cursor)
        assert len(statements) <= 4
        entries += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert entries == whole.items
    calls = await em.dashboard.timeline(task.id, kinds=["tool"])
    assert [entry.item.call_id for entry in calls.items] == [f"t{number}-{task.id}" for number in range(5)]


async def test_bad_timelines_are_refused(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    with pytest.raises(ValidationError, match="limit"):
        await em.dashboard.timeline(task.id, limit=0)
    with pytest.raises(ValidationError, match="kinds"):
        await em.dashboard.timeline(task.id, kinds=["nonsense"])
    with pytest.raises(CursorError):
        await em.dashboard.timeline(task.id, after="nonsense")
    with pytest.raises(NotFoundError):
        await em.dashboard.timeline("nonsense")
    assert (await em.dashboard.timeline(task.id)).items == []
