"""`Workload`: with what database it begins, what it does, and what proves that it was done right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    from scripts.benchmarks.driver import Measured

__all__ = ["Counts", "Workload"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How much is done; a run also ends when its time is up."""

    operations: int = 20_000
    bulk_rows: int = 10_000
    agents: int = 10_000
    conversations: int = 2_000
    messages: int = 200_000
    usage_rows: int = 100_000
    """Calls to models, and as many calls to tools, in the template `ledger`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One thing to measure.

    A workload's arguments are made before the clock runs; `operation` turns a contender into what is called for each.
    """

    name: str
    title: str
    template: str
    arguments: Callable[[sqlite3.Connection, Counts], list[Any]]
    operation: Callable[[Any], Callable[[Any], Awaitable[Any]]]
    """Makes what is called for each argument of a contender: a `Contender`, or a `Reporter` where it `reports`."""
    verify: Callable[[sqlite3.Connection, Any, Measured], None]
    writes: bool
    """Whether durability makes a difference."""
    coroutines: tuple[int, ...] = (1, 64)
    batched: str | None = None
    """The operation that the one-transaction floor does for all arguments at once; None: it does not take part."""
    hot_cache: bool = False
    reports: bool = False
    """Whether it is for the contenders that are a `Reporter`."""
    warm: bool = False
    """Whether every argument is asked for once before the clock runs."""
