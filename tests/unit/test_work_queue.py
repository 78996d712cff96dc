"""How many of those who wait travel in one group."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database.work_queue import Mark, WaitingWork, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGUN = Mark(10.0, 5.0)


class Alike:
    """A work that can be done together with others of its kind."""

    def __init__(self, kind: object) -> None:
        self._kind = kind

    def is_one_statement(self, count: int) -> bool:
        return count <= 64

    def __call__(self, executor: object) -> None:
        del executor

    def kind(self) -> object:
        return self._kind


def fill(queue: WorkQueue, kinds: Sequence[object]) -> list[asyncio.Future[Any]]:
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in kinds]
    for kind, future in zip(kinds, futures, strict=True):
        queue.add(WaitingWork(Alike(kind), future))
    return futures


def learned(queue: WorkQueue, group: Sequence[WaitingWork], *, computed: float, waited: float) -> WorkQueue:
    """Let the queue see a group that took so many seconds."""
    queue.measure(group, BEGUN, Mark(BEGUN.seconds + computed + waited, BEGUN.processor_seconds + computed))
    return queue


async def test_half_of_the_callers_are_written_while_the_other_half_prepare() -> None:
    queue = WorkQueue(256, 1000)
    fill(queue, ["insert"] * 128)
    whole = queue.take()
    learned(queue, whole, computed=0.003, waited=0.001)
    fill(queue, ["insert"] * 64)

    half = queue.take()
    assert (len(whole), len(half), len(queue)) == (128, 32, 32)
    # The callers of the half come again: with them there are still 64.
    assert len(queue.take(unanswered=len(half))) == 32


@pytest.mark.parametrize(
    ("kinds", "computed", "waited"),
    [
        pytest.param(["insert"] * 64, 0.002, 0.01, id="a slow disk: each commit counts"),
        pytest.param(["insert"] * 64, 0.0002, 0.0, id="quick statements: nothing to wait for"),
        pytest.param([None] * 64, 0.002, 0.0, id="each by itself: the threads would wait for each other"),
    ],
)
async def test_a_group_is_whole_where_halves_gain_nothing(kinds: list[object], computed: float, waited: float) -> None:
    queue = WorkQueue(256, 1000)
    fill(queue, kinds)
    learned(queue, queue.take(), computed=computed, waited=waited)
    fill(queue, kinds)

    assert len(queue.take()) == 64


async def test_few_callers_travel_together_and_none_who_has_gone() -> None:
    queue = WorkQueue(256, 1000)
    fill(queue, ["insert"] * 64)
    learned(queue, queue.take(), computed=0.003, waited=0.0)
    futures = fill(queue, ["insert"] * 31)
    futures[7].cancel()

    assert len(queue.take()) == 30


async def test_a_group_is_never_larger_than_it_may_be() -> None:
    queue = WorkQueue(10, 1000)
    fill(queue, ["insert"] * 64)
    group = queue.take()
    learned(queue, group, computed=0.003, waited=0.0)

    assert (len(group), len(queue.take()), len(queue.take(3))) == (10, 10, 3)
