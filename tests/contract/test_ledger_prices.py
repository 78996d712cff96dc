"""Prices: dated, by class of tokens, exact; bills of providers come out as the providers wrote them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.ledger.pricing import Rates, cost_of, nano_usd
from agent_system.managers.ledger.usage import Usage

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SONNET: Any = {
    "input_usd_per_million": 3,
    "output_usd_per_million": 15,
    "cache_read_usd_per_million": "0.30",
    "cache_creation_5m_usd_per_million": "3.75",
    "cache_creation_1h_usd_per_million": 6,
    "valid_from": LONG_AGO,
}
GPT_4O: Any = {
    "input_usd_per_million": 2.5,
    "output_usd_per_million": 10,
    "cache_read_usd_per_million": Decimal("1.25"),
    "valid_from": LONG_AGO,
}

BILLS = [
    # BerriAI/litellm#9812: $0.05439 by Anthropic's console, $0.091311 where writes to the cache were charged twice.
    ("anthropic", {"input_tokens": 3, "cache_creation_input_tokens": 12304, "output_tokens": 550}, 54_399_000),
    ("anthropic", {"input_tokens": 1000, "output_tokens": 0}, 3_000_000),
    # BerriAI/litellm#6575: a write to the cache costs $3.75, not $3.75 besides the $3.
    ("anthropic", {"input_tokens": 0, "cache_creation_input_tokens": 1000, "output_tokens": 0}, 3_750_000),
    ("anthropic", {"input_tokens": 4, "cache_read_input_tokens": 2455, "output_tokens": 23}, 1_093_500),
    (
        "anthropic",
        {
            "input_tokens": 10,
            "cache_creation_input_tokens": 3000,
            "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
            "output_tokens": 0,
        },
        30_000 + 3_750_000 + 12_000_000,
    ),
    (
        "openai",
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "prompt_tokens_details": {"cached_tokens": 1920},
            "completion_tokens_details": {"reasoning_tokens": 192},
        },
        86 * 2500 + 1920 * 1250 + 300 * 10_000,
    ),
    (
        "openai",
        {
            "input_tokens": 2006,
            "output_tokens": 300,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 300},
        },
        2006 * 2500 + 300 * 10_000,
    ),
]


@pytest.mark.parametrize(("provider", "bill", "nano"), BILLS)
async def test_bills_come_out_as_the_provider_wrote_them(
    em: EntityManager, provider: str, bill: dict[str, Any], nano: int
) -> None:
    prices = SONNET if provider == "anthropic" else GPT_4O
    await em.models.set_price("m", provider, **prices)
    usage = getattr(Usage, f"from_{provider}")(bill)
    row = await em.token_usage.log_usage(model="m", host=provider, usage=usage)
    assert row.cost_nano_usd == nano
    assert row.raw_usage == bill
    assert await em.models.calculate_cost(usage, "m", provider) == nano


async def test_the_price_that_held_at_the_time_counts(em: EntityManager) -> None:
    later = NOON + timedelta(days=30)
    await em.models.set_price("m", "h", input_usd_per_million=10, output_usd_per_million=0, valid_from=NOON)
    await em.models.set_price("m", "h", input_usd_per_million=4, output_usd_per_million=0, valid_from=later)
    costs = {}
    for moment in (NOON - timedelta(microseconds=1), NOON, later - timedelta(microseconds=1), later):
        row = await em.token_usage.log_usage(model="m", host="h", input_tokens=10**6, output_tokens=9, timestamp=moment)
        costs[moment] = row.cost_nano_usd
    assert list(costs.values()) == [None, 10_000_000_000, 10_000_000_000, 4_000_000_000]
    prices = await em.models.prices_of("m", "h")
    assert [price.valid_from for price in prices] == [later, NOON]
    assert await em.models.rates_at("m", "h", at=NOON) == Rates(10_000_000_000, 0)
    assert await em.models.rates_at("m", "h", at=LONG_AGO) is None
    assert await em.models.rates_at("nobody", "h") is None
    assert await em.models.prices_of("nobody", "h") == []


async def test_a_model_without_dated_prices_is_priced_by_its_own_columns(em: EntityManager) -> None:
    await em.models.ensure("m", "h", input_cost_per_1k=0.00015, output_cost_per_1k=0.0006)
    row = await em.token_usage.log_usage(
        model="m", host="h", input_tokens=1_000, output_tokens=2_000, timestamp=LONG_AGO
    )
    assert row.cost_nano_usd == 150_000 + 1_200_000
    # What they say of cached tokens is what they say of any.
    usage = Usage(input_tokens=1_000, cache_read_input_tokens=400, output_tokens=0)
    assert await em.models.calculate_cost(usage, "m", "h") == 150_000
    # Dated prices take their place altogether, and they show what holds now.
    await em.models.set_price("m", "h", input_usd_per_million=1, output_usd_per_million="2.5", valid_from=NOON)
    assert await em.models.calculate_cost(usage, "m", "h", at=LONG_AGO) is None
    model = await em.models.get_by_name("m", "h")
    assert model is not None
    assert (model.input_cost_per_1k, model.output_cost_per_1k) == (0.001, 0.0025)
    future = datetime.now(UTC) + timedelta(days=10)
    await em.models.set_price("m", "h", input_usd_per_million=7, valid_from=future)
    assert (await em.models.require(model.id)).input_cost_per_1k == 0.001


async def test_a_price_of_the_same_moment_is_changed(em: EntityManager) -> None:
    first = await em.models.set_price("m", "h", input_usd_per_million=1, valid_from=NOON, source="guess")
    again = await em.models.set_price("m", "h", input_usd_per_million="0.0375", valid_from=NOON, source="list")
    assert (again.id, again.input_nano_usd_per_million, again.source) == (first.id, 37_500_000, "list")
    assert again.output_nano_usd_per_million is None
    assert (await em.model_prices.require(first.id)).model_dump() == again.model_dump()


async def test_long_prompts_have_a_price_of_their_own(em: EntityManager) -> None:
    await em.models.set_price("m", "h", input_usd_per_million=3, output_usd_per_million=15, valid_from=NOON)
    long: Any = {"input_usd_per_million": 6, "output_usd_per_million": 22.5, "above_input_tokens": 200_000}
    await em.models.set_price("m", "h", **long, valid_from=NOON)
    for read, cost in ((200_000, 600_000_000 + 15_000_000), (200_001, 1_200_006_000 + 22_500_000)):
        row = await em.token_usage.log_usage(
            model="m", host="h", input_tokens=read, output_tokens=1_000, timestamp=NOON
        )
        assert row.cost_nano_usd == cost
    # A later price without such a step ends it.
    await em.models.set_price("m", "h", input_usd_per_million=1, valid_from=NOON + timedelta(days=1))
    assert await em.models.rates_at("m", "h", input_tokens=300_000) == Rates(1_000_000_000)


async def test_a_class_without_a_price_leaves_the_call_unpriced(em: EntityManager) -> None:
    await em.models.set_price("half", "h", input_usd_per_million=1, valid_from=LONG_AGO)
    half = await em.token_usage.log_usage(model="half", host="h", input_tokens=5, output_tokens=5)
    assert half.cost_nano_usd is None
    whole = await em.token_usage.log_usage(model="half", host="h", input_tokens=5, output_tokens=0)
    assert whole.cost_nano_usd == 5_000
    free = await em.models.set_price(
        "free", "h", input_usd_per_million=0, output_usd_per_million=0, valid_from=LONG_AGO
    )
    assert free.input_nano_usd_per_million == 0
    row = await em.token_usage.log_usage(model="free", host="h", input_tokens=5, output_tokens=5)
    assert (row.cost_nano_usd, row.cost_source) == (0, "computed")
    summary = await em.token_usage.summary()
    assert (summary.requests, summary.unpriced, summary.cost_nano_usd) == (3, 1, 5_000)


@pytest.mark.parametrize(
    ("prices", "field"),
    [
        ({}, "input_usd_per_million"),
        ({"input_usd_per_million": -1}, "input_usd_per_million"),
        ({"input_usd_per_million": "three"}, "input_usd_per_million"),
        ({"input_usd_per_million": 10**12}, "input_usd_per_million"),
        ({"output_usd_per_million": True}, "output_usd_per_million"),
        ({"input": 3}, "input"),
        ({"input_usd_per_million": 3, "valid_from": datetime(2026, 1, 1)}, "valid_from"),  # noqa: DTZ001 (refused)
        ({"input_usd_per_million": 3, "above_input_tokens": -1}, "above_input_tokens"),
        ({"input_usd_per_million": 3, "above_input_tokens": "1"}, "above_input_tokens"),
    ],
)
async def test_bad_prices_are_refused(em: EntityManager, prices: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.models.set_price("m", "h", **prices)
    assert caught.value.field == field
    assert await em.models.count() == await em.model_prices.count() == 0


async def test_the_price_of_a_model_that_is_not_there(em: EntityManager) -> None:
    with pytest.raises(NotFoundError):
        await em.models.set_price(99, input_usd_per_million=1)
    with pytest.raises(ValidationError):
        await em.models.rates_at("m", "h", at=datetime(2026, 1, 1))  # noqa: DTZ001 (what is refused)
    with pytest.raises(ValidationError):
        await em.models.calculate_cost(Usage(input_tokens=1, cache_read_input_tokens=2), "m", "h")


async def test_callers_at_once_set_one_price(em: EntityManager) -> None:
    await asyncio.gather(*(em.models.set_price("m", "h", input_usd_per_million=n, valid_from=NOON) for n in range(16)))
    assert await em.model_prices.count() == await em.models.count() == 1


async def test_a_models_prices_go_with_it(em: EntityManager) -> None:
    price = await em.models.set_price("m", "h", input_usd_per_million=1)
    assert await em.models.delete(price.model_id)
    assert await em.model_prices.count() == 0


def test_costs_are_rounded_once_and_exact() -> None:
    tokens = dict.fromkeys(("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation_1h_input_tokens"))
    assert cost_of({**tokens, "input_tokens": 1, "output_tokens": 1}, Rates(499_999, 1)) == 1
    assert cost_of({**tokens, "input_tokens": 1, "output_tokens": 0}, Rates(499_999, 1)) == 0
    assert cost_of({**tokens, "input_tokens": 2**40, "output_tokens": None}, Rates(15_000_000_000)) == 2**40 * 15_000
    with pytest.raises(ValidationError, match="hold"):
        cost_of({**tokens, "input_tokens": 2**62, "output_tokens": 0}, Rates(15_000_000_000))
    assert nano_usd(0.1 + 0.2, "x") == 300_000_000
    assert nano_usd("1e-9", "x") == 1
