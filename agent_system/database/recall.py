"""Answering a lookup in the caller's own step, without a coroutine: from the hot cache, or read on the loop's thread.

Through the layers below (manager, backend, their coroutines) a row that is in the cache took more than twice as long,
and one that was read a fifth longer. What they make sure of is made sure of here in one place; whatever is not plain is
left to them.
"""

from __future__ import annotations

import asyncio
from types import coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agent_system.database.transactions import open_transactions
from agent_system.database.translate import FAILURES

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from agent_system.database.cache import HotCache
    from agent_system.database.hydration import Hydrator
    from agent_system.database.inline import Courtesy, InlineReader
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import Plan

__all__ = ["NO_RECALL", "InStep", "Recall", "look_up", "others_turn"]

Row = TypeVar("Row")

UNKNOWN: Any = object()
"""What `Recall.find` gives for a row that has to be fetched."""
# It fails again where it is told in the right words. The first one comes in the child of a fork, which has no loop.
LEFT_TO_OTHERS: tuple[type[BaseException], ...] = (RuntimeError, *FAILURES)


class Recall(Protocol):
    """Answers lookups at once."""

    def is_due(self) -> bool:
        """Whether the other tasks shall have their turn before the next lookup; asked once for each."""

    def find(self, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row], /) -> Row | None:
        """A new instance of the row, and None when there is none; UNKNOWN: it has to be fetched."""


async def look_up(db: DatabaseManager, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row]) -> Row | None:
    """The row that a plan finds; None when there is none."""
    if db.recall.is_due():
        # Before it reads: of rows that many tasks held meanwhile the garbage collector would look at each.
        await others_turn()
    known = db.recall.find(plan, parameters, hydrate)
    if known is not UNKNOWN:
        return known
    rows = await db.fetch(plan, parameters)
    return hydrate(rows[0]) if rows else None


@coroutine
def others_turn() -> Generator[None, None, None]:
    """Let the other tasks run once: what `asyncio.sleep(0)` does, in one object instead of three."""
    yield


class _Nothing:
    """Leaves every row to be fetched."""

    def is_due(self) -> bool:
        return False

    def find(self, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row], /) -> Row | None:
        del plan, parameters, hydrate
        unknown: Row | None = UNKNOWN
        return unknown


NO_RECALL: Recall = _Nothing()


class InStep:
    """Answers lookups of callers on the running loop.

    Args:
        cache: Where rows are looked for first.
        inline: What reads them.
        courtesy: Tells when the other tasks shall have their turn.
    """

    __slots__ = ("_cache", "_inline", "_loop", "is_due")

    def __init__(self, cache: HotCache | None, inline: InlineReader | None, courtesy: Courtesy) -> None:
        self._cache = cache
        self._inline = inline
        self.is_due = courtesy.is_due
        self._loop = asyncio.get_running_loop()

    def find(self, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row], /) -> Row | None:
        """See `Recall.find`."""
        unknown: Row | None = UNKNOWN
        if open_transactions.get() is not None:
            return unknown
        try:
            if asyncio.get_running_loop() is not self._loop:
                return unknown
            if self._cache is not None and plan.hot is not None:
                return self._find_hot(self._cache, plan, parameters, hydrate)
            rows = None if self._inline is None else self._inline.fetch(plan, parameters)
        except LEFT_TO_OTHERS:
            return unknown
        if rows is None:
            return unknown
        return hydrate(rows[0]) if rows else None

    def _find_hot(self, cache: HotCache, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row]) -> Row | None:
        unknown: Row | None = UNKNOWN
        key = (plan.hot, parameters[0])
        row: Row | None = cache.instance(key, hydrate)
        if row is not None:
            return row
        before = cache.header()
        rows = None if self._inline is None else self._inline.fetch(plan, parameters)
        if rows is None:
            return unknown
        cache.misses += 1
        if not rows:
            return None
        cache.put(key, rows[0], before)
        return hydrate(rows[0])
