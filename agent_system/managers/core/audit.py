"""The audit trail: who changed what, written in the same transaction as the change itself.

`create_many` writes one event that carries the ids. What is written by raw SQL is not audited.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from agent_system.database.plans import shared_plans
from agent_system.managers.core.images import image
from agent_system.managers.core.insertion import Insertion
from agent_system.models import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor, Work
    from agent_system.database.plans import Plan

__all__ = ["AuditContext", "AuditTrail", "audit_context", "current_audit_context", "in_audit_context"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditContext:
    """What the events of a block have in common."""

    actor: str | None = None
    """Who acts: a user, an agent, a program; None when nobody said."""
    parent_event_id: int | None = None
    """The event that caused these; chains are followed along it."""
    tree_id: UUID | None = None
    """The task tree that the work belongs to."""


_context: ContextVar[AuditContext | None] = ContextVar("agent_system_audit", default=None)
_NOBODY = AuditContext()


def current_audit_context() -> AuditContext:
    """What the running code's events have in common."""
    return _context.get() or _NOBODY


@contextmanager
def audit_context(
    *, actor: str | None = None, parent_event_id: int | None = None, tree_id: UUID | None = None
) -> Iterator[AuditContext]:
    """Say who acts, and on account of what, for the events in the block; what is not given stays as outside."""
    outer = current_audit_context()
    context = AuditContext(
        actor=outer.actor if actor is None else actor,
        parent_event_id=outer.parent_event_id if parent_event_id is None else parent_event_id,
        tree_id=outer.tree_id if tree_id is None else tree_id,
    )
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)


def in_audit_context(work: Work[T]) -> Work[T]:
    """Let a unit of work, which runs on a thread of its own, write its events in the context of the running code."""
    context = _context.get()
    # The event of an insertion was made in the context already.
    if context is None or isinstance(work, Insertion):
        return work

    def run(executor: Executor) -> T:
        token = _context.set(context)
        try:
            return work(executor)
        finally:
            _context.reset(token)

    return run


# The other columns of an event have their defaults in the database.
WRITTEN = (
    "entity_type",
    "entity_id",
    "event_type",
    "actor",
    "before",
    "after",
    "parent_event_id",
    "tree_id",
    "data",
    "created_at",
)


class AuditTrail:
    """Writes the events of one entity type."""

    def __init__(self, entity_type: str, dialect: Dialect, clock: Callable[[], datetime]) -> None:
        self._insert = shared_plans(Event, dialect).insert(WRITTEN)
        self._entity_type = entity_type
        self._clock = clock
        # An event differs from another one in few places: 2 µs, where all take 5.
        self._templates: dict[str, tuple[Any, ...]] = {}

    def parameters(
        self,
        event_type: str,
        entity_id: object,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        tree_id: UUID | None = None,
    ) -> list[Any]:
        """The encoded parameters of an event; made before the unit of work, which may run more than once.

        Args:
            tree_id: The task tree in which it happens; None takes that of the context.
        """
        parameters = self._begun(event_type, entity_id, tree_id)
        put = self._insert.put
        if before is not None:
            put(parameters, "before", image(before))
        if after is not None:
            put(parameters, "after", image(after))
        if data is not None:
            put(parameters, "data", data)
        return parameters

    def creation(self, entity_id: object, after: str, tree_id: UUID | None) -> list[Any]:
        """The encoded parameters of the event of a new row, whose image is encoded already."""
        parameters = self._begun("created", entity_id, tree_id)
        parameters[self._insert.positions["after"]] = after
        return parameters

    def change(self, event_type: str, entity_id: object, before: str, after: str, tree_id: UUID | None) -> list[Any]:
        """The encoded parameters of the event of a changed row, whose images are encoded already."""
        parameters = self._begun(event_type, entity_id, tree_id)
        places = self._insert.positions
        parameters[places["before"]] = before
        parameters[places["after"]] = after
        return parameters

    def _begun(self, event_type: str, entity_id: object, tree_id: UUID | None) -> list[Any]:
        """What all events have."""
        parameters = list(self._templates.get(event_type) or self._template(event_type))
        put = self._insert.put
        put(parameters, "entity_id", "" if entity_id is None else str(entity_id))
        put(parameters, "created_at", self._clock())
        context = _context.get()
        if context is not None:
            put(parameters, "actor", context.actor)
            put(parameters, "parent_event_id", context.parent_event_id)
            tree_id = context.tree_id if tree_id is None else tree_id
        if tree_id is not None:
            put(parameters, "tree_id", tree_id)
        return parameters

    def _template(self, event_type: str) -> tuple[Any, ...]:
        same = {"entity_type": self._entity_type, "event_type": f"{self._entity_type}.{event_type}"}
        return self._templates.setdefault(event_type, self._insert.encode(dict.fromkeys(WRITTEN) | same))

    def write(self, executor: Executor, parameters: Sequence[Any]) -> None:
        """Write an event in the running unit of work."""
        executor.trusted.change(self._insert, parameters)

    def write_many(self, executor: Executor, events: Sequence[Sequence[Any]]) -> None:
        """Write events in the running unit of work."""
        executor.trusted.change_many(self._insert, events)

    def write_with(
        self, executor: Executor, events: Sequence[Sequence[Any]], plan: Plan, rows: Sequence[Sequence[Any]]
    ) -> None:
        """Write new rows by their plan, each with its event."""
        executor.insert_pairs(plan, rows, self._insert, events)
