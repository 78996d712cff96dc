"""Recording calls: names are made once, costs are exact, and a call that is reported twice is one row."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import DuplicateKeyError, ForeignKeyError, NotFoundError, ValidationError
from agent_system.managers.ledger.usage import Usage
from agent_system.types import CostSource, UsageState
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKENS = {"input_tokens": 1000, "output_tokens": 500}


async def test_a_call_is_recorded_with_what_it_names(em: EntityManager) -> None:
    row = await em.token_usage.log_usage(
        project="telegram_bot",
        host="Anthropic",
        model="claude",
        **TOKENS,
        request_id="r1",
        user_id="ada",
        role="planner",
    )
    assert (row.total_tokens, row.usage_state, row.success, row.attempt) == (1500, UsageState.REPORTED, True, 1)
    assert (row.cost_nano_usd, row.cost_usd, row.cost_source) == (None, None, None)
    stored = await em.token_usage.require(row.id)
    assert stored.model_dump() == row.model_dump()
    project = await em.projects.get_by_name("Telegram_Bot")
    model = await em.models.get_by_name("claude", "anthropic")
    assert project is not None
    assert model is not None
    assert (row.project_id, row.model_id, project.user_id) == (project.id, model.id, None)
    again = await em.token_usage.log_usage(project="TELEGRAM_BOT ", host=" anthropic", model="claude", **TOKENS)
    assert (again.project_id, again.model_id) == (project.id, model.id)
    by_key = await em.token_usage.log_usage(project=project.id, model=model.id, **TOKENS)
    by_row = await em.token_usage.log_usage(project=project, model=model, host=model.host_id, **TOKENS)
    at_host = await em.token_usage.log_usage(model="claude", host=model.host_id, **TOKENS)
    assert {by_key.model_id, by_row.model_id, at_host.model_id} == {model.id}
    assert (by_key.project_id, at_host.project_id) == (project.id, None)
    assert await em.models.count() == await em.hosts.count() == await em.projects.count() == 1


async def test_what_nobody_named_or_counted_is_unknown_and_missing(em: EntityManager) -> None:
    row = await em.token_usage.log_usage()
    assert (row.usage_state, row.input_tokens, row.total_tokens, row.cost_nano_usd) == ("missing", None, None, None)
    model = await em.models.get_by_name("unknown", "unknown")
    assert model is not None
    assert row.model_id == model.id
    assert (await em.token_usage.log_usage(input_tokens=5)).usage_state == UsageState.PARTIAL


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tokens": 5}, "tokens"),
        ({"input_tokens": "5"}, "input_tokens"),
        ({"input_tokens": -1}, "input_tokens"),
        ({"input_tokens": 2**63}, "input_tokens"),
        ({"timestamp": datetime(2026, 1, 1)}, "timestamp"),  # noqa: DTZ001 (what is refused)
        ({"usage_state": "guessed"}, "usage_state"),
        ({"usage_state": "reported"}, "usage_state"),
        ({"usage_state": "missing", "input_tokens": 1}, "usage_state"),
        ({"attempt": 0}, "attempt"),
        ({"input_tokens": 3, "cache_creation_input_tokens": 12304}, "input_tokens"),
        ({"cache_read_input_tokens": 1}, "input_tokens"),
        (
            {"input_tokens": 9, "cache_creation_input_tokens": 1, "cache_creation_1h_input_tokens": 2},
            "cache_creation_input_tokens",
        ),
        ({"output_tokens": 1, "reasoning_output_tokens": 2}, "output_tokens"),
        ({"cost_usd": -0.5}, "cost_usd"),
        ({"cost_usd": "free"}, "cost_usd"),
        ({"cost_usd": float("nan")}, "cost_usd"),
        ({"cost_usd": True}, "cost_usd"),
        ({"cost_usd": 10**10}, "cost_usd"),
        ({"cost_nano_usd": -5}, "cost_nano_usd"),
        ({"cost_usd": 1, "cost_nano_usd": 1}, "cost_usd"),
        ({"model": 1.5}, "model"),
        ({"host": True}, "host"),
        ({"project": 7}, "project"),
        ({"usage": {"input_tokens": 1}}, "usage"),
        ({"raw_usage": {"at": NOON}}, "raw_usage"),
        ({"kind": "correction"}, "kind"),
    ],
)
async def test_bad_calls_are_refused_and_leave_nothing(em: EntityManager, fields: dict[str, Any], field: str) -> None:
    with pytest.raises((ValidationError, Exception)) as caught:
        await em.token_usage.log_usage(**{"project": "p", "model": "m", "host": "h", **fields})
    assert getattr(caught.value, "field", None) == field or field in getattr(caught.value, "fields", ())
    assert await em.token_usage.count() == await em.projects.count() == await em.hosts.count() == 0


async def test_what_does_not_exist_is_told_and_leaves_nothing(em: EntityManager) -> None:
    with pytest.raises(ForeignKeyError) as dangling:
        await em.token_usage.log_usage(project="p", model="m", agent_id=uuid4(), **TOKENS)
    assert dangling.value.fields == ("agent_id",)
    with pytest.raises(ForeignKeyError) as project:
        await em.token_usage.log_usage(project=uuid4(), model="m", **TOKENS)
    assert project.value.fields == ("project_id",)
    with pytest.raises(NotFoundError):
        await em.token_usage.log_usage(project="p", model=99, **TOKENS)
    with pytest.raises((NotFoundError, ForeignKeyError)):
        await em.token_usage.log_usage(project="p", model="m", host=99, **TOKENS)
    assert await em.token_usage.count() == await em.projects.count() == await em.models.count() == 0


async def test_a_new_model_that_64_tasks_use_at_once_is_one_model(em: EntityManager) -> None:
    rows = await asyncio.gather(
        *(
            em.token_usage.log_usage(project="new", host="new", model="new", input_tokens=n, output_tokens=1)
            for n in range(64)
        )
    )
    assert len({row.id for row in rows}) == 64
    assert len({row.model_id for row in rows}) == len({row.project_id for row in rows}) == 1
    assert await em.models.count() == await em.hosts.count() == await em.projects.count() == 1
    summary = await em.token_usage.summary()
    assert (summary.requests, summary.input_tokens) == (64, sum(range(64)))


async def test_many_new_names_at_once_are_made_once_each(em: EntityManager) -> None:
    names = [(f"p{n % 3}", f"h{n % 4}", f"m{n % 5}") for n in range(60)]
    calls = [em.token_usage.log_usage(project=p, host=h, model=m, **TOKENS) for p, h, m in names]
    await asyncio.gather(*calls)
    assert await em.projects.count() == 3
    assert await em.hosts.count() == 4
    assert await em.models.count() == len({(h, m) for _, h, m in names}) == 20
    assert await em.token_usage.count() == 60


async def test_a_model_that_is_deleted_or_renamed_is_made_again(em: EntityManager) -> None:
    names: Any = {"project": "p", "host": "h", "model": "m"}
    await em.token_usage.log_usage(**names, **TOKENS)
    (row,) = await em.token_usage.find()
    await em.token_usage.delete(row.id)
    await em.models.delete(row.model_id)
    await em.projects.delete(row.project_id)
    again = await em.token_usage.log_usage(**names, **TOKENS)
    await em.models.update(again.model_id, {"name": "other"})
    third = await em.token_usage.log_usage(**names, **TOKENS)
    assert len({row.model_id, again.model_id, third.model_id}) == 3


async def test_a_call_joins_the_transaction_it_is_made_in(database: DatabaseManager, em: EntityManager) -> None:
    async def log_in_vain() -> None:
        async with database.transaction():
            await em.token_usage.log_usage(project="p", model="m", host="h", request_id="r", **TOKENS)
            await em.token_usage.log_usage(project="p", model="m", host="h", request_id="r", **TOKENS)
            assert await em.token_usage.count() == 1
            raise KeyError

    with pytest.raises(KeyError):
        await log_in_vain()
    assert await em.token_usage.count() == await em.models.count() == await em.projects.count() == 0


async def test_a_cancelled_call_is_whole_or_not_there(em: EntityManager) -> None:
    calls = [
        asyncio.create_task(
            em.token_usage.log_usage(project="p", model=f"m{n}", host="h", request_id=f"r{n}", **TOKENS)
        )
        for n in range(30)
    ]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    kept = {row.request_id for row in await em.token_usage.find()}
    assert kept >= {f"r{n}" for n in range(1, 30, 2)}
    assert sum(isinstance(result, asyncio.CancelledError) for result in results) <= 15
    # Nothing is there by halves: a model has its call.
    assert await em.models.count() == await em.token_usage.count()


async def test_a_recorded_call_costs_two_statements(em: EntityManager) -> None:
    await em.token_usage.log_usage(project="p", model="m", host="h", **TOKENS)
    with recorded_statements() as statements:
        await em.token_usage.log_usage(project="p", model="m", host="h", **TOKENS)
    assert len(statements) == 2
    with recorded_statements() as statements:
        await em.token_usage.log_usage(project="p", model="m", host="h", request_id="r", **TOKENS)
    assert len(statements) == 2


async def test_a_reported_cost_wins(em: EntityManager) -> None:
    await em.models.set_price("m", "h", input_usd_per_million=3, output_usd_per_million=15)
    computed = await em.token_usage.log_usage(model="m", host="h", **TOKENS)
    assert (computed.cost_nano_usd, computed.cost_source) == (10_500_000, CostSource.COMPUTED)
    for cost in (0.0123, "0.0123", Decimal("0.0123")):
        reported = await em.token_usage.log_usage(model="m", host="h", cost_usd=cost, **TOKENS)
        assert (reported.cost_nano_usd, reported.cost_source) == (12_300_000, CostSource.REPORTED)
        assert reported.cost_usd == 0.0123
    whole = await em.token_usage.log_usage(model="m", host="h", cost_nano_usd=7, **TOKENS)
    assert (whole.cost_nano_usd, whole.cost_source) == (7, CostSource.REPORTED)


# A stream, its updates in any order.


async def test_cumulative_updates_replace_and_never_add(em: EntityManager) -> None:
    await em.models.set_price("m", "h", input_usd_per_million=1, output_usd_per_million=10, valid_from=NOON)
    names: Any = {"model": "m", "host": "h", "request_id": "stream", "timestamp": NOON}
    for output in (1, 40, 100):
        row = await em.token_usage.log_usage(**names, input_tokens=1000, output_tokens=output, usage_state="partial")
    assert (row.output_tokens, row.usage_state, row.cost_nano_usd) == (100, UsageState.PARTIAL, 2_000_000)
    # What the last event leaves out stays as it was.
    final = await em.token_usage.log_usage(**names, output_tokens=120, response_time_ms=900.0)
    assert (final.id, final.input_tokens, final.output_tokens) == (row.id, 1000, 120)
    assert (final.usage_state, final.cost_nano_usd, final.response_time_ms) == (UsageState.REPORTED, 2_200_000, 900.0)
    assert final.total_tokens == 1120
    assert (await em.token_usage.require(row.id)).model_dump() == final.model_dump()
    assert await em.token_usage.count() == 1
    other = await em.token_usage.log_usage(**names, attempt=2, **TOKENS)
    assert other.id != row.id


async def test_a_late_update_never_lowers_a_final_count(em: EntityManager) -> None:
    names: Any = {"model": "m", "host": "h", "request_id": "stream"}
    final = await em.token_usage.log_usage(**names, input_tokens=50, output_tokens=100)
    with recorded_statements() as statements:
        for late in (
            {"input_tokens": 50, "output_tokens": 40},
            {"input_tokens": 900, "output_tokens": 900, "usage_state": "partial"},
            {"input_tokens": 900, "output_tokens": 900, "usage_state": "estimated"},
            {"output_tokens": 7},
            {},
        ):
            row = await em.token_usage.log_usage(**names, **late)
            assert row.model_dump() == final.model_dump()
    assert not any(statement.startswith("UPDATE") for statement in statements)
    # It may still know what the row does not.
    late = await em.token_usage.log_usage(**names, output_tokens=7, user_id="ada", response_time_ms=5.0, success=False)
    assert (late.output_tokens, late.user_id, late.response_time_ms, late.success) == (100, "ada", 5.0, True)
    more = await em.token_usage.log_usage(**names, input_tokens=50, output_tokens=101, user_id="eve")
    assert (more.output_tokens, more.user_id) == (101, "eve")


async def test_the_final_count_replaces_an_estimate_even_if_smaller(em: EntityManager) -> None:
    names: Any = {"model": "m", "host": "h", "request_id": "r"}
    guess: Any = {"input_tokens": 900, "output_tokens": 800, "reasoning_output_tokens": 700, "usage_state": "estimated"}
    await em.token_usage.log_usage(**names, **guess)
    row = await em.token_usage.log_usage(**names, input_tokens=700, output_tokens=90)
    assert (row.input_tokens, row.output_tokens, row.reasoning_output_tokens) == (700, 90, None)
    assert row.usage_state == UsageState.REPORTED


async def test_the_order_of_a_streams_reports_does_not_matter(em: EntityManager) -> None:
    events: list[Any] = [
        {"input_tokens": 2000, "cache_read_input_tokens": 1500, "output_tokens": 1, "usage_state": "partial"},
        {"input_tokens": 2000, "cache_read_input_tokens": 1500, "output_tokens": 60, "usage_state": "partial"},
        {"input_tokens": 2000, "cache_read_input_tokens": 1500, "output_tokens": 99, "usage_state": "reported"},
        {"cost_usd": "0.02"},
    ]
    for number, order in enumerate(permutations(events)):
        for event in order:
            row = await em.token_usage.log_usage(model="m", host="h", request_id=f"r{number}", **event)
        assert (row.input_tokens, row.cache_read_input_tokens, row.output_tokens) == (2000, 1500, 99)
        assert (row.usage_state, row.cost_nano_usd, row.cost_source) == ("reported", 20_000_000, "reported")


async def test_64_reports_of_one_call_at_once_are_one_row_with_the_last_count(em: EntityManager) -> None:
    names: Any = {"project": "p", "model": "m", "host": "h", "request_id": "r"}
    await asyncio.gather(
        *(em.token_usage.log_usage(**names, input_tokens=10, output_tokens=n) for n in (*range(32), *range(63, 31, -1)))
    )
    (row,) = await em.token_usage.find()
    assert (row.input_tokens, row.output_tokens) == (10, 63)


async def test_another_model_of_the_same_call_replaces_and_is_priced(em: EntityManager) -> None:
    await em.models.set_price("dear", "h", input_usd_per_million=100, output_usd_per_million=100, valid_from=NOON)
    first = await em.token_usage.log_usage(model="cheap", host="h", request_id="r", timestamp=NOON, **TOKENS)
    row = await em.token_usage.log_usage(model="dear", host="h", project="p", request_id="r", **TOKENS)
    assert (row.id, row.timestamp, row.cost_nano_usd) == (first.id, NOON, 150_000_000)
    assert row.project_id is not None
    with pytest.raises(DuplicateKeyError):
        await em.token_usage.create({"model_id": row.model_id, "request_id": "r"})


async def test_many_calls_are_recorded_all_or_none(em: EntityManager) -> None:
    calls: Any = [
        {"model": f"m{n % 2}", "host": "h", "project": "p", "input_tokens": n, "output_tokens": 0} for n in range(300)
    ]
    rows = await em.token_usage.log_many(calls)
    assert [row.input_tokens for row in rows] == list(range(300))
    assert await em.token_usage.log_many([]) == []
    with pytest.raises(ForeignKeyError):
        await em.token_usage.log_many([*calls, {"model": "new", "host": "h", "agent_id": uuid4()}])
    with pytest.raises(ValidationError):
        await em.token_usage.log_many([*calls, {"model": "new", "host": "h", "attempt": "1"}])
    assert await em.token_usage.count() == 300
    assert await em.models.count() == 2


async def test_usage_fills_in_the_counts(em: EntityManager) -> None:
    usage = Usage.from_anthropic({"input_tokens": 3, "cache_creation_input_tokens": 100, "output_tokens": 20})
    row = await em.token_usage.log_usage(model="m", host="h", usage=usage, output_tokens=25, metadata={"a": 1})
    assert (row.input_tokens, row.cache_creation_input_tokens, row.output_tokens) == (103, 100, 25)
    assert row.raw_usage == {"input_tokens": 3, "cache_creation_input_tokens": 100, "output_tokens": 20}
    assert row.meta == {"a": 1}


async def test_the_time_of_a_call_is_stored_in_the_one_format(em: EntityManager) -> None:
    east = datetime.fromisoformat("2026-03-01T19:00:00+07:00")
    row = await em.token_usage.log_usage(model="m", timestamp=east)
    assert (row.timestamp, row.timestamp.tzinfo) == (NOON, UTC)
    assert len(await em.token_usage.find(timestamp=NOON)) == 1
    assert (await em.token_usage.summary(since=NOON, until=NOON + timedelta(microseconds=1))).requests == 1
    assert (await em.token_usage.summary(until=NOON)).requests == 0


@pytest.mark.parametrize("nano", [None, 0, 1, 3, 700, 10**9 - 1, 123_456_789_012_345, 2**53 - 1])
async def test_what_the_database_computes_is_returned_as_it_computes_it(em: EntityManager, nano: int | None) -> None:
    logged = await em.token_usage.log_usage(model="m", cost_nano_usd=nano, **TOKENS)
    tokens: Any = {"input_tokens": 2**40, "output_tokens": 2**40 + 1}
    created = await em.token_usage.create({"model_id": logged.model_id, "cost_nano_usd": nano, **tokens})
    half, other = await em.token_usage.create_many([{"model_id": logged.model_id, **one} for one in (tokens, {})])
    for row in (logged, created, half, other):
        assert (await em.token_usage.require(row.id)).model_dump() == row.model_dump()


async def test_a_report_that_names_no_model_makes_none(em: EntityManager) -> None:
    first = await em.token_usage.log_usage(model="m", host="h", request_id="r", input_tokens=5)
    row = await em.token_usage.log_usage(request_id="r", output_tokens=5)
    assert (row.id, row.model_id, row.total_tokens) == (first.id, first.model_id, 10)
    assert await em.models.count() == await em.hosts.count() == 1


async def test_a_facade_of_one_user_records_and_adds_up_what_is_theirs(em: EntityManager) -> None:
    names: Any = {"project": "p", "host": "h", "model": "m"}
    await em.token_usage.log_usage(**names, **TOKENS, user_id="eve", request_id="r")
    bound = em.scoped(user_id="ada")
    row = await bound.token_usage.log_usage(**names, **TOKENS)
    async with bound.token_usage.track(**names) as call:
        call.set_usage(Usage(input_tokens=1, output_tokens=1))
    async with bound.token_usage.batch(**names) as batch:
        batch.add(input_tokens=1)
    assert [each.user_id for each in (row, call.row, *batch.rows) if each is not None] == ["ada"] * 3
    with pytest.raises(DuplicateKeyError):
        await bound.token_usage.log_usage(**names, **TOKENS, request_id="r")
    assert (await bound.token_usage.summary()).requests == 3
    assert [each.user_id for each in await bound.token_usage.top_spenders()] == ["ada"]
    await em.models.set_price("m", "h", input_usd_per_million=1, output_usd_per_million=1, valid_from=NOON)
    assert (await bound.token_usage.reprice()).checked == 3
    assert len([chunk async for chunk in bound.token_usage.export("jsonl")]) == 1


async def test_a_facade_of_one_project_pays_from_it(em: EntityManager) -> None:
    project = await em.projects.ensure("p")
    bound = em.scoped(project_id=project.id)
    await em.models.ensure("m", "h")
    row = await bound.token_usage.log_usage(host="h", model="m", **TOKENS)
    assert row.project_id == project.id
    assert (await em.token_usage.require(row.id)).project_id == project.id
