"""What tool calls add up to: counts that are right, percentiles, leaderboards, time series, sessions."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import ValidationError
from agent_system.managers.telemetry.call_figures import CallFigures
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import EntityManager
    from agent_system.models import ToolUsage

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
TOOLS = ("Bash", "Read", "Edit")


def percentile(values: list[float], share: float) -> float | None:
    """Return what SQL's percentile_disc returns."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else None


async def make_calls(em: EntityManager, count: int = 200) -> list[ToolUsage]:
    choose = random.Random(7)
    outcomes = [("done", True), ("failed", False), ("running", None), ("interrupted", None), ("done", None)]
    rows = []
    for number in range(count):
        state, success = choose.choice(outcomes)
        duration = choose.choice([None, float(choose.randrange(1, 50)), choose.random() * 1000])
        row = {"tool_name": choose.choice(TOOLS), "state": state, "success": success, "duration_ms": duration}
        rows.append({**row, "timestamp": NOON + timedelta(minutes=number), "session_uuid": f"s{number % 3}"})
    return await em.tool_usage.create_many(rows)


def expected(calls: list[ToolUsage]) -> dict[str, Any]:
    durations = [call.duration_ms for call in calls if call.duration_ms is not None]
    states = Counter(call.state.value for call in calls if call.success is None)
    return {
        "calls": len(calls),
        "succeeded": sum(call.success is True for call in calls),
        "failed": sum(call.success is False for call in calls),
        "in_progress": states["running"],
        "interrupted": states["interrupted"],
        "unknown": states["done"],
        "timed": len(durations),
        "min_duration_ms": min(durations, default=None),
        "max_duration_ms": max(durations, default=None),
        "p50_duration_ms": percentile(durations, 0.5),
        "p95_duration_ms": percentile(durations, 0.95),
    }


def shown(figures: CallFigures) -> dict[str, Any]:
    return {key: getattr(figures, key) for key in expected([])}


async def test_statistics_of_tools_are_those_of_their_calls(em: EntityManager) -> None:
    calls = await make_calls(em)
    with recorded_statements() as statements:
        statistics = await em.tool_usage.statistics()
    assert len(statements) == 2
    by_tool = {tool: [call for call in calls if call.tool_name == tool] for tool in TOOLS}
    assert {one.tool_name: shown(one) for one in statistics} == {tool: expected(of) for tool, of in by_tool.items()}
    assert [one.calls for one in statistics] == sorted((len(of) for of in by_tool.values()), reverse=True)
    for one in statistics:
        durations = [call.duration_ms for call in by_tool[one.tool_name] if call.duration_ms is not None]
        assert one.average_duration_ms == pytest.approx(sum(durations) / len(durations))
        assert one.success_rate == pytest.approx(one.succeeded / (one.succeeded + one.failed))


async def test_a_window_is_half_open(em: EntityManager) -> None:
    calls = await make_calls(em, 30)
    since, until = NOON + timedelta(minutes=5), NOON + timedelta(minutes=20)
    totals = await em.tool_usage.totals(since=since, until=until)
    assert shown(totals) == expected(calls[5:20])
    assert shown(await em.tool_usage.totals({"tool_name": "Bash"}, session_uuid="s1")) == expected(
        [call for call in calls if call.tool_name == "Bash" and call.session_uuid == "s1"]
    )
    nothing = await em.tool_usage.totals(since=until, until=until)
    assert (nothing, nothing.success_rate) == (CallFigures(), None)
    assert await em.tool_usage.statistics(tool_name="none") == []
    with pytest.raises(ValidationError, match="since"):
        await em.tool_usage.totals(since=datetime(2026, 1, 1))  # noqa: DTZ001 (refused)
    with pytest.raises(ValidationError, match="tool"):
        await em.tool_usage.totals(tool="Bash")  # type: ignore[call-arg]


