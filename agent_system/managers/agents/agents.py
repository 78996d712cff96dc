"""Agents: what they are told, what they can do, which tools they may use."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from agent_system.clock import utc_now
from agent_system.managers.agents.agent_tools import AgentToolManager
from agent_system.managers.agents.permission_seeds import seeding
from agent_system.managers.agents.permissions import PermissionManager
from agent_system.managers.agents.tools import ToolManager
from agent_system.managers.core.base import Manager
from agent_system.managers.core.json_edits import has_item, merged, with_items, without_items
from agent_system.managers.core.names import NameLookup
from agent_system.managers.core.store import differing
from agent_system.models import Agent
from agent_system.types import AgentStatus, EntityType, LifecycleStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.agents.permission_seeds import SeededPermissions
    from agent_system.managers.agents.permissions import AgentPermissions
    from agent_system.managers.core.pagination import Page
    from agent_system.models import AgentPermission, AgentTool, Tool

__all__ = ["AgentManager"]


class AgentManager(Manager[Agent]):
    """Agents: what they are told, what they can do, which tools they may use.

    An archived agent is deleted softly: `get_by_*` still return it, the `find_by_*` of this class do not.
    """

    entity = Agent
    hot = True
    audited = EntityType.AGENT

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(db, clock=clock)
        self._links = AgentToolManager(db, clock=clock)
        self._permissions = PermissionManager(db, clock=clock)

    # Finding.

    async def get_by_name(self, name: str, user_id: Any = None) -> Agent | None:
        """Return the agent of this name, without regard to case, or None.

        Args:
            user_id: Whose agent; None is the scope that all share.
        """
        return await self._names.find(self._db, name, user_id)

    async def find_by_capability(self, capability: str) -> builtins.list[Agent]:
        """Return the agents that have a capability."""
        return await self._find(has_item(self.plans.columns["capabilities"], capability))

    async def find_by_capability_with_tools(
        self, capability: str, *, include_tools: bool = True
    ) -> builtins.list[Agent]:
        """Return the agents that have a capability, each with `tools` loaded, by one statement.

        Tools that were withdrawn from the agent, whose time is over or that are archived are not listed.
        """
        if include_tools:
            return await self._links.capable_with_tools(capability)
        return await self.find_by_capability(capability)

    async def find_by_tool(self, tool_name: str) -> builtins.list[Agent]:
        """Return the agents that have been given the tool of this name and still have it."""
        return await self.select(self._links.having(tool_name))

    async def find_by_specialization(self, specialization: str) -> builtins.list[Agent]:
        """Return the agents for a kind of work."""
        return await self._find(self.plans.columns["specialization"] == specialization)

    async def find_by_context_document(self, document_name: str) -> builtins.list[Agent]:
        """Return the agents that always read the document of this name."""
        return await self._find(has_item(self.plans.columns["context_documents"], document_name))

    async def list_active(self, limit: int = 100, after: str | None = None) -> Page[Agent]:
        """Return one page of the agents that are in use, by name."""
        return await self.list({"state": LifecycleStatus.ACTIVE}, order_by="name", limit=limit, after=after)

    # Changing.

    async def set_status(self, agent_id: Any, status: AgentStatus | str) -> Agent:
        """Say what an agent is doing now.

        Raises:
            NotFoundError: There is no such agent.
            ValidationError: There is no such status.
        """
        return await self.update(agent_id, {"status": status})

    async def update_configuration(self, agent_id: Any, patch: Mapping[str, Any]) -> Agent:
        """Merge a patch into the configuration: objects merge, None removes a key, everything else replaces.

        Raises:
            NotFoundError: There is no such agent.
            ValidationError: The patch cannot be stored as JSON.
        """
        return await self.revise(agent_id, lambda agent: {"configuration": merged(agent, "configuration", patch)})

    async def add_capability(self, agent_id: Any, *capabilities: str) -> Agent:
        """Add capabilities to an agent; those that it has stay as they are."""
        return await self._with_items(agent_id, "capabilities", capabilities)

    async def remove_capability(self, agent_id: Any, *capabilities: str) -> Agent:
        """Take capabilities from an agent."""
        return await self._without_items(agent_id, "capabilities", capabilities)

    async def add_context_document(self, agent_id: Any, *document_names: str) -> Agent:
        """Let an agent always read these documents."""
        return await self._with_items(agent_id, "context_documents", document_names)

    async def remove_context_document(self, agent_id: Any, *document_names: str) -> Agent:
        """No longer let an agent always read these documents."""
        return await self._without_items(agent_id, "context_documents", document_names)

    async def archive(self, agent_id: Any) -> Agent:
        """Delete an agent softly: it keeps its name and its history, and may do nothing."""
        return await self._set_state(agent_id, LifecycleStatus.ARCHIVED, "archived")

    async def restore(self, agent_id: Any) -> Agent:
        """Bring an archived agent back into use."""
        return await self._set_state(agent_id, LifecycleStatus.ACTIVE, "restored")

    # Tools and permissions.

    async def add_tool(
        self,
        agent_id: Any,
        tool_id: Any,
        *,
        permission: str = "use",
        granted_by: str | None = None,
        expires_at: datetime | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> AgentTool:
        """Give an agent a tool; one that it has, or had, is given anew with these values.

        Args:
            expires_at: When the agent loses it again; None is never.

        Raises:
            NotFoundError: There is no such agent.
            ForeignKeyError: There is no such tool.
        """
        return await self._links.add(
            agent_id,
            tool_id,
            permission=permission,
            granted_by=granted_by,
            expires_at=expires_at,
            configuration=dict(configuration or {}),
        )

    async def remove_tool(self, agent_id: Any, tool_id: Any) -> bool:
        """Take a tool away from an agent; False when it does not have it."""
        return await self._links.remove(agent_id, tool_id)

    async def tools_of(self, agent_id: Any) -> builtins.list[Tool]:
        """Return the tools that an agent has been given and still has, by name."""
        return await self._links.tools_of(agent_id)

    async def set_base_permissions(
        self,
        *,
        agent_id: Any = None,
        agent_type: str | None = None,
        base_tools: Iterable[str] | None = None,
        entity_permissions: Mapping[str, Sequence[str]] | None = None,
        max_concurrent_tools: int | None = None,
    ) -> AgentPermission:
        """Set what one agent, or every agent of a kind, may do before a task lends more; None leaves what is there.

        Args:
            agent_type: The kind: a specialization, or a name.
            base_tools: Names of tools; "all" is every tool.
            entity_permissions: Actions by entity type, as `AgentPermissions` reads them.

        Raises:
            ValidationError: Neither or both of `agent_id` and `agent_type` were given, or a value was refused.
            ForeignKeyError: There is no such agent.
        """
        given = {
            "agent_id": agent_id,
            "agent_type": agent_type,
            "base_tools": None if base_tools is None else [*base_tools],
            "entity_permissions": None if entity_permissions is None else dict(entity_permissions),
            "max_concurrent_tools": max_concurrent_tools,
        }
        return await self._permissions.put({key: value for key, value in given.items() if value is not None})

    async def permissions_of(self, agent_id: Any, task_id: Any = None, at: datetime | None = None) -> AgentPermissions:
        """Return all that an agent may do, for one task or for none; see `PermissionManager.of_agent`.

        Raises:
            NotFoundError: There is no such agent.
        """
        return await self._permissions.of_agent(agent_id, task_id, at)

    async def seed_permissions(self) -> SeededPermissions:
        """Make the tools and the base permissions that seed 001 begins with; what is there already stays as it is."""
        work, rows = seeding(ToolManager(self._db, clock=self._clock), self._permissions)
        return await self.run_racing(work, rows)

    async def may_use_tool(
        self, agent_id: Any, tool_name: str, task_id: Any = None, at: datetime | None = None
    ) -> bool:
        """Tell whether an agent may use a tool: by its base permissions, by a gift, or because its task lends it.

        Raises:
            NotFoundError: There is no such agent.
        """
        return (await self._permissions.of_agent(agent_id, task_id, at)).allows_tool(tool_name)

    async def may(self, agent_id: Any, action: str, entity_type: str) -> bool:
        """Tell whether an agent's base permissions allow an action, such as read, on the entities of a type.

        Raises:
            NotFoundError: There is no such agent.
        """
        return (await self._permissions.of_agent(agent_id)).allows(entity_type, action)

    @cached_property
    def _names(self) -> NameLookup[Agent]:
        return NameLookup(self.plans, "user_id")

    async def _find(self, condition: Any) -> builtins.list[Agent]:
        columns = self.plans.columns
        in_use = columns["state"] != LifecycleStatus.ARCHIVED
        return await self.select(self.query().where(condition, in_use).order_by(columns["id"]))

    async def _with_items(self, agent_id: Any, key: str, items: Sequence[str]) -> Agent:
        return await self.revise(agent_id, lambda agent: {key: with_items(agent, key, items)})

    async def _without_items(self, agent_id: Any, key: str, items: Sequence[str]) -> Agent:
        return await self.revise(agent_id, lambda agent: {key: without_items(agent, key, items)})

    async def _set_state(self, agent_id: Any, state: LifecycleStatus, event_type: str) -> Agent:
        return await self.revise(agent_id, partial(differing, state=state), event_type=event_type)
