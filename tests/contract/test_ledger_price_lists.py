"""Prices that come from lists: seed 000's defaults, and those of `genai-prices`."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import MissingExtraError
from agent_system.managers.ledger.defaults import SeededModels
from agent_system.managers.ledger.price_list import KnownModel, LoadedPrices, list_prices
from agent_system.managers.ledger.pricing import Rates
from agent_system.managers.ledger.usage import Usage

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
USAGE = Usage(input_tokens=10**6, output_tokens=10**6)


async def test_the_defaults_are_three_hosts_and_ten_priced_models(em: EntityManager) -> None:
    assert await em.models.seed_defaults() == SeededModels(hosts=3, models=10, prices=11)
    assert {host.name for host in await em.hosts.find()} == {"Anthropic", "OpenAI", "Ollama"}
    assert all(host.base_url for host in await em.hosts.find())
    models = await em.models.find()
    assert len(models) == 10
    for model in models:
        assert model.input_cost_per_1k is not None
        prices = await em.models.prices_of(model)
        assert all(price.source for price in prices)
        assert await em.models.calculate_cost(USAGE, model, at=datetime(2024, 12, 1, tzinfo=UTC)) is not None
    assert await em.models.calculate_cost(USAGE, "claude-3-5-sonnet-20241022", "anthropic") == 18 * 10**9
    assert await em.models.calculate_cost(USAGE, "llama3.2", "ollama") == 0
    summer = datetime(2024, 7, 1, tzinfo=UTC)
    assert await em.models.calculate_cost(USAGE, "gpt-4o", "openai", at=summer) == 20 * 10**9
    assert await em.models.calculate_cost(USAGE, "gpt-4o", "openai") == 12_500_000_000
    assert await em.models.seed_defaults() == SeededModels(hosts=0, models=0, prices=0)


async def test_the_defaults_leave_alone_what_is_there(em: EntityManager) -> None:
    host = await em.hosts.ensure("openai", "https://proxy.example")
    await em.models.ensure("gpt-4-turbo", "OpenAI", input_cost_per_1k=9.0)
    await em.models.set_price("gpt-4o", "openai", input_usd_per_million=1, valid_from=NOON)
    await em.token_usage.log_usage(host="openai", model="gpt-4o-mini")
    assert await em.models.seed_defaults() == SeededModels(hosts=2, models=7, prices=8)
    assert (await em.hosts.require(host.id)).base_url == "https://proxy.example"
    turbo = await em.models.get_by_name("gpt-4-turbo", "openai")
    assert turbo is not None
    assert (turbo.input_cost_per_1k, turbo.output_cost_per_1k) == (9.0, None)
    assert await em.models.rates_at("gpt-4o", "openai", at=NOON) == Rates(10**9)
    assert await em.models.calculate_cost(USAGE, "gpt-4o-mini", "openai") == 750_000_000


async def test_callers_at_once_seed_once(em: EntityManager) -> None:
    seeded = await asyncio.gather(*(em.models.seed_defaults() for _ in range(8)))
    assert sum(each.models for each in seeded) == 10
    assert await em.model_prices.count() == 11


async def test_the_list_prices_what_was_recorded_without_a_price(em: EntityManager) -> None:
    calls: Any = {"input_tokens": 10**6, "output_tokens": 0, "timestamp": NOON - timedelta(days=200)}
    await em.token_usage.log_usage(host="Anthropic", model="claude-sonnet-4-5-20250929", **calls)
    await em.token_usage.log_usage(host="my gateway", model="gpt-4o-mini-2024-07-18", **calls)
    await em.token_usage.log_usage(host="nobody", model="gpt-4o", **calls)
    await em.token_usage.log_usage(host="openai", model="gpt-9-unknown", **calls)
    await em.models.ensure("gpt-4o", "openai", input_cost_per_1k=1.0)
    await em.models.set_price("gpt-4-turbo", "openai", input_usd_per_million=1, source="contract")
    gateway = await em.hosts.get_by_name("my gateway")
    assert gateway is not None
    await em.hosts.update(gateway.id, {"base_url": "https://api.openai.com/v1"})
    loaded = await em.models.load_prices()
    assert loaded == LoadedPrices(
        priced=("Anthropic/claude-sonnet-4-5-20250929", "my gateway/gpt-4o-mini-2024-07-18"),
        kept=("openai/gpt-4-turbo", "openai/gpt-4o"),
        unknown=("nobody/gpt-4o", "openai/gpt-9-unknown"),
    )
    prices = await em.models.prices_of("claude-sonnet-4-5-20250929", "anthropic")
    assert all((price.source or "").startswith("genai-prices ") for price in prices)
    assert await em.models.rates_at("claude-sonnet-4-5-20250929", "anthropic") == Rates(
        3 * 10**9, 15 * 10**9, 300_000_000, 3_750_000_000, 6 * 10**9
    )
    long = await em.models.rates_at("claude-sonnet-4-5-20250929", "anthropic", input_tokens=200_001)
    assert long is not None
    assert (long.input, long.output) == (6 * 10**9, 22_500_000_000)
    report = await em.token_usage.reprice()
    assert (report.corrected, report.unpriced) == (2, 2)
    # To load again changes nothing; to overwrite takes the other prices' place.
    before = [row.model_dump(exclude={"id", "created_at", "updated_at"}) for row in await em.model_prices.find()]
    assert await em.models.load_prices() == loaded
    after = [row.model_dump(exclude={"id", "created_at", "updated_at"}) for row in await em.model_prices.find()]
    assert sorted(map(str, before)) == sorted(map(str, after))
    forced = await em.models.load_prices(overwrite=True)
    assert (forced.kept, len(forced.priced)) == ((), 4)
    assert await em.models.rates_at("gpt-4-turbo", "openai") == Rates(10 * 10**9, 30 * 10**9)


def test_prices_of_the_list_have_their_dates() -> None:
    (prices,) = list_prices([KnownModel(1, "o3", "openai", None)]).values()
    assert [
        (price["valid_from"].date().isoformat(), float(str(price["input_usd_per_million"]))) for price in prices
    ] == [
        ("1970-01-01", 10.0),
        ("2025-06-10", 2.0),
    ]


async def test_nothing_to_price_is_no_error(em: EntityManager) -> None:
    assert await em.models.load_prices() == LoadedPrices(priced=(), kept=(), unknown=())


async def test_a_missing_package_is_told_with_its_remedy(em: EntityManager, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "genai_prices"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "genai_prices", None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match=r"agent_system\[cost\]"):
        await em.models.load_prices()


async def test_the_list_never_downloads(em: EntityManager, monkeypatch: pytest.MonkeyPatch) -> None:
    updater: Any = pytest.importorskip("genai_prices.update_prices")

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("the updater was called")

    monkeypatch.setattr(updater.UpdatePrices, "__init__", refuse)
    await em.models.ensure("gpt-4o", "openai")
    assert (await em.models.load_prices()).priced == ("openai/gpt-4o",)
