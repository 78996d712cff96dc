"""What tokens cost: whole nano-dollars, rounded once, by the prices that held when they were used."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, exists, literal_column, or_, select

from agent_system.errors import ValidationError
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement

__all__ = [
    "NANO",
    "PRICE_COLUMNS",
    "Rates",
    "cost_of",
    "in_dollars",
    "nano_usd",
    "per_1k",
    "price_columns",
    "valid_price",
]

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""
MILLION = 1_000_000
PER_1K = 1_000
"""Thousands of tokens in a million: how many prices for 1,000 tokens make one for a million."""
INT64 = 2**63

_models = metadata.tables["models"]
_prices = metadata.tables["model_prices"]
PRICE_COLUMNS = (
    "input_nano_usd_per_million",
    "output_nano_usd_per_million",
    "cache_read_nano_usd_per_million",
    "cache_creation_5m_nano_usd_per_million",
    "cache_creation_1h_nano_usd_per_million",
)
"""The prices of a row of `model_prices`, in the order of the fields of `Rates`."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars for a million tokens of each class; None: not known."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    """None: as other input."""
    cache_creation_5m: int | None = None
    """None: as other input."""
    cache_creation_1h: int | None = None
    """None: as what is kept for five minutes."""

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Rates | None:
        """Read what `price_columns` selected; None when no price is known."""
        price_id, has_prices, input_per_1k, output_per_1k, *dated = row
        if price_id is not None:
            return cls(*dated)
        if has_prices or (input_per_1k is None and output_per_1k is None):
            return None
        return cls(_per_million(input_per_1k), _per_million(output_per_1k))


def cost_of(tokens: Mapping[str, Any], rates: Rates | None) -> int | None:
    """Return what a call cost in nano-dollars, rounded half up; None when a class of its tokens has no price.

    Args:
        tokens: Counts by the names of the ledger's columns. The cached ones are parts of `input_tokens`, reasoning is
            a part of `output_tokens`; a count that is None is not known and costs nothing yet.
        rates: The prices that held.
    """
    whole, output = tokens["input_tokens"], tokens["output_tokens"]
    if rates is None or (whole is None and output is None):
        return None
    read = tokens["cache_read_input_tokens"] or 0
    created = tokens["cache_creation_input_tokens"] or 0
    hour = tokens["cache_creation_1h_input_tokens"] or 0
    five_minutes = rates.input if rates.cache_creation_5m is None else rates.cache_creation_5m
    classes = (
        ((whole or 0) - read - created, rates.input),
        (output or 0, rates.output),
        (read, rates.input if rates.cache_read is None else rates.cache_read),
        # What is not said to be kept for an hour is kept for five minutes, the default of who offers both.
        (created - hour, five_minutes),
        (hour, five_minutes if rates.cache_creation_1h is None else rates.cache_creation_1h),
    )
    total = 0
    for count, price in classes:
        if count and price is None:
            return None
        total += count * (price or 0)
    cost = (total + MILLION // 2) // MILLION
    if cost >= INT64:
        message = f"token_usage.cost_nano_usd: {cost} nano-dollars are more than the ledger can hold"
        raise ValidationError(message, field="cost_nano_usd", entity="TokenUsage")
    return cost


def nano_usd(amount: Decimal | float | str, field: str, *, scale: int = NANO) -> int:
    """Return an amount of dollars in nano-dollars (or, by `scale`, in another whole unit).

    A float counts as what it prints as: 0.1 is ten cents, not the binary fraction next to it.

    Args:
        amount: Dollars, zero or more.
        field: The name of the argument.
        scale: Units in a dollar.

    Raises:
        ValidationError: It is no such amount, or more than 64 bits hold.
    """
    text = repr(amount) if isinstance(amount, (float, bool)) else amount
    try:
        units = int((Decimal(text) * scale).to_integral_value())
    except (InvalidOperation, TypeError, ValueError, OverflowError):
        message = f"{field}: {amount!r} is no amount of dollars"
        raise ValidationError(message, field=field) from None
    if not 0 <= units < INT64:
        message = f"{field}: {amount!r} is negative or more than the ledger can hold"
        raise ValidationError(message, field=field)
    return units


def valid_price(model_id: Any, moment: Any, input_tokens: Any) -> ColumnElement[bool]:
    """The condition that a row of `model_prices` is the one that prices a call: what to join it by.

    Args:
        model_id: The model, as an expression.
        moment: When it was called, as an expression.
        input_tokens: How many tokens it read, as an expression.
    """
    newest = _prices.alias("newest")
    found = (
        select(newest.c.id)
        .where(
            newest.c.model_id == model_id,
            newest.c.valid_from <= moment,
            or_(newest.c.above_input_tokens == literal_column("0"), newest.c.above_input_tokens < input_tokens),
        )
        .order_by(newest.c.valid_from.desc(), newest.c.above_input_tokens.desc())
        .limit(literal_column("1"))
        .offset(literal_column("0"))
    )
    return and_(_prices.c.model_id == model_id, _prices.c.id == found.scalar_subquery())


def price_columns() -> list[Any]:
    """What `Rates.of_row` reads, of `models` joined with `model_prices` by `valid_price`."""
    dated = _prices.alias("dated")
    # Looked at only where no price holds.
    has_prices = case((_prices.c.id.is_(None), exists(select(dated.c.id).where(dated.c.model_id == _models.c.id))))
    known = (_models.c.input_cost_per_1k, _models.c.output_cost_per_1k)
    return [_prices.c.id, has_prices.label("has_prices"), *known, *(_prices.c[name] for name in PRICE_COLUMNS)]


def in_dollars(nano: int | None) -> float | None:
    """Nano-dollars as the database's computed columns have them in dollars."""
    return None if nano is None else float(nano) / NANO


def per_1k(nano_usd_per_million: int | None) -> float | None:
    """The price of a million tokens as dollars for 1,000, as seed 000 keeps it."""
    return None if nano_usd_per_million is None else nano_usd_per_million / (NANO * PER_1K)


def _per_million(dollars_per_1k: float | None) -> int | None:
    return None if dollars_per_1k is None else nano_usd(dollars_per_1k, "models", scale=NANO * PER_1K)
