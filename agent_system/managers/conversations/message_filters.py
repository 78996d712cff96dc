"""Among which messages somebody searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sqlalchemy import and_, true

from agent_system.managers.core.filters import between, known_only
from agent_system.managers.core.where import equals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Lookup
    from agent_system.database.plans import TablePlans
    from agent_system.managers.users.persons import PersonLookup
    from agent_system.models import Message
    from agent_system.types import MessageRole

__all__ = ["MessageFilter", "MessageFilters"]

PLAIN = ("conversation_id", "channel_id", "guild_id", "agent_id", "task_id", "role", "message_type")
SCOPES = ("user_id", "conversation_id", "channel_id", "guild_id", "agent_id", "task_id")


class MessageFilters(TypedDict, total=False):
    """What can be asked of messages; what is not given does not matter, None is asked for by itself."""

    user_id: str | UUID | None
    """Who said it, under any identity that is linked with this one."""
    conversation_id: UUID | None
    channel_id: str | None
    guild_id: str | None
    agent_id: UUID | None
    task_id: UUID | None
    role: MessageRole | str
    message_type: str | None
    since: datetime
    """Said from this moment on."""
    until: datetime
    """Said before this moment."""


KNOWN = frozenset(MessageFilters.__annotations__)


class MessageFilter:
    """The conditions of one call.

    Raises:
        ValidationError: A filter is unknown, or has a value that no message can have.
    """

    def __init__(self, plans: TablePlans[Message], persons: PersonLookup, filters: Mapping[str, Any]) -> None:
        known_only(filters, KNOWN, "messages")
        self._plans = plans
        self._persons = persons
        self._filters = filters
        self._conditions = [
            *(equals(plans, key, filters[key]) for key in PLAIN if key in filters),
            *between(plans.columns["created_at"], filters),
        ]

    @property
    def names_a_scope(self) -> bool:
        """Whether an index leads to the messages that are asked for."""
        return any(self._filters.get(key) is not None for key in SCOPES)

    def usual_values(self, lookup: Lookup) -> None:
        """Nothing is usual."""

    def conditions(self, executor: Lookup) -> ColumnElement[bool]:
        """All conditions; the person is looked up in the unit of work that reads."""
        whose = self._persons.conditions(executor, self._plans.columns["user_id"], self._filters)
        return and_(true(), *whose, *self._conditions)
