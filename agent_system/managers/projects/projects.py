"""Projects: what work belongs to, and which agents take part in it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.managers.core.base import Manager
from agent_system.models import Agent, Project, ProjectAgent
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    import builtins
    from uuid import UUID

__all__ = ["ProjectManager"]


class ProjectManager(Manager[Project]):
    """Projects: what work belongs to. A name is unique among the projects of its owner, whatever the case."""

    entity = Project
    hot = True

    @cached_property
    def _members(self) -> Manager[ProjectAgent]:
        return _MemberManager(self._db, clock=self._clock)

    @cached_property
    def _agents(self) -> Manager[Agent]:
        return _AgentReader(self._db, clock=self._clock)

    async def get_by_name(self, name: str, user_id: UUID | None = None) -> Project | None:
        """Return the owner's project of this name, or None; without an owner, the shared one."""
        return await self.find_one(name_key=name_key(name), user_id=user_id)

    async def ensure(self, name: str, user_id: UUID | None = None) -> Project:
        """Return the owner's project of this name, made if it is not there; two callers at once get the same one."""
        found = await self.get_by_name(name, user_id)
        return found or await self.upsert({"name": name, "user_id": user_id}, on=("name", "user_id"))

    async def add_agent(self, project_id: UUID, agent_id: UUID, role: str | None = None) -> ProjectAgent:
        """Let an agent take part; one that does already gets the role, if one is given.

        Raises:
            ForeignKeyError: There is no such project or agent.
        """
        row: dict[str, Any] = {"project_id": project_id, "agent_id": agent_id}
        return await self._members.upsert(row if role is None else row | {"role": role}, on=tuple(row))

    async def remove_agent(self, project_id: UUID, agent_id: UUID) -> bool:
        """Let an agent no longer take part; False when it did not."""
        return await self._members.delete((project_id, agent_id))

    async def agents_of(self, project_id: UUID) -> builtins.list[Agent]:
        """Return the agents that take part, by name."""
        agents, members = self._agents, self._members.plans.columns
        statement = agents.query().join(self._members.plans.table, members["agent_id"] == agents.plans.columns["id"])
        ordered = statement.where(members["project_id"] == project_id).order_by(agents.plans.columns["name_key"])
        return await agents.select(ordered)

    async def find_by_agent(self, agent_id: UUID) -> builtins.list[Project]:
        """Return the projects that an agent takes part in, by name."""
        columns, members = self.plans.columns, self._members.plans.columns
        statement = self.query().join(self._members.plans.table, members["project_id"] == columns["id"])
        return await self.select(statement.where(members["agent_id"] == agent_id).order_by(columns["name_key"]))


class _MemberManager(Manager[ProjectAgent]):
    entity = ProjectAgent


class _AgentReader(Manager[Agent]):
    entity = Agent
