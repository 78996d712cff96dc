"""Which memories a verb is about: the filters that all reading verbs take."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypedDict

from sqlalchemy import and_, literal_column, or_, select, true

from agent_system.errors import ValidationError
from agent_system.managers.core.filters import FEW_VALUES, between, known_only, one_of, tags_of
from agent_system.managers.core.where import equals
from agent_system.models import metadata
from agent_system.types import MemoryKind, MemoryStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Lookup
    from agent_system.database.plans import TablePlans
    from agent_system.managers.users.persons import PersonLookup
    from agent_system.models import Memory

__all__ = ["MemoryFilter", "MemoryFilters"]

SCOPES = ("guild_id", "channel_id", "agent_id", "project_id", "conversation_id", "session_uuid")
USUAL = frozenset({"user_id"})
PLAIN = (*SCOPES, "kind", "category", "pinned")


class MemoryFilters(TypedDict, total=False):
    """What can be asked of memories; what is not given does not matter, None is asked for by itself."""

    user_id: str | UUID | None
    """Whose, under any identity that is linked with this one; None: nobody's own."""
    guild_id: str | None
    channel_id: str | None
    agent_id: UUID | None
    project_id: UUID | None
    conversation_id: UUID | None
    session_uuid: str | None
    kind: MemoryKind | str
    category: str
    pinned: bool
    status: MemoryStatus | str | None
    """By default active; None: whatever the status."""
    tags: Iterable[str]
    """With these tags."""
    match_tags: str
    """`all` of the tags (the default), or `any`."""
    min_importance: int
    """At least so important, 1 to 10."""
    since: datetime
    """From this moment on (`timestamp`)."""
    until: datetime
    """Before this moment."""
    include_expired: bool
    """Also what has expired and is not swept away yet."""


KNOWN = frozenset(MemoryFilters.__annotations__)


class MemoryFilter:
    """The conditions of one call.

    Raises:
        ValidationError: A filter is unknown, or has a value that no memory can have.
    """

    def __init__(
        self, plans: TablePlans[Memory], persons: PersonLookup, filters: Mapping[str, Any], now: datetime
    ) -> None:
        known_only(filters, KNOWN, "memories")
        self._plans = plans
        self._persons = persons
        self._filters = filters
        self._now = now
        # Nothing else than whose, which is looked at where it is looked up.
        self._is_usual = filters.keys() <= USUAL
        if not self._is_usual:
            self._others  # noqa: B018 (so that what no memory can have is refused now)

    @cached_property
    def _others(self) -> list[ColumnElement[bool]]:
        plans, filters = self._plans, self._filters
        conditions = [
            *(equals(plans, key, filters[key]) for key in PLAIN if key in filters),
            *self._status(),
            *self._tags(),
            *self._importance(),
            *between(plans.columns["timestamp"], filters),
        ]
        if not filters.get("include_expired", False):
            conditions.append(or_(_stays(plans), plans.columns["expires_at"] > self._now))
        return conditions

    def usual_values(self, lookup: Lookup) -> tuple[Any, ...] | None:
        """The values in the conditions, in their order, when only somebody's are asked for, or all; otherwise None."""
        if not self._is_usual or self._filters.get("user_id", "") is None:
            return None
        ids = self._persons.ids(lookup, self._filters["user_id"]) if self._filters else []
        return (*ids, MemoryStatus.ACTIVE, self._now) if len(ids) <= FEW_VALUES else None

    @property
    def names_a_scope(self) -> bool:
        """Whether only somebody's memories are asked for, so that an index leads to them."""
        filters = self._filters
        return bool(filters) and any(filters.get(key) is not None for key in ("user_id", *SCOPES))

    def conditions(self, executor: Lookup) -> ColumnElement[bool]:
        """All conditions; the person is looked up in the unit of work that reads."""
        whose = self._persons.conditions(executor, self._plans.columns["user_id"], self._filters)
        return and_(true(), *whose, *self._others)

    def _status(self) -> list[ColumnElement[bool]]:
        if "status" not in self._filters:
            return [_is_active(self._plans)]
        status = self._filters["status"]
        return [] if status is None else [equals(self._plans, "status", status)]

    def _tags(self) -> list[ColumnElement[bool]]:
        tags, is_all = tags_of(self._filters)
        if not tags:
            return []
        return [self._tagged([tag]) for tag in tags] if is_all else [self._tagged(tags)]

    def _tagged(self, tags: list[str]) -> ColumnElement[bool]:
        """That a memory has one of these tags: asked of each memory of a scope, or of the index over all tags."""
        # Under a name of its own, for the statement around it may count tags.
        table = metadata.tables["memory_tags"].alias("wanted_tags")
        named = one_of(table.c.tag, tags)
        id_ = self._plans.columns["id"]
        if self.names_a_scope:
            return select(literal_column("1")).where(table.c.memory_id == id_, named).exists()
        condition: ColumnElement[bool] = id_.in_(select(table.c.memory_id).where(named))
        return condition

    def _importance(self) -> list[ColumnElement[bool]]:
        least = self._filters.get("min_importance")
        if least is None:
            return []
        if not isinstance(least, int) or isinstance(least, bool):
            message = f"memories.min_importance: {least!r} is no whole number"
            raise ValidationError(message, field="min_importance", entity="Memory")
        return [self._plans.columns["importance"] >= least]


# What nearly every call asks for is made once: an expression takes SQLAlchemy ten microseconds.


@lru_cache
def _is_active(plans: TablePlans[Memory]) -> ColumnElement[bool]:
    return equals(plans, "status", MemoryStatus.ACTIVE)


@lru_cache
def _stays(plans: TablePlans[Memory]) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = plans.columns["expires_at"].is_(None)
    return condition
