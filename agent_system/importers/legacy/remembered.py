"""What older systems remembered more than once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_system.types import MemoryStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.database.executor import Executor
    from agent_system.importers.legacy.conflicts import Conflicts, Pending
    from agent_system.importers.legacy.targets import Target

__all__ = ["ONCE"]

# In the order of the index `uq_memories_content`, which holds among the active ones.
UNIQUE = ("scope_key", "kind", "content_hash")
WHY = ("content_hash", "the same is remembered already, this one is archived")


@dataclass(frozen=True, slots=True)
class Once:
    """One content is recalled once; what else was written of it, another time or importance, is archived as it is."""

    def settle(self, executor: Executor, target: Target, rows: Sequence[Pending]) -> None:
        """Archive memories that say what is remembered, or what one before them says."""
        active = [row for row in rows if row.merged_into is None and row.values["status"] is MemoryStatus.ACTIVE]
        columns = [target.encode(name, [row.values[name] for row in active]) for name in UNIQUE]
        wanted = list(zip(*columns, strict=True))
        among = ("status", MemoryStatus.ACTIVE.value)
        known = set(map(tuple, target.lookups.together(executor, UNIQUE, list(dict.fromkeys(wanted)), among)))
        for row, key in zip(active, wanted, strict=True):
            if key in known:
                row.row.kept["status"] = row.values["status"]
                row.values["status"] = MemoryStatus.ARCHIVED
                row.notes.append(WHY)
            known.add(key)


ONCE: Conflicts = (Once(),)
