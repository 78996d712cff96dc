"""Models: what a host offers and what it costs."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from agent_system.managers.core.base import Manager
from agent_system.managers.ledger.hosts import HostManager
from agent_system.models import Model
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    import builtins

    from agent_system.database.executor import Executor

__all__ = ["UNKNOWN", "ModelManager"]

UNKNOWN = "unknown"
"""The name of a model or a host that nobody named."""


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

    async def find_by_host(self, host_id: int) -> builtins.list[Model]:
        """Return the models that a host offers, by name."""
        columns = self.plans.columns
        return await self.select(self.query().where(columns["host_id"] == host_id).order_by(columns["name"]))
