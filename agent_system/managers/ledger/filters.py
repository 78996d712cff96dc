"""Which entries of the ledger a report is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sqlalchemy import and_, select

from agent_system.errors import ValidationError
from agent_system.managers.core.moments import within
from agent_system.managers.core.where import conditions, equals
from agent_system.managers.ledger.names import model_reference, project_reference
from agent_system.models import metadata
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.where import Where
    from agent_system.managers.ledger.names import GivenHost, GivenModel, GivenProject

__all__ = ["UsageFilters", "usage_conditions"]

_hosts = metadata.tables["hosts"]
_models = metadata.tables["models"]
_projects = metadata.tables["projects"]

EQUAL = ("user_id", "agent_id", "task_id", "conversation_id", "session_uuid", "role")


class UsageFilters(TypedDict, total=False):
    """Which entries count: those that fulfil all of these; what is None, or left out, does not matter.

    Entries without a project, a user and so on are those of `where={"project_id": None}`.
    """

    project: GivenProject
    """The name of a shared project, or any project's key."""
    host: GivenHost
    """Name or key of the host."""
    model: GivenModel | None
    """The model's name, at whatever host unless `host` is given, or its key."""
    user_id: str | None
    agent_id: UUID | None
    task_id: UUID | None
    conversation_id: UUID | None
    session_uuid: str | None
    role: str | None
    since: datetime | None
    """Calls from this moment on, aware."""
    until: datetime | None
    """Calls before this moment, aware."""


def usage_conditions(plans: TablePlans[Any], where: Where, filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """The conditions that entries have to fulfil.

    Args:
        where: As in `list`: a mapping of column to value, or expressions over `TokenUsage`.
        filters: `UsageFilters`.

    Raises:
        ValidationError: There is no such filter or column, or a value is of another type.
    """
    unknown = filters.keys() - UsageFilters.__annotations__.keys()
    if unknown:
        name = min(unknown)
        message = f"{name}: unknown filter; there are {', '.join(UsageFilters.__annotations__)}"
        raise ValidationError(message, field=name, entity="TokenUsage")
    wanted = conditions(plans, where)
    wanted += [equals(plans, key, filters[key]) for key in EQUAL if filters.get(key) is not None]
    columns = plans.columns
    if filters.get("project") is not None:
        wanted.append(_of_project(columns["project_id"], project_reference(filters["project"])))
    if filters.get("model") is not None or filters.get("host") is not None:
        wanted.append(_of_model(columns["model_id"], filters.get("model"), filters.get("host")))
    return [*wanted, *within(columns["timestamp"], filters.get("since"), filters.get("until"))]


def _of_project(column: Any, project: Any) -> ColumnElement[bool]:
    if not isinstance(project, str):
        return and_(column == project)
    shared = select(_projects.c.id).where(_projects.c.user_id.is_(None), _projects.c.name_key == name_key(project))
    return and_(column == shared.scalar_subquery())


def _of_model(column: Any, model: Any, host: Any) -> ColumnElement[bool]:
    wanted = model_reference(model, host)
    if isinstance(wanted.model, int):
        return and_(column == wanted.model)
    offered = select(_models.c.id)
    if model is not None:
        offered = offered.where(_models.c.name == wanted.model)
    if isinstance(wanted.host, int):
        offered = offered.where(_models.c.host_id == wanted.host)
    elif host is not None:
        named = select(_hosts.c.id).where(_hosts.c.name_key == name_key(wanted.host))
        offered = offered.where(_models.c.host_id == named.scalar_subquery())
    return and_(column.in_(offered))