async def test_figures_of_every_dimension_and_their_leaders(em: EntityManager) -> None:
    calls = await make_calls(em)
    by_session = {f"s{n}": [call for call in calls if call.session_uuid == f"s{n}"] for n in range(3)}
    with recorded_statements() as statements:
        groups = await em.tool_usage.statistics_by("session_uuid")
    assert len(statements) == 2
    assert {group.key: shown(group) for group in groups} == {key: expected(of) for key, of in by_session.items()}
    slowest = await em.tool_usage.statistics_by("tool_name", rank_by="max_duration_ms", limit=1)
    assert [one.max_duration_ms for one in slowest] == [max(call.duration_ms or 0 for call in calls)]
    failing = await em.tool_usage.statistics_by("tool_name", rank_by="failed", limit=2)
    assert [one.failed for one in failing] == sorted((one.failed for one in failing), reverse=True)
    assert await em.tool_usage.statistics_by("task_id") == []
    task = await em.tasks.create({"instruction": "i"})
    await em.tool_usage.create({"tool_name": "Bash", "task_id": task.id})
    assert [group.key for group in await em.tool_usage.statistics_by("task_id")] == [task.id]
    for arguments in ({"dimension": "result"}, {"dimension": "task_id", "rank_by": "result"}):
        with pytest.raises(ValidationError, match="must be one of"):
            await em.tool_usage.statistics_by(**arguments)


async def test_a_series_has_every_stretch_of_time(em: EntityManager) -> None:
    await make_calls(em, 30)
    series = await em.tool_usage.series(timedelta(minutes=10), NOON, NOON + timedelta(minutes=45))
    assert [bucket.start for bucket in series] == [NOON + timedelta(minutes=10 * n) for n in range(5)]
    assert [bucket.calls for bucket in series] == [10, 10, 10, 0, 0]
    assert sum(bucket.failed for bucket in series) == (await em.tool_usage.totals()).failed
    one = await em.tool_usage.series(timedelta(hours=1), NOON, NOON + timedelta(hours=1), {"session_uuid": "s0"})
    assert [bucket.calls for bucket in one] == [10]
    for bucket in (timedelta(), timedelta(milliseconds=1500), timedelta(seconds=1)):
        with pytest.raises(ValidationError, match="bucket"):
            await em.tool_usage.series(bucket, NOON, NOON + timedelta(days=1))


async def test_errors_come_newest_first_with_their_categories(em: EntityManager) -> None:
    for number, error in enumerate(["permission denied", "timed out", "permission denied", None]):
        await em.tool_usage.finish(
            f"c{number}", tool_name="Bash", error=error, timestamp=NOON + timedelta(seconds=number)
        )
    assert [call.call_id for call in await em.tool_usage.errors(limit=2)] == ["c2", "c1"]
    assert await em.tool_usage.error_categories() == {"permission_error": 2, "timeout": 1}
    later = await em.tool_usage.error_categories(since=NOON + timedelta(seconds=1))
    assert later == {"permission_error": 1, "timeout": 1}


async def test_calls_of_a_session_are_listed_once(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i", "session_uuid": "s"})
    # As seed 002's hooks wrote before they matched: a row before the call and another one behind it.
    twice = {"tool_name": "Bash", "session_uuid": "s", "parameter_hash": "h"}
    await em.tool_usage.create({**twice, "state": "running"})
    after = await em.tool_usage.create({**twice, "state": "done", "success": True})
    running = await em.tool_usage.create({**twice, "parameter_hash": "other", "state": "running"})
    by_task = await em.tool_usage.create({"tool_name": "Read", "task_id": task.id})
    await em.tool_usage.create({"tool_name": "Read", "session_uuid": "another"})
    first = await em.tool_usage.by_session("s", limit=2)
    rest = await em.tool_usage.by_session("s", limit=2, after=first.next_cursor)
    assert [call.id for call in first.items + rest.items] == [after.id, running.id, by_task.id]


async def test_tokens_and_cost_of_tasks_by_one_statement(em: EntityManager) -> None:
    tasks = [await em.tasks.create({"instruction": "i"}) for _ in range(3)]
    for number, task in enumerate(tasks[:2], 1):
        for _ in range(number):
            await em.tool_usage.create({"tool_name": "x", "task_id": task.id, "input_tokens": 10, "output_tokens": 5})
    host = await em.hosts.create({"name": "h"})
    model = await em.models.create({"name": "m", "host_id": host.id})
    for cost in (3_000, 4_000, None):
        await em.token_usage.create({"model_id": model.id, "task_id": tasks[0].id, "cost_nano_usd": cost})
    with recorded_statements() as statements:
        tokens = await em.tool_usage.tokens_by_task()
    assert len(statements) == 1
    found = [(one.task_id, one.calls, one.input_tokens, one.output_tokens) for one in tokens]
    assert found == [(tasks[1].id, 2, 20, 10), (tasks[0].id, 1, 10, 5)]
    assert [(one.cost_nano_usd, one.unpriced) for one in tokens] == [(None, 0), (7_000, 1)]
    assert [one.task_id for one in await em.tool_usage.tokens_by_task([tasks[0].id, uuid4()])] == [tasks[0].id]
