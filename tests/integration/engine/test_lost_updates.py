"""Read-modify-write by many tasks at once: with SQLite's legacy transaction mode 140 of 160 updates were lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from tests.integration.engine.notes import add, increase, notes, read_amount, set_amount

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager

TASKS = 8
TIMES = 20


async def amount_after_all_tasks(db: DatabaseManager, increase_once: Callable[[], Awaitable[None]]) -> int:
    await db.write(add("counter"))

    async def increase_often() -> None:
        for _ in range(TIMES):
            await increase_once()

    await asyncio.gather(*(increase_often() for _ in range(TASKS)))
    return await db.read(read_amount("counter"))


async def test_no_update_is_lost_by_units_of_work(db: DatabaseManager) -> None:
    async def once() -> None:
        await db.write(increase("counter"))

    assert await amount_after_all_tasks(db, once) == TASKS * TIMES


async def test_no_update_is_lost_by_transactions_that_suspend_between_reading_and_writing(db: DatabaseManager) -> None:
    async def once() -> None:
        async with db.transaction():
            amount = await db.read(read_amount("counter", lock=True))
            await asyncio.sleep(0)
            await db.write(set_amount("counter", amount + 1))

    assert await amount_after_all_tasks(db, once) == TASKS * TIMES


async def test_no_update_is_lost_by_sessions(db: DatabaseManager) -> None:
    async def once() -> None:
        async with db.session() as session:
            amount = (await session.exec(select(notes.c.amount).with_for_update())).scalar_one()
            await session.exec(update(notes).values(amount=amount + 1))
            await session.commit()

    assert await amount_after_all_tasks(db, once) == TASKS * TIMES
