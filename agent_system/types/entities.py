"""The kinds of entities, and whether one is in use."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENTITY_TYPE_LEGACY", "LIFECYCLE_STATUS_LEGACY", "EntityType", "LifecycleStatus"]


class EntityType(StrEnum):
    """The six fundamental entity types of seed 001; polymorphic columns take other types as well."""

    AGENT = "agent"
    TASK = "task"
    TOOL = "tool"
    CONTEXT_DOCUMENT = "context_document"
    PROCESS = "process"
    EVENT = "event"


ENTITY_TYPE_LEGACY: Mapping[str, EntityType] = spellings(document=EntityType.CONTEXT_DOCUMENT)


class LifecycleStatus(StrEnum):
    """Whether an agent, tool, document or process is in use; `archived` is the soft delete."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    DEPRECATED = "deprecated"
    TESTING = "testing"
    ARCHIVED = "archived"


LIFECYCLE_STATUS_LEGACY: Mapping[str, LifecycleStatus] = spellings(deleted=LifecycleStatus.ARCHIVED)
