"""Reports about tasks: by agent, owner and type, durations, days and weeks, the newest with what they called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.errors import ValidationError
from agent_system.managers.tasks.reports import TaskDurations
from agent_system.types import TaskStatus
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager

# A Friday.
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def em(database: DatabaseManager) -> EntityManager:
    return EntityManager(database, clock=lambda: NOON)


async def make(em: EntityManager, status: str, seconds: float | None = None, **values: Any) -> Any:
    created = values.pop("created_at", NOON)
    moments = {} if seconds is None else {"started_at": created, "completed_at": created + timedelta(seconds=seconds)}
    return await em.tasks.create({"instruction": "i", "status": status, "created_at": created, **moments, **values})


async def test_the_most_active_agents_and_types(em: EntityManager) -> None:
    agents = [await em.agents.create({"name": f"a{n}"}) for n in range(3)]
    for agent, status, count in ((0, "completed", 2), (0, "failed", 1), (1, "completed", 4), (2, "pending", 1)):
        for _ in range(count):
            await make(em, status, agent_id=agents[agent].id, agent_type=f"t{agent % 2}")
    await make(em, "stopped")
    with recorded_statements() as statements:
        groups = await em.tasks.reports.by("agent_id", {"agent_type": "t0"})
        most = await em.tasks.reports.by("agent_id", limit=2)
    assert len(statements) == 2
    assert [group.key for group in groups] == [agents[0].id, agents[2].id]
    assert [(group.key, group.statistics.total) for group in most] == [(agents[1].id, 4), (agents[0].id, 3)]
    assert most[1].statistics.success_rate == pytest.approx(2 / 3)
    types = {group.key: group.statistics.total for group in await em.tasks.reports.by("agent_type")}
    assert types == {"t0": 4, "t1": 4, None: 1}
    assert await em.tasks.reports.by("agent_id", until=NOON) == []
    with pytest.raises(ValidationError, match="dimension"):
        await em.tasks.reports.by("instruction")  # type: ignore[arg-type]


async def test_how_long_tasks_take(em: EntityManager) -> None:
    for seconds in (1.5, 2.25, 100.000001, 4):
        await make(em, "completed", seconds)
    await make(em, "failed", 7)
    await make(em, "running", None, started_at=NOON)
    with recorded_statements() as statements:
        durations = await em.tasks.reports.durations()
    assert len(statements) == 1
    completed = durations.pop(TaskStatus.COMPLETED)
    assert (completed.tasks, completed.min_seconds, completed.max_seconds) == (4, 1.5, 100.000001)
    assert (completed.p50_seconds, completed.p95_seconds) == (2.25, 100.000001)
    assert completed.average_seconds == pytest.approx(107.750001 / 4)
    assert durations == {
        TaskStatus.FAILED: TaskDurations(
            tasks=1, average_seconds=7, min_seconds=7, max_seconds=7, p50_seconds=7, p95_seconds=7
        )
    }


async def test_days_and_weeks(em: EntityManager) -> None:
    monday = datetime(2026, 4, 27, tzinfo=UTC)
    for created, status in (
        (monday, "completed"),
        (monday - timedelta(microseconds=1), "failed"),
        (NOON, "completed"),
        (NOON, "stopped"),
        (NOON - timedelta(days=100), "completed"),
    ):
        await make(em, status, 60, created_at=created)
    with recorded_statements() as statements:
        days = await em.tasks.reports.daily()
        weeks = await em.tasks.reports.weekly()
    assert len(statements) == 2
    assert [day.start for day in days] == [datetime(2026, 4, 25, tzinfo=UTC) + timedelta(days=n) for n in range(7)]
    assert [(day.total, day.completed, day.failed, day.stopped) for day in days] == [
        (0, 0, 0, 0), (1, 0, 1, 0), (1, 1, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (2, 1, 0, 1),
    ]  # fmt: skip
    assert [day.success_rate for day in days][1:3] == [0.0, 1.0]
    assert (days[6].average_seconds, days[0].success_rate) == (60.0, None)
    assert len(weeks) == 8
    assert [(week.start, week.total) for week in weeks[-2:]] == [(monday - timedelta(days=7), 1), (monday, 3)]
    with pytest.raises(ValidationError):
        await em.tasks.reports.daily(0)


async def test_the_newest_tasks_with_their_calls_by_two_statements(em: EntityManager) -> None:
    tasks = [await make(em, "running", created_at=NOON + timedelta(seconds=n)) for n in range(5)]
    for number, task in enumerate(tasks):
        for call in range(number):
            await em.tool_usage.finish(f"{number}-{call}", tool_name="x", task_id=task.id, error="e" if call else None)
    await em.tool_usage.start("open", "x", task_id=tasks[4].id)
    with recorded_statements() as statements:
        recent = await em.tasks.reports.recent(3)
    assert len(statements) == 2
    assert [(one.task.id, one.calls, one.failed_calls, one.calls_in_progress) for one in recent] == [
        (tasks[4].id, 5, 3, 1), (tasks[3].id, 3, 2, 0), (tasks[2].id, 2, 1, 0),
    ]  # fmt: skip
    (first,) = await em.tasks.reports.recent(1, {"id": tasks[0].id})
    assert (first.calls, first.last_call_at) == (0, None)
