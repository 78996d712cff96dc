"""How far to-do lists are done."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TodoListState"]

BAR = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TodoListState:
    """How far a list is done; what was cancelled does not count."""

    id: int
    name: str
    goal_id: int | None
    items: int
    completed: int

    @property
    def percent(self) -> int:
        """How many of a hundred items are done, rounded down; 0 for an empty list."""
        return 100 * self.completed // self.items if self.items else 0

    @property
    def bar(self) -> str:
        """The same as a bar of ten signs."""
        done = BAR * self.completed // self.items if self.items else 0
        return "█" * done + "░" * (BAR - done)
