"""Hosts: who runs the models."""

from __future__ import annotations

from agent_system.managers.core.base import Manager
from agent_system.models import Host
from agent_system.models.naming import name_key

__all__ = ["HostManager"]


class HostManager(Manager[Host]):
    """Hosts: who runs the models. Names are unique, whatever the case."""

    entity = Host
    hot = True

    async def get_by_name(self, name: str) -> Host | None:
        """Return the host of this name, whatever the case, or None."""
        return await self.find_one(name_key=name_key(name))

    async def ensure(self, name: str, base_url: str | None = None) -> Host:
        """Return the host of this name, made if it is not there; two callers at once get the same one.

        Args:
            name: Name of the provider.
            base_url: Address of its API, for a new one.
        """
        found = await self.get_by_name(name)
        if found is not None:
            return found
        return await self.upsert({"name": name, "base_url": base_url}, on=("name",))
