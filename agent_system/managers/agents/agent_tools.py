"""Which tools an agent has been given, for good or for a while."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, or_, select

from agent_system.database.dialects.expressions import json_array_contains
from agent_system.database.hydration import Hydrator
from agent_system.database.plans import compile_plan
from agent_system.errors import NotFoundError
from agent_system.managers.core.audit import AuditTrail
from agent_system.managers.core.base import Manager
from agent_system.managers.core.images import image
from agent_system.managers.core.steps import uncollected
from agent_system.models import Agent, AgentTool, Tool, metadata
from agent_system.models.columns import Text, UtcDateTime
from agent_system.models.naming import name_key
from agent_system.types import EntityType, LifecycleStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan

__all__ = ["AgentToolManager", "counts_at"]

_agents = metadata.tables["agents"]
_links = metadata.tables["agent_tools"]
_tools = metadata.tables["tools"]


class AgentToolManager(Manager[AgentTool]):
    """The links between agents and tools; `em.agents` offers its verbs."""

    entity = AgentTool

    async def add(self, agent_id: Any, tool_id: Any, **fields: Any) -> AgentTool:
        """Give an agent a tool; one that it has, or had, gets these fields and counts again.

        Raises:
            NotFoundError: There is no such agent.
            ForeignKeyError: There is no such tool.
            ValidationError: A field was refused.
        """
        values = self.new_values({"agent_id": agent_id, "tool_id": tool_id} | fields)
        again = {key: value for key, value in values.items() if key not in {"agent_id", "tool_id", "created_at"}}
        key = {"agent_id": values["agent_id"], "tool_id": values["tool_id"]}
        insert, trail = self.insertion(values), self._trail

        def work(executor: Executor) -> dict[str, Any]:
            self._lock_agent(executor, key["agent_id"])
            if self.store.get(executor, key) is None:
                insert(executor)
                row = values
            else:
                row = self.store.change(executor, key, again)
            trail.write(executor, _event(trail, "tool_added", row))
            return row

        return self.plans.hydrate.build(await self.run(work, values))

    async def remove(self, agent_id: Any, tool_id: Any) -> bool:
        """Take a tool away from an agent; False when it does not have it."""
        key = self.store.keys.possible((agent_id, tool_id))
        if key is None:
            return False
        trail = self._trail

        def work(executor: Executor) -> bool:
            row = self.store.get(executor, key, lock=True)
            if row is None or not self.store.remove(executor, key):
                return False
            trail.write(executor, _event(trail, "tool_removed", row))
            return True

        return await self.run(work)

    async def tools_of(self, agent_id: Any) -> builtins.list[Tool]:
        """Return the tools that an agent has now, by name."""
        statement = (
            select(*_tools.columns)
            .join(_links, _links.c.tool_id == _tools.c.id)
            .where(_links.c.agent_id == self._agent_key(agent_id), counts_at(_links, self._clock()))
            .where(_tools.c.status != LifecycleStatus.ARCHIVED)
            .order_by(_tools.c.name_key)
        )
        rows = await self._db.read(lambda executor: executor.execute(statement).all())
        hydrate = self._tools
        return [hydrate.build(dict(zip(hydrate.keys, row, strict=True))) for row in rows]

    def having(self, tool_name: str) -> Select[Any]:
        """The agents that have the tool of this name now, in the order of their keys."""
        return (
            select(*_agents.columns)
            .join(_links, _links.c.agent_id == _agents.c.id)
            .join(_tools, _tools.c.id == _links.c.tool_id)
            .where(_tools.c.name_key == name_key(tool_name), counts_at(_links, self._clock()))
            .where(_agents.c.state != LifecycleStatus.ARCHIVED)
            .order_by(_agents.c.id)
        )

    async def capable_with_tools(self, capability: str) -> builtins.list[Agent]:
        """Return the agents with a capability, in the order of their keys, each with its tools, by one statement."""
        plan = self._capable_plan
        parameters = plan.encode({"capability": capability, "now": self._clock()})
        rows = await self._db.read(lambda executor: executor.fetch(plan, parameters))
        with uncollected():
            return _grouped(rows, self._agents, self._tools)

    @cached_property
    def _agents(self) -> Hydrator[Agent]:
        return Hydrator(Agent, self._db.dialect)

    @cached_property
    def _tools(self) -> Hydrator[Tool]:
        return Hydrator(Tool, self._db.dialect)

    @cached_property
    def _capable_plan(self) -> Plan:
        now = bindparam("now", type_=UtcDateTime())
        has_link = and_(_links.c.agent_id == _agents.c.id, counts_at(_links, now))
        has_tool = and_(_tools.c.id == _links.c.tool_id, _tools.c.status != LifecycleStatus.ARCHIVED)
        capable = json_array_contains(_agents.c.capabilities, bindparam("capability", type_=Text()))
        statement = (
            select(*_agents.columns, *_tools.columns)
            .select_from(_agents.outerjoin(_links, has_link).outerjoin(_tools, has_tool))
            .where(capable, _agents.c.state != LifecycleStatus.ARCHIVED)
            .order_by(_agents.c.id, _tools.c.name_key)
        )
        return compile_plan(statement, self._db.dialect)

    @cached_property
    def _trail(self) -> AuditTrail:
        return AuditTrail(EntityType.AGENT, self._db.dialect, self._clock)

    def _agent_key(self, agent_id: Any) -> Any:
        key = self.store.keys.possible((agent_id, agent_id))
        return None if key is None else key["agent_id"]

    def _lock_agent(self, executor: Executor, agent_id: Any) -> None:
        """Let nobody else change the agent's links before this transaction ends."""
        statement = select(_agents.c.id).where(_agents.c.id == agent_id).with_for_update()
        if executor.execute(statement).first() is None:
            raise NotFoundError(Agent.__name__, agent_id)


def counts_at(table: Any, moment: datetime | Any) -> ColumnElement[bool]:
    """The condition that a link or an assignment is neither withdrawn nor over at a moment."""
    return and_(table.c.is_active, or_(table.c.expires_at.is_(None), table.c.expires_at > moment))


def _event(trail: AuditTrail, event_type: str, row: Mapping[str, Any]) -> Sequence[Any]:
    told = image({key: row[key] for key in ("tool_id", "permission", "expires_at")})
    return trail.parameters(event_type, row["agent_id"], data=told)


def _grouped(rows: Sequence[Sequence[Any]], agents: Hydrator[Agent], tools: Hydrator[Tool]) -> builtins.list[Agent]:
    """Make one agent of the rows of each, with the tools of those rows; a row without a tool has None in its place."""
    width = len(agents.keys)
    agent_place, tool_place = agents.keys.index("id"), width + tools.keys.index("id")
    found: builtins.list[Agent] = []
    known: dict[Any, Tool] = {}
    present: Any = None
    its_tools: builtins.list[Tool] = []
    for row in rows:
        # The rows of an agent stand together.
        if row[agent_place] != present:
            present, its_tools = row[agent_place], []
            values = agents.decode(row[:width])
            # A plain list among the attributes: to have SQLAlchemy put one there takes as long as all else together.
            values["tools"] = its_tools
            found.append(agents.adopt(values))
        tool_id = row[tool_place]
        if tool_id is not None:
            tool = known.get(tool_id)
            if tool is None:
                tool = known[tool_id] = tools(row[width:])
            its_tools.append(tool)
    return found
