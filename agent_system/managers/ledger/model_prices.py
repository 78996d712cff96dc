"""Dated prices of models: what held when, for which class of tokens."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.ledger.pricing import PRICE_COLUMNS, nano_usd
from agent_system.models import ModelPrice

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from agent_system.database.executor import Executor

__all__ = ["SINCE_EVER", "ModelPriceManager", "PriceFields"]

SINCE_EVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""`valid_from` of a price of which nobody knows since when it holds."""
KEY = ("model_id", "valid_from", "above_input_tokens")


class PriceFields(TypedDict, total=False):
    """A model's prices: dollars for a million tokens of each class; None, or left out, is not known."""

    input_usd_per_million: Decimal | float | str | None
    output_usd_per_million: Decimal | float | str | None
    cache_read_usd_per_million: Decimal | float | str | None
    """None: as other input."""
    cache_creation_5m_usd_per_million: Decimal | float | str | None
    """None: as other input."""
    cache_creation_1h_usd_per_million: Decimal | float | str | None
    """None: as what is kept for five minutes."""
    valid_from: datetime
    """The first moment at which they hold, aware. Not said: now."""
    above_input_tokens: int
    """They hold for calls with more input tokens than this, beside a price for the others. Not said: 0."""
    source: str | None
    """Where they were taken from."""


class ModelPriceManager(Manager[ModelPrice]):
    """Dated prices of models; `em.models.set_price` writes them by the model's name."""

    entity = ModelPrice

    async def of_model(self, model_id: int) -> builtins.list[ModelPrice]:
        """Return a model's prices, the newest first."""
        columns = self.plans.columns
        newest = (columns["valid_from"].desc(), columns["above_input_tokens"])
        return await self.select(self.query({"model_id": model_id}).order_by(*newest))

    def prepare(self, prices: Mapping[str, Any]) -> Callable[[Executor, int], dict[str, Any]]:
        """Check prices; returns what writes them for a model, or changes those of the same moment, and gives the row.

        Args:
            prices: `PriceFields`.

        Raises:
            ValidationError: There is no such field, no price at all, or an amount is none.
        """
        values = self.new_values(self._data(prices))
        insert = self.store.prepare_insert(values, late=("model_id",))
        changes = {key: values[key] for key in (*PRICE_COLUMNS, "source")}

        def put(executor: Executor, model_id: int) -> dict[str, Any]:
            values["model_id"] = model_id
            key = self.store.find_key(executor, {name: values[name] for name in KEY})
            if key is not None:
                return self.store.change(executor, key, changes)
            insert(executor)
            return values

        return put

    def _data(self, prices: Mapping[str, Any]) -> dict[str, Any]:
        unknown = prices.keys() - PriceFields.__annotations__.keys()
        if unknown:
            name = min(unknown)
            message = f"model_prices.{name}: unknown field"
            raise ValidationError(message, field=name, entity=self.store.name)
        data = {column: _amount(prices, column) for column in PRICE_COLUMNS}
        if not any(amount is not None for amount in data.values()):
            message = "model_prices: there is no price among the fields; 0 is one, for what costs nothing"
            raise ValidationError(message, field="input_usd_per_million", entity=self.store.name)
        moment = prices.get("valid_from")
        return {
            **data,
            "model_id": 0,
            "valid_from": self._clock() if moment is None else moment,
            "above_input_tokens": prices.get("above_input_tokens", 0),
            "source": prices.get("source"),
        }


def _amount(prices: Mapping[str, Any], column: str) -> int | None:
    field = column.replace("_nano_", "_")
    amount = prices.get(field)
    return None if amount is None else nano_usd(amount, field)
