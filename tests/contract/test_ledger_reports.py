"""What the ledger adds up to: every entry counts once, in SQL, whatever is missing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.errors import ValidationError
from agent_system.managers.ledger.reports import TokenSummary
from agent_system.models import TokenUsage
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

DAY = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def ledger(database: DatabaseManager) -> EntityManager:
    """Return a facade whose clock stands at noon of March 3, over a ledger of ten calls."""
    em = EntityManager(database, clock=lambda: DAY + 60 * HOUR)
    prices: Any = {"output_usd_per_million": 10, "valid_from": DAY - 1000 * HOUR}
    await em.models.set_price("large", "Anthropic", input_usd_per_million=2, **prices)
    await em.models.set_price("small", "OpenAI", input_usd_per_million=1, **prices)
    for n in range(10):
        await em.token_usage.log_usage(
            project=("bot", "site", None)[n % 3],
            host=("Anthropic", "OpenAI")[n % 2],
            model=("large", "small")[n % 2] if n != 9 else "new",
            timestamp=DAY + n * 6 * HOUR,
            user_id=("ada", "eve", None)[n % 3],
            role=("planner", "coder")[n % 2],
            session_uuid=f"s{n % 2}",
            **({"input_tokens": 1_000, "output_tokens": 100, "cache_read_input_tokens": 400} if n != 8 else {}),
            success=n != 7,
            response_time_ms=100.0 * n if n else None,
        )
    return em


async def test_everything_is_added_up(ledger: EntityManager) -> None:
    summary = await ledger.token_usage.summary()
    assert summary == TokenSummary(
        requests=10,
        failed=1,
        missing=1,
        unpriced=2,
        input_tokens=9_000,
        output_tokens=900,
        cache_read_input_tokens=3_600,
        cache_creation_input_tokens=0,
        reasoning_output_tokens=0,
        cost_nano_usd=4 * 3_000_000 + 4 * 2_000_000,
        timed=9,
        response_time_ms=4_500.0,
    )
    assert (summary.total_tokens, summary.cost_usd, summary.average_cost_usd) == (9_900, 0.02, 0.0025)
    assert (summary.average_tokens, summary.average_response_time_ms) == (1_100, 500.0)


async def test_nothing_adds_up_to_nothing(em: EntityManager) -> None:
    summary = await em.token_usage.summary()
    assert (summary.requests, summary.cost_nano_usd, summary.total_tokens) == (0, 0, 0)
    assert (summary.average_cost_usd, summary.average_tokens, summary.average_response_time_ms) == (None, None, None)
    usage = em.token_usage
    for rows in (
        usage.by_project(),
        usage.by_model(),
        usage.by_host(),
        usage.by_user(),
        usage.by_role(),
        usage.by_day(),
    ):
        assert await rows == []
    assert await usage.top_spenders() == []
    assert await usage.most_used_model() is None


@pytest.mark.parametrize(
    ("filters", "requests"),
    [
        ({"project": "BOT"}, 4),
        ({"project": "nobody"}, 0),
        ({"host": "anthropic"}, 5),
        ({"model": "small"}, 4),
        ({"model": "small", "host": "openai"}, 4),
        ({"model": "small", "host": "Anthropic"}, 0),
        ({"user_id": "ada"}, 4),
        ({"role": "coder"}, 5),
        ({"session_uuid": "s1"}, 5),
        ({"since": DAY + 6 * HOUR}, 9),
        ({"until": DAY + 6 * HOUR}, 1),
        ({"since": DAY, "until": DAY + 24 * HOUR}, 4),
        ({"since": DAY, "until": DAY}, 0),
        ({"since": datetime.fromisoformat("2026-03-01T13:00:00+07:00")}, 9),
        ({"project": "bot", "user_id": "ada", "host": "OpenAI", "since": DAY, "until": DAY + 24 * HOUR}, 1),
        ({"project": None, "model": None, "host": None, "since": None, "until": None, "user_id": None}, 10),
        ({"where": {"project_id": None}}, 3),
        ({"where": TokenUsage.input_tokens > 1}, 9),
        ({"where": {"success": False}, "role": "coder"}, 1),
    ],
)
async def test_filters_say_which_calls_count(ledger: EntityManager, filters: dict[str, Any], requests: int) -> None:
    assert (await ledger.token_usage.summary(**filters)).requests == requests
    for verb in ("by_project", "by_model", "by_host", "by_user", "by_role", "by_day"):
        groups = await getattr(ledger.token_usage, verb)(**filters)
        assert sum(group.summary.requests for group in groups) == requests, verb


async def test_filters_by_key_find_the_same(ledger: EntityManager) -> None:
    project = await ledger.projects.get_by_name("bot")
    model = await ledger.models.get_by_name("small", "OpenAI")
    assert project is not None
    assert model is not None
    summary = ledger.token_usage.summary
    assert await summary(project=project.id) == await summary(project=project) == await summary(project="bot")
    assert await summary(model=model.id) == await summary(model=model) == await summary(model="small")
    assert await summary(host=model.host_id) == await summary(host="openai")
    assert (await summary(model="small", host=model.host_id)).requests == 4


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"sice": DAY}, "sice"),
        ({"since": datetime(2026, 1, 1)}, "since"),  # noqa: DTZ001 (what is refused)
        ({"until": datetime(2026, 1, 1)}, "until"),  # noqa: DTZ001 (what is refused)
        ({"agent_id": "no uuid"}, "agent_id"),
        ({"user_id": 5}, "user_id"),
        ({"project": 5}, "project"),
        ({"model": 1.5}, "model"),
        ({"where": {"nothing": 1}}, "nothing"),
    ],
)
async def test_bad_filters_are_refused(em: EntityManager, filters: dict[str, Any], field: str) -> None:
    for verb in ("summary", "by_project", "by_model", "by_host", "by_user", "by_role", "by_day", "top_spenders"):
        with pytest.raises(ValidationError) as caught:
            await getattr(em.token_usage, verb)(**filters)
        assert caught.value.field == field


async def test_groups_are_named_and_ordered(ledger: EntityManager) -> None:
    usage = ledger.token_usage
    projects = await usage.by_project()
    assert [(each.project, each.summary.requests) for each in projects] == [("bot", 4), ("site", 3), (None, 3)]
    assert {each.project_id is None for each in projects} == {True, False}
    assert [(each.host, each.summary.requests) for each in await usage.by_host()] == [("Anthropic", 5), ("OpenAI", 5)]
    models = [(each.host, each.model, each.summary.requests) for each in await usage.by_model()]
    assert models == [("Anthropic", "large", 5), ("OpenAI", "new", 1), ("OpenAI", "small", 4)]
    users = [(each.user_id, each.summary.cost_nano_usd) for each in await usage.by_user()]
    assert sorted(users, key=lambda user: -user[1]) == users
    assert {user for user, _ in users} == {"ada", "eve", None}
    assert {each.role: each.summary.failed for each in await usage.by_role()} == {"planner": 0, "coder": 1}
    best = await usage.most_used_model()
    assert best is not None
    assert (best.host, best.model) == ("Anthropic", "large")


async def test_top_spenders_are_known_users_by_cost(ledger: EntityManager) -> None:
    top = await ledger.token_usage.top_spenders()
    assert [each.user_id for each in top] == ["ada", "eve"]
    assert top[0].summary.cost_nano_usd >= top[1].summary.cost_nano_usd
    assert [each.user_id for each in await ledger.token_usage.top_spenders(1)] == ["ada"]
    for n in (0, -1, True, "1; DROP TABLE token_usage"):
        with pytest.raises(ValidationError) as caught:
            await ledger.token_usage.top_spenders(n)  # type: ignore[arg-type]
        assert caught.value.field == "n"


async def test_days_are_days_in_utc(ledger: EntityManager) -> None:
    days = await ledger.token_usage.by_day()
    assert [each.day for each in days] == [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]
    assert [each.summary.requests for each in days] == [4, 4, 2]
    assert [each.day.day for each in await ledger.token_usage.by_day(days=2)] == [2, 3]
    assert [each.day.day for each in await ledger.token_usage.by_day(days=1, project="bot")] == [3]
    assert len(await ledger.token_usage.by_day(days=3, since=DAY + 47 * HOUR)) == 1
    late = datetime.fromisoformat("2026-03-05T01:00:00+02:00")
    await ledger.token_usage.log_usage(timestamp=late)
    assert (await ledger.token_usage.by_day())[-1].day == date(2026, 3, 4)
    for days_back in (0, -7, 1.5, True, "7) OR (1=1"):
        with pytest.raises(ValidationError) as caught:
            await ledger.token_usage.by_day(days=days_back)  # type: ignore[arg-type]
        assert caught.value.field == "days"


async def test_corrections_change_the_cost_and_are_no_calls(ledger: EntityManager) -> None:
    unpriced = await ledger.token_usage.find_one(cost_nano_usd=None, usage_state="reported")
    priced = await ledger.token_usage.find_one(cost_nano_usd=3_000_000)
    assert unpriced is not None
    assert priced is not None
    before = await ledger.token_usage.summary()
    for row, cost in ((unpriced, 500), (priced, -1_000)):
        values: Any = {
            "kind": "correction",
            "corrects_id": row.id,
            "model_id": row.model_id,
            "timestamp": row.timestamp,
        }
        await ledger.token_usage.create({**values, "cost_nano_usd": cost, "project_id": row.project_id})
    after = await ledger.token_usage.summary()
    assert (after.requests, after.unpriced) == (before.requests, before.unpriced - 1)
    assert after.cost_nano_usd == before.cost_nano_usd - 500
    assert (after.timed, after.failed, after.missing) == (before.timed, before.failed, before.missing)


async def test_no_entry_disappears_with_its_project(ledger: EntityManager) -> None:
    project = await ledger.projects.get_by_name("bot")
    assert project is not None
    before = await ledger.token_usage.summary()
    await ledger.projects.delete(project.id)
    assert await ledger.token_usage.summary() == before
    groups = await ledger.token_usage.by_project()
    assert sum(group.summary.requests for group in groups) == before.requests
    assert sum(group.summary.cost_nano_usd for group in groups) == before.cost_nano_usd
    assert {group.project for group in groups} == {"site", None}


async def test_every_report_is_one_statement(ledger: EntityManager) -> None:
    verbs = (
        "summary",
        "by_project",
        "by_model",
        "by_host",
        "by_user",
        "by_role",
        "by_day",
        "top_spenders",
        "most_used_model",
    )
    for verb in verbs:
        with recorded_statements() as statements:
            await getattr(ledger.token_usage, verb)(project="bot", model="large", host="Anthropic", since=DAY)
        assert len(statements) == 1, verb
