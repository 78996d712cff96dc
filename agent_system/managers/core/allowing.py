"""How many of the best rows are looked at until the filters have let enough of them through."""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["GROWTH", "LOOKED_AT", "MOST_FOUND", "Best", "first_of"]

Best: TypeAlias = tuple[list[int], list[float]]
"""Numbers, the best first, and how well they fit."""

MOST_FOUND = 100
"""How many rows a search finds at most."""
GROWTH = 8
"""So many times more rows are looked at if too few of them are let through."""


def first_of(enough: int) -> int:
    """How many of the best rows of a whole table are looked at first (10 µs each), when so many are wanted."""
    return enough + enough // 4


LOOKED_AT = first_of(MOST_FOUND)
"""How many are, when as many are wanted as a search finds at most."""
