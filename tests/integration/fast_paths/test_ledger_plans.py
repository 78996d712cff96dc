"""What the ledger asks for at every call to a model, and for its reports, is found by an index."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.clock import utc_now
from tests.integration.fast_paths.test_money_plans import SqliteTables
from tests.integration.fast_paths.test_query_plans import Explainer, Postgresql

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager

CALL: Any = {"project": "p", "host": "h", "model": "m", "input_tokens": 10, "output_tokens": 5}


@pytest.fixture
def explainer(db: DatabaseManager, engine_name: str) -> Explainer:
    kinds: dict[str, Callable[[DatabaseManager], Any]] = {"sqlite": SqliteTables, "postgresql": Postgresql}
    return Explainer(kinds[engine_name](db))


@pytest.fixture
async def em(db: DatabaseManager) -> EntityManager:
    em = EntityManager(db)
    await em.models.set_price("m", "h", input_usd_per_million=1, output_usd_per_million=1)
    await em.token_usage.log_usage(**CALL, request_id="r", user_id="ada", session_uuid="s")
    return em


async def test_a_call_finds_its_names_its_price_and_its_earlier_report(em: EntityManager, explainer: Explainer) -> None:
    usage = em.token_usage
    (model,) = await em.models.find()
    verbs: list[Callable[[], Awaitable[Any]]] = [
        lambda: usage.log_usage(**CALL),
        lambda: usage.log_usage(**CALL, request_id="new"),
        lambda: usage.log_usage(**CALL, request_id="r", user_id="eve"),
        lambda: usage.log_usage(**CALL | {"model": model.id, "project": None}, request_id="by key"),
        lambda: usage.log_usage(**CALL | {"model": "new", "host": "new", "project": "new"}),
        lambda: usage.log_usage(model="newer", request_id="r"),
        lambda: em.models.rates_at("m", "h"),
        lambda: em.models.prices_of("m", "h"),
        lambda: em.models.set_price("m", "h", input_usd_per_million=2),
    ]
    for verb in verbs:
        # A model has few prices; to sort them costs nothing.
        await explainer.check(verb(), sorts=True)


@pytest.mark.parametrize(
    "filters",
    [
        {"since": utc_now() - timedelta(days=1), "until": utc_now() + timedelta(days=1)},
        {"project": "p"},
        {"model": "m", "host": "h"},
        {"user_id": "ada"},
        {"session_uuid": "s"},
    ],
    ids="-".join,
)
async def test_reports_read_the_range_they_are_about(
    em: EntityManager, explainer: Explainer, filters: dict[str, Any]
) -> None:
    usage = em.token_usage
    reports: list[Callable[..., Awaitable[Any]]] = [
        usage.summary,
        usage.by_project,
        usage.by_model,
        usage.by_host,
        usage.by_user,
        usage.by_role,
        usage.by_day,
        usage.top_spenders,
        usage.most_used_model,
    ]
    for report in reports:
        await explainer.check(report(**filters), sorts=True)


async def test_corrections_are_found(em: EntityManager, explainer: Explainer) -> None:
    (row,) = await em.token_usage.find()
    await explainer.check(em.token_usage.correct(row.id, 1), sorts=True)
    await explainer.check(em.token_usage.reprice(since=utc_now() - timedelta(days=1)), sorts=True)


async def test_pages_of_an_export_are_found_by_where_the_one_before_ended(
    em: EntityManager, explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_system.managers.ledger.export.PAGE", 1)
    await em.token_usage.log_usage(**CALL)

    async def export() -> None:
        async for _ in em.token_usage.export(since=utc_now() - timedelta(days=1)):
            pass

    await explainer.check(export(), sorts=True)
