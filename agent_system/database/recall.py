"""Answering a lookup from the hot cache in the caller's own step, without a coroutine.

Through the layers below (manager, backend, their coroutines, decoding) a row that is in the cache took more than twice
as long. What they make sure of is made sure of here in one place; whatever is not plain is left to them.
"""

from __future__ import annotations

import asyncio
from types import coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agent_system.database.transactions import open_transactions

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from agent_system.database.cache import HotCache
    from agent_system.database.hydration import Hydrator
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import Plan

__all__ = ["NO_RECALL", "Recall", "look_up", "recalling"]

Row = TypeVar("Row")


class Recall(Protocol):
    """Looks rows up in the hot cache."""

    def find(self, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row], /) -> Row | None:
        """A new instance of the row; None: it has to be fetched, which tells as well why it could not be found here."""

    def is_due(self) -> bool:
        """Whether the other tasks shall have their turn before a row that was found is given; asked once for each."""


async def look_up(db: DatabaseManager, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row]) -> Row | None:
    """The row that a plan finds, from the hot cache where it is there; None when there is none."""
    known = db.recall.find(plan, parameters, hydrate)
    if known is not None:
        return await _later(known) if db.recall.is_due() else known
    rows = await db.fetch(plan, parameters)
    return hydrate(rows[0]) if rows else None


@coroutine
def _later(row: Row) -> Generator[None, None, Row]:
    """Return what was found when the other tasks have had their turn."""
    yield  # What `asyncio.sleep(0)` does, in one object instead of three.
    return row


class _Nothing:
    """Leaves every row to be fetched."""

    def find(self, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row], /) -> Row | None:
        del plan, parameters, hydrate
        return None

    def is_due(self) -> bool:
        return False


class _OfCache:
    """Looks rows up for callers on one loop."""

    __slots__ = ("_instance", "_loop", "is_due")

    def __init__(self, cache: HotCache) -> None:
        self._instance = cache.instance
        self._loop = asyncio.get_running_loop()
        self.is_due = cache.courtesy.is_due

    def find(self, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row], /) -> Row | None:
        if plan.hot is None or open_transactions.get() is not None:
            return None
        try:
            if asyncio.get_running_loop() is not self._loop:
                return None
        except RuntimeError:
            return None  # The child of a fork, which has no loop.
        row: Row | None = self._instance((plan.hot, parameters[0]), hydrate)
        return row


NO_RECALL: Recall = _Nothing()


def recalling(cache: HotCache | None) -> Recall:
    """What looks rows up in a cache, for callers on the running loop."""
    return NO_RECALL if cache is None else _OfCache(cache)
