"""Capabilities: what the system can do, and how each is set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system.managers.core.json_edits import merged
from agent_system.managers.core.versioned import VersionedManager
from agent_system.models import Capability, CapabilityHistory

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["CapabilityManager", "CapabilityVersion"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CapabilityVersion:
    """How a capability was, or is, set up."""

    name: str
    version: int
    config: dict[str, Any]
    is_enabled: bool
    description: str | None
    author: str | None
    """Who set it up so; None when nobody said."""
    reason: str | None
    """Why; None for the first one."""
    written_at: datetime
    """Since when, in UTC."""
    is_current: bool
    """Whether it is how the capability is set up now."""


class CapabilityManager(VersionedManager[Capability, CapabilityVersion, CapabilityHistory]):
    """Capabilities and how they are set up. Names are unique, whatever the case.

    Triggers count the changes of `config` and `is_enabled` and keep what was replaced, whatever program writes.

    Example:
        >>> await em.capabilities.create({"name": "web_search", "config": {"limit": 5, "safe": True}})
        >>> await em.capabilities.merge_config("web_search", {"limit": 10}, author="ada", reason="too few hits")
        >>> await em.capabilities.disable("web_search", author="ada", reason="the provider is down")
        >>> await em.capabilities.rollback("web_search", 2)
    """

    entity = Capability
    hot_name = "name_key"
    history_entity = CapabilityHistory
    history_owner = "capability_id"
    contents = ("config", "is_enabled")
    remembered = ("config", "description", "is_enabled")
    version_type = CapabilityVersion

    async def update_config(
        self,
        name: str | int,
        config: Mapping[str, Any],
        author: str | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> Capability:
        """Replace the settings; the same ones again change nothing.

        Raises:
            NotFoundError: There is no such capability.
            ConflictError: It is not at `expected_version`.
            ValidationError: The settings are no JSON.
        """
        return await self.rewrite(name, lambda *_: {"config": dict(config)}, author, reason, expected_version)

    async def merge_config(
        self, name: str | int, patch: Mapping[str, Any], author: str | None = None, reason: str | None = None
    ) -> Capability:
        """Apply a merge patch (RFC 7396) to the settings: objects merge, None removes a key, others replace.

        Raises:
            NotFoundError: There is no such capability.
            ValidationError: The settings would be no JSON, or those that are there are no object.
        """
        return await self.rewrite(name, lambda _, row: {"config": merged(row, "config", patch)}, author, reason)

    async def enable(self, name: str | int, author: str | None = None, reason: str | None = None) -> Capability:
        """Let the capability be used."""
        return await self.rewrite(name, lambda *_: {"is_enabled": True}, author, reason)

    async def disable(self, name: str | int, author: str | None = None, reason: str | None = None) -> Capability:
        """Let the capability be used no longer."""
        return await self.rewrite(name, lambda *_: {"is_enabled": False}, author, reason)

    async def is_enabled(self, name: str, *, default: bool = False) -> bool:
        """Tell whether the capability may be used; `default` when there is none of this name. A lookup in the cache."""
        found = await self.get_by_name(name)
        return default if found is None else found.is_enabled

    async def enabled(self) -> builtins.list[Capability]:
        """Return the capabilities that may be used, by name."""
        columns = self.plans.columns
        return await self.select(self.query().where(columns["is_enabled"].is_(True)).order_by(columns["name"]))
