"""List prices from the package `genai-prices` (the extra `cost`): what ships with it, never what it could download."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any

from agent_system.errors import MissingExtraError
from agent_system.managers.ledger.model_prices import SINCE_EVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal

    from agent_system.managers.ledger.model_prices import PriceFields

__all__ = ["SOURCE", "KnownModel", "LoadedPrices", "list_prices"]

SOURCE = "genai-prices"
"""How the `source` of a loaded price begins; its version follows."""

EXTRA = "cost"
"""The extra of ours that installs the package."""

# The package's names of our classes. Others (audio, images, searches, requests) are no tokens that the ledger counts.
CLASSES = {
    "input_usd_per_million": "input_mtok",
    "output_usd_per_million": "output_mtok",
    "cache_read_usd_per_million": "cache_read_mtok",
    "cache_creation_5m_usd_per_million": "cache_write_mtok",
    "cache_creation_1h_usd_per_million": "cache_write_1h_mtok",
}


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model of ours that wants a price."""

    id: int
    name: str
    host: str
    base_url: str | None

    @property
    def shown(self) -> str:
        """The model for people."""
        return f"{self.host}/{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedPrices:
    """What loading list prices did, by models as `host/model`."""

    priced: tuple[str, ...]
    """Models whose prices are now those of the list."""
    kept: tuple[str, ...]
    """Models that have prices from elsewhere, which were left alone."""
    unknown: tuple[str, ...]
    """Models that the list does not know, or does not price by tokens."""


def list_prices(models: Iterable[KnownModel]) -> dict[int, list[PriceFields]]:
    """Return the list prices of those models that the list knows, by their keys.

    It takes a moment to load the list, so this is to run on a thread of its own.

    Raises:
        MissingExtraError: `genai-prices` is not installed.
    """
    try:
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 (an optional extra)
    except ImportError as exc:
        raise MissingExtraError(EXTRA, "loading list prices") from exc
    snapshot = get_snapshot()
    source = f"{SOURCE} {importlib.metadata.version(SOURCE)}"
    found: dict[int, list[PriceFields]] = {}
    for model in models:
        info = _look_up(snapshot, model)
        prices = [] if info is None else [price | {"source": source} for price in _dated(info.prices)]
        if prices:
            found[model.id] = prices
    return found


def _look_up(snapshot: Any, model: KnownModel) -> Any:
    """The list's entry of a model, by its host's name or else by its address."""
    for place in ({"provider_id": model.host}, {"provider_api_url": model.base_url}):
        if None in place.values():
            continue
        try:
            provider = snapshot.find_provider(None, place.get("provider_id"), place.get("provider_api_url"))
        except LookupError:
            continue
        found = provider.find_model(model.name, all_providers=snapshot.providers)
        if found is not None:
            return found
    return None


def _dated(prices: Any) -> Iterator[Any]:
    """A model's prices with the moments from which they hold; what holds at certain hours of a day is left out."""
    if not isinstance(prices, list):
        yield from _tiers(prices, SINCE_EVER)
        return
    dates: dict[datetime, Any] = {}
    for position, conditional in enumerate(prices):
        start = getattr(conditional.constraint, "start_date", None)
        if start is not None:
            dates[datetime.combine(start, time(), UTC)] = conditional.prices
        elif conditional.constraint is None or position == 0:
            # The first is what the list falls back on.
            dates[SINCE_EVER] = conditional.prices
    dates.setdefault(SINCE_EVER, prices[0].prices)
    for moment, price in sorted(dates.items()):
        yield from _tiers(price, moment)


def _tiers(price: Any, valid_from: datetime) -> Iterator[Any]:
    """A price for short prompts, and one for each length above which everything costs something else."""
    values = {field: getattr(price, name, None) for field, name in CLASSES.items()}
    if all(value is None for value in values.values()):
        return
    steps = {tier.start for value in values.values() for tier in getattr(value, "tiers", ())}
    for step in sorted({0, *steps}):
        yield {field: _above(value, step) for field, value in values.items()} | {
            "valid_from": valid_from,
            "above_input_tokens": step,
        }


def _above(value: Any, step: int) -> Decimal | None:
    """What a class costs in calls that read more tokens than this."""
    chosen: Decimal | None = getattr(value, "base", value)
    for tier in getattr(value, "tiers", ()):
        if tier.start <= step and step:
            chosen = tier.price
    return chosen
