"""Where a game stands."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["GameStatus"]


class GameStatus(StrEnum):
    """Where a game stands; a player has at most one active game of a type."""

    ACTIVE = "active"
    COMPLETED = "completed"
    ABANDONED = "abandoned"
