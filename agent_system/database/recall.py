"""Answering a lookup from the hot cache in the caller's own step: no other task runs, and nothing is awaited.

Through the layers below (manager, backend, their coroutines, decoding) a row that is in the cache took more than twice
as long. What they make sure of is made sure of here in one place; whatever is not plain is left to them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agent_system.database.transactions import open_transactions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.database.cache import HotCache
    from agent_system.database.hydration import Hydrator
    from agent_system.database.plans import Plan

__all__ = ["Recall", "recall_nothing", "recalling"]

Row = TypeVar("Row")


class Recall(Protocol):
    """Looks a row up in the hot cache."""

    def __call__(self, plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row], /) -> Row | None:
        """A new instance of the row; None: it has to be fetched, which tells as well why it could not be found here."""


def recall_nothing(plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row], /) -> Row | None:
    """Leave every row to be fetched."""
    del plan, parameters, hydrate
    return None


def recalling(cache: HotCache | None) -> Recall:
    """What looks rows up in a cache, for callers on the running loop."""
    if cache is None:
        return recall_nothing
    loop = asyncio.get_running_loop()
    running, transactions, instance = asyncio.get_running_loop, open_transactions.get, cache.instance

    def recall(plan: Plan, parameters: Sequence[Any], hydrate: Hydrator[Row], /) -> Row | None:
        if plan.hot is None or transactions() is not None:
            return None
        try:
            if running() is not loop:
                return None
        except RuntimeError:
            return None  # The child of a fork, which has no loop.
        row: Row | None = instance((plan.hot, parameters[0]), hydrate)
        return row

    return recall
