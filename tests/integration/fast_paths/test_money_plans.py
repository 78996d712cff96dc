"""What is asked for at every call, at every message and by every dashboard is found by an index."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.clock import utc_now
from tests.integration.fast_paths.test_query_plans import Explainer, Postgresql, Sqlite

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager


class SqliteTables(Sqlite):
    """Asks SQLite, and takes no offence at a subquery that is read to its end."""

    def is_indexed(self, explained: str, *, has_condition: bool) -> bool:
        lines = explained.splitlines()
        tables = [line for line in lines if not line.startswith(("SCAN anon_", "SCAN (subquery"))]
        return super().is_indexed("\n".join(tables), has_condition=has_condition)


@pytest.fixture
def explainer(db: DatabaseManager, engine_name: str) -> Explainer:
    kinds: dict[str, Callable[[DatabaseManager], Any]] = {"sqlite": SqliteTables, "postgresql": Postgresql}
    return Explainer(kinds[engine_name](db))


@pytest.fixture
def em(db: DatabaseManager) -> EntityManager:
    return EntityManager(db)


async def test_budgets(em: EntityManager, explainer: Explainer) -> None:
    await em.budgets.set_limit(100)
    await em.budgets.set_limit(100, scope="user")
    await em.budgets.set_limit(100, scope="session", key="s")
    whose: Any = {"user_id": "ada", "session_uuid": "s"}
    await em.budgets.reserve(1, **whose)
    reservation = await em.budgets.reserve(1, **whose)
    await explainer.check(em.budgets.reserve(1, **whose), sorts=True)
    await explainer.check(em.budgets.settle(reservation, 1), sorts=True)
    await explainer.check(em.budgets.release(await em.budgets.reserve(1, **whose)), sorts=True)
    await explainer.check(em.budgets.status(**whose), sorts=True)
    await explainer.check(em.budgets.sweep(), sorts=True)


async def test_credits_and_alerts(em: EntityManager, explainer: Explainer) -> None:
    recorded = await em.credits.record(credits_remaining=3)
    verbs: list[Callable[[], Awaitable[Any]]] = [
        em.credits.current,
        em.credits.status,
        em.credits.is_exhausted,
        em.credits.history,
        em.alerts.active,
        lambda: em.alerts.raise_alert("low_balance"),
        lambda: em.alerts.acknowledge(recorded.alerts[0].id),
        lambda: em.alerts.acknowledge("low_balance"),
    ]
    for verb in verbs:
        await explainer.check(verb(), sorts=True)


async def test_model_usage(em: EntityManager, explainer: Explainer) -> None:
    await em.model_usage.record("gpt", user_id="ada")
    since = utc_now() - timedelta(days=1)
    verbs: list[Callable[[], Awaitable[Any]]] = [
        lambda: em.model_usage.of_user("ada"),
        lambda: em.model_usage.totals(since=since),
        lambda: em.model_usage.totals(model_name="gpt"),
        lambda: em.model_usage.by_model(since=since),
        lambda: em.model_usage.daily(since=since),
        lambda: em.model_usage.tool_performance(since=since),
        lambda: em.model_usage.top_spenders(since=since),
    ]
    for verb in verbs:
        await explainer.check(verb(), sorts=True)


async def test_links(em: EntityManager, explainer: Explainer) -> None:
    link = await em.links.save("https://example.com/a", main_topic="Ideas")
    await em.links.mark_failed(link.id, "no")
    verbs: list[Callable[[], Awaitable[Any]]] = [
        lambda: em.links.save("https://example.com/a"),
        lambda: em.links.get_by_url("https://example.com/a"),
        lambda: em.links.find(url="https://example.com/a"),
        em.links.recent,
        lambda: em.links.by_domain("example.com"),
        lambda: em.links.by_topic("ideas"),
        em.links.due_for_retry,
        em.links.status_counts,
        lambda: em.links.clean_up(timedelta(days=1)),
    ]
    for verb in verbs:
        await explainer.check(verb(), sorts=True)


async def test_games(em: EntityManager, explainer: Explainer) -> None:
    await em.games.save("ada", "snake")
    verbs: list[Callable[[], Awaitable[Any]]] = [
        lambda: em.games.save("ada", "snake"),
        lambda: em.games.active("ada"),
        lambda: em.games.active("ada", "snake"),
        lambda: em.games.statistics("ada"),
        lambda: em.games.leaderboard("snake"),
        lambda: em.games.clean_up(timedelta(days=1)),
    ]
    for verb in verbs:
        await explainer.check(verb(), sorts=True)


async def test_chat_analytics(em: EntityManager, explainer: Explainer) -> None:
    await em.messages.create({"role": "user", "user_id": "ada", "channel_id": "c", "guild_id": "g"})
    since = utc_now() - timedelta(days=1)
    verbs: list[Callable[[], Awaitable[Any]]] = [
        lambda: em.analytics.activity(since=since),
        lambda: em.analytics.activity("hour", channel_id="c", since=since),
        lambda: em.analytics.input_methods(since=since),
        lambda: em.analytics.models(guild_id="g", since=since),
        lambda: em.analytics.active_users(since=since),
        lambda: em.analytics.tokens_by_role(user_id="ada", since=since),
        lambda: em.analytics.statistics(since=since),
    ]
    for verb in verbs:
        await explainer.check(verb(), sorts=True)
