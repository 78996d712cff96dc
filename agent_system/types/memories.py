"""The words of memories."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MEMORY_KIND_LEGACY", "MemoryKind", "MemoryLinkType", "MemoryStatus"]


class MemoryKind(StrEnum):
    """How a memory came to be, and so how long it is meant to stay.

    `long_term` was told or consolidated, `short_term` belongs to a session and waits for consolidation (seed 004),
    `passive` was overheard (seed 003).
    """

    LONG_TERM = "long_term"
    SHORT_TERM = "short_term"
    PASSIVE = "passive"


MEMORY_KIND_LEGACY: Mapping[str, MemoryKind] = spellings(
    ltm=MemoryKind.LONG_TERM, stm=MemoryKind.SHORT_TERM, passive_memory=MemoryKind.PASSIVE
)


class MemoryStatus(StrEnum):
    """Whether a memory is recalled: `consolidated` is a part of another one, `archived` was put away."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    CONSOLIDATED = "consolidated"


class MemoryLinkType(StrEnum):
    """What one memory is to another; `shared_tags` is found by the layer itself and has no direction."""

    RELATED = "related"
    SHARED_TAGS = "shared_tags"
    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    SUPERSEDES = "supersedes"
