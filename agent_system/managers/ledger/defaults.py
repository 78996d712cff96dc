"""The hosts and models that seed 000 begins with, at the list prices of their providers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent_system.managers.ledger.model_prices import SINCE_EVER

if TYPE_CHECKING:
    from agent_system.managers.ledger.model_prices import PriceFields

__all__ = ["HOSTS", "MODELS", "SeededModels"]

HOSTS = {
    "Anthropic": "https://api.anthropic.com",
    "OpenAI": "https://api.openai.com",
    "Ollama": "http://localhost:11434",
}
"""Addresses by the names of the hosts."""

# Anthropic's and OpenAI's public lists as of June 2025, when seed 000 was written.
_ANTHROPIC = "Anthropic's price list, June 2025"
_OPENAI = "OpenAI's price list, June 2025"
_LOCAL = "runs on a machine of one's own"


@dataclass(frozen=True, kw_only=True, slots=True)
class SeededModels:
    """What was made; what was there already was left as it is."""

    hosts: int
    models: int
    prices: int


def _price(source: str, dollars: tuple[Any, ...], valid_from: datetime = SINCE_EVER) -> PriceFields:
    """Prices in the order of `Rates`: input, output, read from a cache, written to one for 5 minutes, for an hour."""
    classes: list[Any] = [*dollars, None, None, None]
    return {
        "input_usd_per_million": classes[0],
        "output_usd_per_million": classes[1],
        "cache_read_usd_per_million": classes[2],
        "cache_creation_5m_usd_per_million": classes[3],
        "cache_creation_1h_usd_per_million": classes[4],
        "valid_from": valid_from,
        "source": source,
    }


MODELS: dict[tuple[str, str], list[PriceFields]] = {
    ("Anthropic", "claude-3-5-sonnet-20241022"): [_price(_ANTHROPIC, (3, 15, "0.30", "3.75", 6))],
    ("Anthropic", "claude-3-5-haiku-20241022"): [_price(_ANTHROPIC, ("0.80", 4, "0.08", 1, "1.60"))],
    ("Anthropic", "claude-3-opus-20240229"): [_price(_ANTHROPIC, (15, 75, "1.50", "18.75", 30))],
    ("OpenAI", "gpt-4o"): [
        # The name has meant the cheaper gpt-4o-2024-08-06 since that day; seed 000's list still has the older price.
        _price("OpenAI's price list, May 2024", (5, 15)),
        _price(_OPENAI, ("2.50", 10, "1.25"), datetime(2024, 10, 2, tzinfo=UTC)),
    ],
    ("OpenAI", "gpt-4o-mini"): [_price(_OPENAI, ("0.15", "0.60", "0.075"))],
    ("OpenAI", "gpt-4-turbo"): [_price(_OPENAI, (10, 30))],
    ("OpenAI", "gpt-3.5-turbo"): [_price(_OPENAI, ("0.50", "1.50"))],
    ("Ollama", "llama3.2"): [_price(_LOCAL, (0, 0))],
    ("Ollama", "mistral"): [_price(_LOCAL, (0, 0))],
    ("Ollama", "codellama"): [_price(_LOCAL, (0, 0))],
}
"""Dated prices by host and model."""
