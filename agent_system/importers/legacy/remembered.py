"""What older systems remembered more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.importers.legacy.conflicts import Abandon
from agent_system.types import MemoryStatus

if TYPE_CHECKING:
    from agent_system.importers.legacy.conflicts import Conflicts

__all__ = ["ONCE"]

ONCE: Conflicts = (
    Abandon(
        on=("content_hash", "scope_key", "kind"),
        changes={"status": MemoryStatus.ARCHIVED},
        why="the same is remembered already, this one is archived",
        when=lambda values: values["status"] is MemoryStatus.ACTIVE,
    ),
)
"""One content is recalled once; what else was written of it, another time or importance, stays as it is."""
