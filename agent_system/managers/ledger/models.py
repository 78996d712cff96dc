"""Models: what a host offers and what it costs."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy import select

from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.core.store import differing
from agent_system.managers.ledger.fields import TOKEN_CLASSES, check_tokens
from agent_system.managers.ledger.hosts import HostManager
from agent_system.managers.ledger.model_prices import ModelPriceManager
from agent_system.managers.ledger.names import UNKNOWN, LedgerNames, ModelReference, model_reference
from agent_system.managers.ledger.price_list import LoadedPrices, list_prices
from agent_system.managers.ledger.price_loading import PriceLoader, known_models, models_statement
from agent_system.managers.ledger.pricing import cost_of, per_1k
from agent_system.models import Model
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    import builtins
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.managers.ledger.defaults import SeededModels
    from agent_system.managers.ledger.model_prices import PriceFields
    from agent_system.managers.ledger.names import GivenHost, GivenModel
    from agent_system.managers.ledger.pricing import Rates
    from agent_system.managers.ledger.usage import Usage
    from agent_system.models import ModelPrice

__all__ = ["ModelManager"]


class ModelManager(Manager[Model]):
    """Models: what a host offers. A name is unique at its host; case counts, as it does to the host."""

    entity = Model
    hot = True

    @cached_property
    def _hosts(self) -> HostManager:
        return HostManager(self._db, clock=self._clock)

    async def get_by_name(self, name: str, host: str) -> Model | None:
        """Return the model of this name at the host of this name, or None."""
        hosts = self._hosts.plans.columns
        of_host = select(hosts["id"]).where(hosts["name_key"] == name_key(host)).scalar_subquery()
        columns = self.plans.columns
        found = await self.select(self.query().where(columns["name"] == name, columns["host_id"] == of_host))
        return found[0] if found else None

    async def ensure(self, name: str = UNKNOWN, host: str = UNKNOWN, **fields: Any) -> Model:
        """Return a model by its name and its host's, both made if they are not there; callers at once get the same one.

        Args:
            name: Name of the model.
            host: Name of the host.
            fields: Other columns of a new model, such as its prices; one that is there is not changed.

        Raises:
            ValidationError: A field is unknown or has a wrong type.
        """
        found = await self.get_by_name(name, host)
        if found is not None:
            return found
        values = self.new_values({"name": name, "host_id": 0, **fields})
        insert = self.store.prepare_insert(values, late=("host_id",))
        host_values = self._hosts.new_values({"name": host})
        insert_host = self._hosts.insertion(host_values)

        def work(executor: Executor) -> dict[str, Any]:
            host_key = self._hosts.store.find_key(executor, {"name_key": host_values["name_key"]})
            if host_key is None:
                insert_host(executor)
            values["host_id"] = host_values["id"] if host_key is None else host_key["id"]
            key = self.store.find_key(executor, {"name": name, "host_id": values["host_id"]})
            if key is None:
                insert(executor)
            return values if key is None else self.store.get(executor, key) or values

        return self.plans.hydrate.build(await self.run_racing(work))

    # Prices.

    async def set_price(self, model: GivenModel, host: GivenHost = None, **prices: Unpack[PriceFields]) -> ModelPrice:
        """Say what a model costs from a moment on, and return the price.

        The model and its host are made if they are not there. A price of the very same moment is changed. What is
        recorded already keeps its cost: `em.token_usage.reprice` corrects it. The two columns `input_cost_per_1k` and
        `output_cost_per_1k` follow what holds now.

        Args:
            model: Its name at the host, or its key.
            host: Name or key of the host; None is `unknown`.
            prices: Dollars for a million tokens of each class, and since when; see `PriceFields`.

        Raises:
            ValidationError: A field is unknown, an amount is none, or no price was given.
            NotFoundError: There is no model or host with the key that was given.
        """
        wanted, put = model_reference(model, host), self._prices.prepare(prices)

        def work(executor: Executor) -> dict[str, Any]:
            model_id, _ = self._names.model(executor, wanted, self._clock(), None)
            row = put(executor, model_id)
            self._show_present_price(executor, model_id)
            return row

        return self._prices.plans.hydrate.build(await self._prices.run_racing(work))

    async def prices_of(self, model: GivenModel, host: GivenHost = None) -> builtins.list[ModelPrice]:
        """Return a model's dated prices, the newest first; none when there is no such model."""
        found = await self._find(model_reference(model, host), None, None)
        return [] if found is None else await self._prices.of_model(found[0])

    async def rates_at(
        self,
        model: GivenModel,
        host: GivenHost = None,
        *,
        at: datetime | None = None,
        input_tokens: int = 0,
    ) -> Rates | None:
        """Return what a model costs at a moment, in nano-dollars for a million tokens; None when nobody knows.

        Args:
            at: The moment, aware; None is now.
            input_tokens: How many tokens the call reads: long prompts may cost more.
        """
        found = await self._find(model_reference(model, host), at, input_tokens)
        return None if found is None else found[1]

    async def calculate_cost(
        self,
        usage: Usage,
        model: GivenModel,
        host: GivenHost = None,
        *,
        at: datetime | None = None,
    ) -> int | None:
        """Return what a call costs, or would cost, in nano-dollars; None when a price is unknown.

        Args:
            usage: The tokens; an estimate does as well.
            at: When the model is called, aware; None is now.

        Raises:
            ValidationError: The counts contradict each other.
        """
        tokens = {name: getattr(usage, name) for name in TOKEN_CLASSES}
        check_tokens(tokens, state_given=False)
        return cost_of(tokens, await self.rates_at(model, host, at=at, input_tokens=tokens["input_tokens"] or 0))

    async def seed_defaults(self) -> SeededModels:
        """Make the three hosts and ten priced models that seed 000 begins with; what is there is left as it is.

        A model that is there without any price gets the default one. To do it again changes nothing.
        """
        puts = self._loader.prepare_defaults()
        return await self.run_racing(lambda executor: self._loader.seed(executor, puts))

    async def load_prices(self, *, overwrite: bool = False) -> LoadedPrices:
        """Give the models that are there the list prices that ship with the package `genai-prices`.

        Nothing is downloaded: newer prices come with a newer version of the package. Models are found by their names
        at hosts that the list knows by name or address. What is recorded already keeps its cost until
        `em.token_usage.reprice`.

        Args:
            overwrite: Also models that have prices from elsewhere, which are lost; otherwise these are left alone.

        Raises:
            MissingExtraError: `genai-prices` is not installed: pip install "agent_system[cost]".
        """
        statement = models_statement()
        rows = await self._db.read(lambda executor: executor.execute(statement).all())
        wanted, kept = known_models(rows, overwrite=overwrite)
        listed = await asyncio.to_thread(list_prices, wanted)
        puts = self._loader.prepare(listed)
        if puts:
            await self._prices.run_racing(lambda executor: self._loader.load(executor, puts))
        return LoadedPrices(
            priced=tuple(model.shown for model in wanted if model.id in listed),
            kept=tuple(kept),
            unknown=tuple(model.shown for model in wanted if model.id not in listed),
        )

    async def _find(
        self, wanted: ModelReference, at: datetime | None, input_tokens: int | None
    ) -> tuple[int, Rates | None] | None:
        moment = self._clock() if at is None else aware(at, "at")
        return await self._db.read(lambda executor: self._names.find_model(executor, wanted, moment, input_tokens))

    def _show_present_price(self, executor: Executor, model_id: int) -> None:
        _, rates = self._names.model(executor, ModelReference(model_id), self._clock(), None)
        if rates is None:
            return
        shown = {"input_cost_per_1k": per_1k(rates.input), "output_cost_per_1k": per_1k(rates.output)}
        row = self.store.get(executor, {"id": model_id}, lock=True)
        changes = {} if row is None else differing(row, **shown)
        if changes:
            self.store.change(executor, {"id": model_id}, changes)

    @cached_property
    def _prices(self) -> ModelPriceManager:
        return ModelPriceManager(self._db, clock=self._clock)

    @cached_property
    def _names(self) -> LedgerNames:
        return LedgerNames(self._db.dialect, self._clock)

    @cached_property
    def _loader(self) -> PriceLoader:
        return PriceLoader(self._names, self._prices, self._show_present_price)

    # Finding.

    async def find_by_host(self, host_id: int) -> builtins.list[Model]:
        """Return the models that a host offers, by name."""
        columns = self.plans.columns
        return await self.select(self.query().where(columns["host_id"] == host_id).order_by(columns["name"]))
