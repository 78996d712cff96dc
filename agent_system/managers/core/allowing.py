"""Looking at more of the best rows until the filters have let enough of them through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Best: TypeAlias = tuple[list[int], list[float]]

__all__ = ["LOOKED_AT", "MOST_FOUND", "Best", "enough_of"]

MOST_FOUND = 100
"""How many rows a search finds at most."""
LOOKED_AT = MOST_FOUND + MOST_FOUND // 4
"""Of a whole table so many are looked at first (10 µs each)."""
# So many times more if too few of them are let through.
GROWTH = 8


async def enough_of(
    best_of: Callable[[int], Awaitable[Best]], let_through: Callable[[Best], Awaitable[list[tuple[Any, float]]]]
) -> list[tuple[Any, float]]:
    """The best rows that filters let through, at most `MOST_FOUND`.

    Args:
        best_of: Finds so many numbers, the best first, whatever the filters say, and how well they fit.
        let_through: The keys of those that the filters let through.
    """
    count = LOOKED_AT
    while True:
        best = await best_of(count)
        found = await let_through(best)
        if len(found) >= MOST_FOUND or len(best[0]) < count:
            return found[:MOST_FOUND]
        count *= GROWTH
