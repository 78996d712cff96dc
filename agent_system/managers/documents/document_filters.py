"""Among which documents somebody searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sqlalchemy import and_, or_, true

from agent_system.managers.core.filters import between, known_only, tags_of
from agent_system.managers.core.json_edits import has_item
from agent_system.managers.core.where import equals
from agent_system.types import LifecycleStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Lookup
    from agent_system.database.plans import TablePlans
    from agent_system.models import ContextDocument

__all__ = ["DocumentFilter", "DocumentFilters"]

PLAIN = ("user_id", "category", "format", "access_level", "parent_document_id")


class DocumentFilters(TypedDict, total=False):
    """What can be asked of documents; what is not given does not matter, None is asked for by itself."""

    user_id: UUID | None
    """The owner; None: those that all share."""
    category: str
    format: str
    access_level: str
    parent_document_id: UUID | None
    status: LifecycleStatus | str | None
    """By default all but the archived ones; None: whatever the status."""
    tags: Iterable[str]
    """With these tags."""
    match_tags: str
    """`all` of the tags (the default), or `any`."""
    since: datetime
    """Made from this moment on."""
    until: datetime
    """Made before this moment."""


KNOWN = frozenset(DocumentFilters.__annotations__)


class DocumentFilter:
    """The conditions of one call.

    Raises:
        ValidationError: A filter is unknown, or has a value that no document can have.
    """

    names_a_scope = False
    """Whether an index leads to the documents that are asked for: there are few, whoever asks."""

    def __init__(self, plans: TablePlans[ContextDocument], filters: Mapping[str, Any]) -> None:
        known_only(filters, KNOWN, "context_documents")
        self._condition = and_(
            true(),
            *(equals(plans, key, filters[key]) for key in PLAIN if key in filters),
            *_status(plans, filters),
            *_tags(plans, filters),
            *between(plans.columns["created_at"], filters),
        )

    def usual_values(self, lookup: Lookup) -> None:
        """Nothing is usual."""

    def conditions(self, _: Lookup) -> ColumnElement[bool]:
        """All conditions."""
        return self._condition


def _status(plans: TablePlans[ContextDocument], filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    if "status" not in filters:
        return [plans.columns["status"] != LifecycleStatus.ARCHIVED]
    return [] if filters["status"] is None else [equals(plans, "status", filters["status"])]


def _tags(plans: TablePlans[ContextDocument], filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    tags, is_all = tags_of(filters)
    has = [has_item(plans.columns["tags"], tag) for tag in tags]
    return has if is_all or not has else [or_(*has)]
