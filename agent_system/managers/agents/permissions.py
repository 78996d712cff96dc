"""What an agent may do: its base permissions, the tools that it has, and those that its task lends it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, literal, or_, select, union_all

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.agents.agent_tools import counts_at
from agent_system.managers.core.base import Manager
from agent_system.models import Agent, AgentPermission, metadata
from agent_system.models.naming import name_key
from agent_system.types import LifecycleStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from agent_system.database.executor import Executor

__all__ = ["ALL", "AgentPermissions", "PermissionManager"]

ALL = "all"
"""Stands for every tool in a list of tools, for every entity type or every action in entity permissions."""

OUT_OF_USE = (LifecycleStatus.INACTIVE, LifecycleStatus.ARCHIVED)

_agents = metadata.tables["agents"]
_assignments = metadata.tables["task_tool_assignments"]
_links = metadata.tables["agent_tools"]
_permissions = metadata.tables["agent_permissions"]
_tasks = metadata.tables["tasks"]
_tools = metadata.tables["tools"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentPermissions:
    """All that an agent may do at one moment, for one task."""

    agent_id: UUID
    """The agent."""
    entity_permissions: Mapping[str, Any] = field(default_factory=dict)
    """Actions by entity type; "all" is every type that is not named, and among the actions every action."""
    tools: tuple[str, ...] = ()
    """Names of the tools, sorted; "all" among them is every tool."""
    out_of_use: frozenset[str] = frozenset()
    """Casefolded names of the registered tools that nobody may use, because they are inactive or archived."""
    max_concurrent_tools: int = 0
    """How many tools may run at once."""

    def allows_tool(self, tool_name: str) -> bool:
        """Tell whether the agent may use a tool."""
        key = name_key(tool_name)
        return key not in self.out_of_use and (ALL in self.tools or key in map(name_key, self.tools))

    def allows(self, entity_type: str, action: str) -> bool:
        """Tell whether the agent may do something with the entities of a type."""
        actions = self.entity_permissions.get(entity_type, self.entity_permissions.get(ALL))
        return isinstance(actions, list) and (action in actions or ALL in actions)


class PermissionManager(Manager[AgentPermission]):
    """Base permissions of agents and of kinds of agents; `em.agents` offers its verbs."""

    entity = AgentPermission
    audited = "agent_permission"

    async def put(self, data: Mapping[str, Any]) -> AgentPermission:
        """Set the base permissions of one agent (`agent_id`) or of every agent of a kind (`agent_type`).

        Raises:
            ValidationError: Neither or both were given, or a value was refused.
            ForeignKeyError: There is no such agent.
        """
        subjects = [key for key in ("agent_id", "agent_type") if data.get(key) is not None]
        if len(subjects) != 1:
            message = "permissions are either for one agent (agent_id) or for a kind of agent (agent_type)"
            raise ValidationError(message, field="agent_id", entity=self.store.name)
        return await self.upsert(data, on=subjects)

    async def of_agent(self, agent_id: Any, task_id: Any = None, at: datetime | None = None) -> AgentPermissions:
        """Return what an agent may do.

        The agent's own base permissions count instead of those of its kind, and those of its specialization before
        those of its name. What a task was assigned counts for the agent that has the task, and for every agent while
        none has it.

        Args:
            task_id: The task that the agent works on; None: no task lends it anything.
            at: The moment in question; None is now.

        Raises:
            NotFoundError: There is no such agent.
        """
        agent, task = self._uuid(agent_id), self._uuid(task_id)
        moment = self._clock() if at is None else at

        def read(executor: Executor) -> tuple[Sequence[Any], Sequence[Any]]:
            base = executor.execute(_base_of(agent)).all()
            return base, executor.execute(_tools_of(agent, task, moment)).all()

        base, tools = await self._db.read(read)
        if not base:
            raise NotFoundError(Agent.__name__, agent_id)
        return _combined(base, tools)

    def _uuid(self, id_: Any) -> UUID | None:
        key = self.store.keys.possible(id_)
        return None if key is None else key["id"]


def _base_of(agent_id: Any) -> Any:
    """The base permissions that apply to an agent, the nearest first; one row without any when there are none."""
    columns = _permissions.c
    applies = or_(
        columns.agent_id == _agents.c.id,
        columns.agent_type == _agents.c.specialization,
        columns.agent_type == _agents.c.name,
    )
    wanted = (_agents.c.id, _agents.c.state, columns.id, columns.entity_permissions, columns.base_tools)
    return (
        select(*wanted, columns.max_concurrent_tools)
        .select_from(_agents.outerjoin(_permissions, applies))
        .where(_agents.c.id == agent_id)
        .order_by(columns.agent_id.is_(None), columns.agent_type != _agents.c.specialization)
        .limit(1)
    )


def _tools_of(agent_id: Any, task_id: Any, moment: datetime) -> Any:
    """The tools that an agent has or is lent, and those that nobody may use."""
    given = (
        select(literal("given").label("source"), _tools.c.name.label("name"))
        .join(_links, _links.c.tool_id == _tools.c.id)
        .where(_links.c.agent_id == agent_id, counts_at(_links, moment))
    )
    is_at_it = or_(_tasks.c.agent_id.is_(None), _tasks.c.agent_id == agent_id)
    lent = (
        select(literal("lent"), _assignments.c.tool_name)
        .join(_tasks, and_(_tasks.c.id == _assignments.c.task_id, is_at_it))
        .where(_assignments.c.task_id == task_id, counts_at(_assignments, moment))
    )
    out_of_use = select(literal("out of use"), _tools.c.name).where(_tools.c.status.in_(OUT_OF_USE))
    return union_all(given, lent, out_of_use)


def _combined(base: Sequence[Any], tools: Sequence[Any]) -> AgentPermissions:
    agent_id, state, permission_id, entity_permissions, base_tools, max_concurrent_tools = base[0]
    if state == LifecycleStatus.ARCHIVED:
        return AgentPermissions(agent_id=agent_id)
    if permission_id is None:
        fields = AgentPermission.model_fields
        entity_permissions, base_tools, max_concurrent_tools = {}, [], fields["max_concurrent_tools"].default
    # Malformed JSON comes back as its text, and allows nothing.
    names = set(base_tools) if isinstance(base_tools, list) else set()
    names.update(name for source, name in tools if source != "out of use")
    return AgentPermissions(
        agent_id=agent_id,
        entity_permissions=entity_permissions if isinstance(entity_permissions, dict) else {},
        tools=tuple(sorted(names)),
        out_of_use=frozenset(name_key(name) for source, name in tools if source == "out of use"),
        max_concurrent_tools=max_concurrent_tools,
    )
