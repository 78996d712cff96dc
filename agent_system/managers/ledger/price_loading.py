"""Writing prices that come from lists: the defaults of seed 000, and those of `genai-prices`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, select

from agent_system.managers.ledger.defaults import HOSTS, MODELS, SeededModels
from agent_system.managers.ledger.names import ModelReference
from agent_system.managers.ledger.price_list import SOURCE, KnownModel
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Select

    from agent_system.database.executor import Executor
    from agent_system.managers.ledger.model_prices import ModelPriceManager, PriceFields
    from agent_system.managers.ledger.names import LedgerNames

    Put = Callable[[Executor, int], object]

__all__ = ["PriceLoader", "known_models", "models_statement"]

_hosts = metadata.tables["hosts"]
_models = metadata.tables["models"]
_prices = metadata.tables["model_prices"]


def models_statement() -> Select[Any]:
    """All models with their hosts, and whether they have a price from elsewhere than `genai-prices`."""
    foreign = exists(
        select(_prices.c.id).where(
            _prices.c.model_id == _models.c.id,
            _prices.c.source.is_(None) | _prices.c.source.not_like(f"{SOURCE} %"),
        )
    )
    loaded = exists(select(_prices.c.id).where(_prices.c.model_id == _models.c.id))
    own = _models.c.input_cost_per_1k.is_not(None) | _models.c.output_cost_per_1k.is_not(None)
    return (
        select(_models.c.id, _models.c.name, _hosts.c.name, _hosts.c.base_url, foreign | (own & ~loaded))
        .join(_hosts, _hosts.c.id == _models.c.host_id)
        .order_by(_hosts.c.name, _models.c.name)
    )


class PriceLoader:
    """Units of work that write prices."""

    def __init__(
        self, names: LedgerNames, prices: ModelPriceManager, show_present_price: Callable[[Executor, int], None]
    ) -> None:
        self._names = names
        self._prices = prices
        self._show_present_price = show_present_price

    def seed(self, executor: Executor, puts: Mapping[tuple[str, str], Sequence[Put]]) -> SeededModels:
        """Make the default hosts and models, and price those that have no price at all."""
        hosts = sum(self._names.make_host(executor, name, base_url) for name, base_url in HOSTS.items())
        models = prices = 0
        for (host, name), its_puts in puts.items():
            made, model_id = self._names.make_model(executor, ModelReference(name, host))
            models += made
            if not self._is_priced(executor, model_id):
                prices += len(its_puts)
                self._put(executor, model_id, its_puts)
        return SeededModels(hosts=hosts, models=models, prices=prices)

    def prepare_defaults(self) -> dict[tuple[str, str], list[Put]]:
        """Check the default prices."""
        return {model: [self._prices.prepare(each) for each in fields] for model, fields in MODELS.items()}

    def prepare(self, listed: Mapping[int, Sequence[PriceFields]]) -> dict[int, list[Put]]:
        """Check listed prices."""
        return {model_id: [self._prices.prepare(each) for each in fields] for model_id, fields in listed.items()}

    def load(self, executor: Executor, puts: Mapping[int, Sequence[Put]]) -> None:
        """Put listed prices in the place of all prices of these models."""
        for model_id, its_puts in puts.items():
            executor.execute(delete(_prices).where(_prices.c.model_id == model_id))
            self._put(executor, model_id, its_puts)

    def _put(self, executor: Executor, model_id: int, puts: Sequence[Put]) -> None:
        for put in puts:
            put(executor, model_id)
        self._show_present_price(executor, model_id)

    def _is_priced(self, executor: Executor, model_id: int) -> bool:
        own = _models.c.input_cost_per_1k.is_not(None) | _models.c.output_cost_per_1k.is_not(None)
        dated = exists(select(_prices.c.id).where(_prices.c.model_id == _models.c.id))
        statement = select(own | dated).where(_models.c.id == model_id)
        return bool(executor.execute(statement).scalar_one())


def known_models(rows: Sequence[Any], *, overwrite: bool) -> tuple[list[KnownModel], list[str]]:
    """Read what `models_statement` selected: the models to be priced, and those to be left alone as `host/model`."""
    wanted = [KnownModel(*row[:4]) for row in rows if overwrite or not row[4]]
    kept = [KnownModel(*row[:4]).shown for row in rows if row[4] and not overwrite]
    return wanted, kept
