"""Many rows at once do not keep the event loop from everybody else."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from agent_system.managers.core.steps import ROWS_BETWEEN_YIELDS, in_steps

if TYPE_CHECKING:
    from agent_system import EntityManager

ROWS = 4 * ROWS_BETWEEN_YIELDS


@pytest.mark.parametrize("attribute", ["agents", "messages"])
async def test_others_have_their_turn_while_many_rows_are_prepared(em: EntityManager, attribute: str) -> None:
    rows = [{"name": f"agent {n}"} if attribute == "agents" else {"role": "user", "content": "x"} for n in range(ROWS)]
    manager = getattr(em, attribute)
    await manager.create_many(rows[:1])
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    stored = await manager.create_many(rows[1:])
    counting.cancel()
    assert len(stored) == ROWS - 1
    assert turns >= 2 * ROWS // ROWS_BETWEEN_YIELDS


async def test_results_are_in_order_and_an_error_passes_through() -> None:
    assert await in_steps(lambda n: n * n, range(300)) == [n * n for n in range(300)]
    with pytest.raises(ZeroDivisionError):
        await in_steps(lambda n: 1 // (200 - n), range(300))


async def test_the_garbage_collector_waits_during_a_step_and_never_longer() -> None:
    seen = await in_steps(lambda _: gc.isenabled(), range(2))
    assert seen == [False, False]
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        await in_steps(lambda n: 1 // n, [0])
    assert gc.isenabled()


async def test_a_garbage_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        await in_steps(str, range(2))
        assert not gc.isenabled()
    finally:
        gc.enable()
