"""How many tasks are where, and how many of those that ended succeeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system.managers.tasks.states import ENDED
from agent_system.types import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TaskStatistics"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStatistics:
    """Counts of tasks by status."""

    by_status: dict[TaskStatus, int]
    """How many tasks are in each status; all of them are listed."""

    @classmethod
    def of(cls, rows: Iterable[Any]) -> TaskStatistics:
        """Make it of rows of a status and its count."""
        counts: dict[Any, int] = dict.fromkeys(TaskStatus, 0)
        counts.update((status, count) for status, count in rows)
        return cls(by_status=counts)

    @property
    def total(self) -> int:
        """How many tasks there are."""
        return sum(self.by_status.values())

    @property
    def ended(self) -> int:
        """How many are over, in whatever way."""
        return sum(self.by_status[status] for status in ENDED)

    @property
    def success_rate(self) -> float | None:
        """The share of those that are over which completed, 0 to 1; None when none is over."""
        return self.by_status[TaskStatus.COMPLETED] / self.ended if self.ended else None
