"""Events: what happened to whom, and which event led to which."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, union

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.audit.analysis import EventAnalysis
from agent_system.managers.core.audit import audit_context, current_audit_context
from agent_system.managers.core.base import Manager
from agent_system.managers.core.entities import stored_key, stored_type
from agent_system.managers.core.moments import aware
from agent_system.managers.core.where import conditions
from agent_system.models import Event

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

    from agent_system.managers.core.audit import AuditContext
    from agent_system.managers.core.where import Where

__all__ = ["EventManager"]

DEFAULT_LIMIT = 100


class EventManager(Manager[Event]):
    """Events: the audit trail that the layer writes, and whatever callers add to it.

    Example:
        >>> with em.events.context(actor="scheduler", tree=task.tree_id):
        ...     event = await em.events.log("run.started", "task", task.id)
        ...     with em.events.context(parent=event):
        ...         await em.agents.update(agent.id, {"status": "thinking"})
        >>> [each.event_type for each in await em.events.chain(event.id)]
        ['run.started', 'agent.updated']
    """

    entity = Event

    def fill_in(self, values: dict[str, Any]) -> None:
        """Take what the data leave open from the context that the event happens in."""
        context = current_audit_context()
        given = {"actor": context.actor, "parent_event_id": context.parent_event_id, "tree_id": context.tree_id}
        values |= {key: value for key, value in given.items() if values[key] is None}

    def normalise(self, values: dict[str, Any]) -> None:
        """Spell the entity as relationships and the audit trail do."""
        if "entity_type" in values:
            values["entity_type"] = stored_type(values["entity_type"])

    @contextmanager
    def context(
        self, *, actor: str | None = None, parent: Event | int | None = None, tree: UUID | None = None
    ) -> Iterator[AuditContext]:
        """Say who acts, and on account of what, for all events in the block; what is not given stays as outside.

        Args:
            actor: Who does it: a user, an agent, a program.
            parent: The event that causes those of the block.
            tree: The task tree that the work belongs to.
        """
        parent_id = parent.id if isinstance(parent, Event) else parent
        with audit_context(actor=actor, parent_event_id=parent_id, tree_id=tree) as context:
            yield context

    async def log(self, event_type: str, entity_type: str = "system", entity_id: Any = "", **fields: Any) -> Event:
        """Write down that something happened.

        Args:
            event_type: What happened, such as `run.started`.
            entity_type: The type of the entity that it happened to.
            entity_id: Its key; empty when it concerns no single one.
            fields: Other columns: data, outcome, severity, duration_ms, related_entities, actor, meta ...

        Raises:
            ValidationError: A field is unknown or has a wrong type.
        """
        named = {"event_type": event_type, "entity_type": entity_type, "entity_id": stored_key(entity_id)}
        return await self.create(named | fields)

    async def log_sampled(
        self, rate: float, event_type: str, entity_type: str = "system", entity_id: Any = "", **fields: Any
    ) -> Event | None:
        """Write down that something frequent happened, only now and then; None when it was not written.

        The event says in `meta` by which rate it was chosen, so that counts can be estimated.

        Args:
            rate: The share of the events that is written, 0 to 1.
            fields: As for `log`.

        Raises:
            ValidationError: The rate is not between 0 and 1, or a field was refused.
        """
        if not 0 <= rate <= 1:
            message = f"rate must be between 0 and 1, not {rate!r}"
            raise ValidationError(message, field="rate", entity=self.store.name)
        if random.random() >= rate:  # noqa: S311 (a sample needs no secrecy)
            return None
        meta = {**fields.pop("meta", {}), "sample_rate": rate}
        return await self.log(event_type, entity_type, entity_id, **fields, meta=meta)

    @property
    def analysis(self) -> EventAnalysis:
        """What events tell when they are looked at together."""
        return EventAnalysis(self._db, self.plans)

    async def chain(self, event_id: int) -> builtins.list[Event]:
        """Return the events that led to this one, itself, and those that it led to, in the order of writing.

        Raises:
            NotFoundError: There is no such event.
        """
        table = self.plans.table
        start = select(table.c.id, table.c.parent_event_id).where(table.c.id == event_id)
        # UNION, not UNION ALL: a circle in imported data comes to an end.
        above = start.cte("above", recursive=True)
        above = above.union(
            select(table.c.id, table.c.parent_event_id).join_from(table, above, table.c.id == above.c.parent_event_id)
        )
        below = start.cte("below", recursive=True)
        below = below.union(
            select(table.c.id, table.c.parent_event_id).join_from(table, below, table.c.parent_event_id == below.c.id)
        )
        wanted = union(select(above.c.id), select(below.c.id))
        events = await self.select(self.query().where(table.c.id.in_(wanted)).order_by(table.c.id))
        if not events:
            raise NotFoundError(self.store.name, event_id)
        return events

    async def for_entity(
        self,
        entity_type: str,
        entity_id: Any,
        *,
        hours: float | None = None,
        types: Iterable[str] | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> builtins.list[Event]:
        """Return what happened to one entity, the newest first.

        Args:
            entity_type: Its type, such as `agent`.
            entity_id: Its key.
            hours: Only the last so many hours.
            types: Only events of these types.
            limit: At most so many.
        """
        wanted = conditions(self.plans, {"entity_type": stored_type(entity_type), "entity_id": stored_key(entity_id)})
        if hours is not None:
            wanted.append(self.plans.columns["created_at"] >= self._clock() - timedelta(hours=hours))
        if types is not None:
            wanted.append(self.plans.columns["event_type"].in_(tuple(types)))
        return await self.recent(limit, wanted)

    async def find_by_type(
        self, event_type: str, *, since: datetime | None = None, limit: int = DEFAULT_LIMIT
    ) -> builtins.list[Event]:
        """Return the events of one type, the newest first; `since` is the earliest moment that counts."""
        wanted = conditions(self.plans, {"event_type": event_type})
        if since is not None:
            wanted.append(self.plans.columns["created_at"] >= aware(since, "since"))
        return await self.recent(limit, wanted)

    async def find_between(
        self, start: datetime, end: datetime, where: Where = None, limit: int = DEFAULT_LIMIT
    ) -> builtins.list[Event]:
        """Return what happened from `start` up to, but not at, `end`, the oldest first.

        Raises:
            ValidationError: A moment has no time zone, or a column does not exist.
        """
        moment, key = self.plans.columns["created_at"], self.plans.columns["id"]
        wanted = [*conditions(self.plans, where), moment >= aware(start, "start"), moment < aware(end, "end")]
        return await self.select(self.query().where(*wanted).order_by(moment, key).limit(limit))

    async def recent(self, limit: int = DEFAULT_LIMIT, where: Where = None) -> builtins.list[Event]:
        """Return the newest events, the newest first."""
        key = self.plans.columns["id"]
        return await self.select(self.query().where(*conditions(self.plans, where)).order_by(key.desc()).limit(limit))

    def new_values(self, data: Mapping[str, Any] | Event) -> dict[str, Any]:
        """Accept an entity's key as it is, not only as text."""
        if isinstance(data, Mapping) and "entity_id" in data:
            data = {**data, "entity_id": stored_key(data["entity_id"])}
        return super().new_values(data)
