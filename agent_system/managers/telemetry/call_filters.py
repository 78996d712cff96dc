"""Which tool calls a report is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from agent_system.errors import ValidationError
from agent_system.managers.core.moments import within
from agent_system.managers.core.where import conditions, equals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.where import Where

__all__ = ["CallFilters", "call_conditions"]

EQUAL = ("tool_name", "task_id", "agent_id", "user_id", "session_uuid", "conversation_id")


class CallFilters(TypedDict, total=False):
    """Which calls count: those that fulfil all of these; what is None, or left out, does not matter."""

    tool_name: str | None
    task_id: UUID | str | None
    agent_id: UUID | str | None
    user_id: UUID | str | None
    session_uuid: str | None
    conversation_id: UUID | str | None
    since: datetime | None
    """Calls from this moment on, aware."""
    until: datetime | None
    """Calls before this moment, aware."""


def call_conditions(plans: TablePlans[Any], where: Where, filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """The conditions that calls have to fulfil.

    Args:
        where: As in `list`: a mapping of column to value, or expressions over `ToolUsage`.
        filters: `CallFilters`.

    Raises:
        ValidationError: There is no such filter or column, or a value is of another type.
    """
    unknown = filters.keys() - CallFilters.__annotations__.keys()
    if unknown:
        name = min(unknown)
        message = f"{name}: unknown filter; there are {', '.join(CallFilters.__annotations__)}"
        raise ValidationError(message, field=name, entity="ToolUsage")
    wanted = conditions(plans, where)
    wanted += [equals(plans, key, filters[key]) for key in EQUAL if filters.get(key) is not None]
    return [*wanted, *within(plans.columns["timestamp"], filters.get("since"), filters.get("until"))]
