"""Running one operation for many arguments from one or many coroutines, and timing each call."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

__all__ = ["Measured", "drive", "percentile"]


@dataclass(slots=True)
class Measured:
    """What one run did."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    done: list[Any] = field(default_factory=list)
    """The arguments whose operation returned: what must be in the database afterwards."""
    results: list[Any] = field(default_factory=list)
    """The result of the last operation of each coroutine."""


async def drive(
    operation: Callable[[Any], Awaitable[Any]], arguments: Sequence[Any], *, coroutines: int, limit_seconds: float
) -> Measured:
    """Call the operation for each argument until all are done or the time is up; what has begun is finished."""
    measured = Measured()
    queue = iter(arguments)
    started = time.perf_counter()
    deadline = started + limit_seconds
    if coroutines == 1:
        await _work(operation, queue, deadline, measured)
    else:
        await asyncio.gather(*(_work(operation, queue, deadline, measured) for _ in range(coroutines)))
    measured.seconds = time.perf_counter() - started
    return measured


async def _work(
    operation: Callable[[Any], Awaitable[Any]], queue: Iterator[Any], deadline: float, measured: Measured
) -> None:
    clock = time.perf_counter
    latencies, done = measured.latencies.append, measured.done.append
    result: Any = None
    begun = clock()
    for argument in queue:
        if begun >= deadline:
            break
        result = await operation(argument)
        ended = clock()
        latencies(ended - begun)
        done(argument)
        begun = ended
    if result is not None:  # a contender that never suspends leaves nothing for the other coroutines
        measured.results.append(result)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
