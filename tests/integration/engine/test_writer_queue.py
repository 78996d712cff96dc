"""The queue of the writer is bounded, fair, and empty before the connections close."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from agent_system.errors import NotConnectedError
from tests import requirements as requires
from tests.integration.engine.notes import add, count, notes, read_titles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager
    from tests.integration.engine.gates import CommitGate

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

SINGLE_WRITERS = 64
TRANSACTIONS = 8
TIMES = 5


async def by_transaction(db: DatabaseManager, title: str) -> None:
    async with db.transaction():
        await db.write(add(f"{title} first"))
        await asyncio.sleep(0)
        await db.write(add(f"{title} second"))


async def by_session(db: DatabaseManager, title: str) -> None:
    async with db.session() as session:
        await session.exec(insert(notes).values(title=title, amount=0))
        await session.commit()


async def test_64_single_writers_and_8_transactions_all_finish(db: DatabaseManager) -> None:
    async def write_alone(name: str) -> None:
        for number in range(TIMES):
            await db.write(add(f"{name} {number}"))

    async def write_transactions(name: str) -> None:
        for number in range(TIMES):
            await by_transaction(db, f"{name} {number}")

    async with asyncio.timeout(50):
        await asyncio.gather(
            *(write_alone(f"single {number}") for number in range(SINGLE_WRITERS)),
            *(write_transactions(f"transaction {number}") for number in range(TRANSACTIONS)),
        )

    assert await db.read(count) == SINGLE_WRITERS * TIMES + TRANSACTIONS * TIMES * 2


@pytest.mark.parametrize("write", [by_transaction, by_session])
async def test_single_writers_that_never_stop_starve_nobody(
    db: DatabaseManager, write: Callable[[DatabaseManager, str], Awaitable[None]]
) -> None:
    stopped = False
    written = 0

    async def write_without_end(name: str) -> None:
        nonlocal written
        while not stopped:
            await db.write(add(f"{name} {written}"))
            written += 1

    singles = [asyncio.create_task(write_without_end(f"{number}")) for number in range(16)]
    async with asyncio.timeout(50):
        for number in range(TRANSACTIONS):
            await write(db, f"patient {number}")
    stopped = True
    await asyncio.gather(*singles)

    assert len([title for title in await db.read(read_titles) if title.startswith("patient")]) >= TRANSACTIONS


async def test_transactions_that_never_stop_starve_nobody(db: DatabaseManager) -> None:
    stopped = False

    async def write_without_end(name: str) -> None:
        number = 0
        while not stopped:
            number += 1
            await by_transaction(db, f"{name} {number}")

    tasks = [asyncio.create_task(write_without_end(f"{number}")) for number in range(4)]
    async with asyncio.timeout(50):
        for number in range(10):
            await db.write(add(f"patient {number}"))
    stopped = True
    await asyncio.gather(*tasks)


@requires.one_writer
async def test_the_turn_goes_round_in_the_order_of_asking(db: DatabaseManager) -> None:
    order: list[str] = []

    async def in_transaction(name: str) -> None:
        async with db.transaction():
            order.append(name)

    loop = asyncio.get_running_loop()
    async with db.transaction():
        tasks = []
        for number in range(5):
            tasks.append(loop.create_task(in_transaction(f"{number}"), context=Context()))
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert order == ["0", "1", "2", "3", "4"]


@requires.one_writer
async def test_more_writes_than_the_queue_takes_wait_outside_of_it(
    open_database: OpenDatabase,
) -> None:
    db = await open_database(write_queue_limit=4, write_group_size=2)
    depths: list[int] = []

    async def write(number: int) -> None:
        await db.write(add(f"{number}"))
        depths.append((await db.health()).write_queue_depth)

    await asyncio.gather(*(write(number) for number in range(50)))

    assert await db.read(count) == 50
    assert max(depths) <= 4


async def test_writes_that_were_accepted_before_a_disconnect_are_there(
    db: DatabaseManager, open_database: OpenDatabase
) -> None:
    writing = [asyncio.create_task(db.write(add(f"{number}"))) for number in range(200)]
    await asyncio.sleep(0)
    await db.disconnect()
    results = await asyncio.gather(*writing)
    again = await open_database()

    assert len(set(results)) == 200
    assert await again.read(count) == 200


@requires.one_writer
async def test_writes_that_wait_for_room_are_written_or_refused_at_a_disconnect_and_never_forgotten(
    open_database: OpenDatabase,
) -> None:
    db = await open_database(write_queue_limit=2, write_group_size=1)
    writing = [asyncio.create_task(db.write(add(f"{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await db.disconnect()
        results = await asyncio.gather(*writing, return_exceptions=True)
    again = await open_database()

    written = [f"{number}" for number, result in enumerate(results) if isinstance(result, int)]
    refused = [result for result in results if isinstance(result, NotConnectedError)]
    assert len(written) + len(refused) == 20
    assert await again.read(read_titles) == written


@requires.one_writer
async def test_a_write_that_gets_room_only_because_another_gave_up_is_not_forgotten_at_a_disconnect(
    open_database: OpenDatabase,
) -> None:
    db = await open_database(write_queue_limit=1)
    loop = asyncio.get_running_loop()
    async with db.transaction():
        gives_up = loop.create_task(db.write(add("gives up")), context=Context())
        await asyncio.sleep(0)
        outside = loop.create_task(db.write(add("outside")), context=Context())
        await asyncio.sleep(0)
        gives_up.cancel()
        closing = loop.create_task(db.disconnect(), context=Context())
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        result, _ = await asyncio.gather(outside, closing, return_exceptions=True)
    again = await open_database()

    there = await again.read(read_titles)
    assert there == (["outside"] if isinstance(result, int) else [])
    assert isinstance(result, (int, NotConnectedError))


async def test_the_last_commit_is_told_and_a_rollback_is_none(db: DatabaseManager) -> None:
    before = (await db.health()).last_sync_time
    assert before is not None
    with pytest.raises(LookupError):
        async with db.transaction():
            raise LookupError
    with pytest.raises(LookupError):
        await db.write(fail)
    assert (await db.health()).last_sync_time == before

    async with db.transaction():
        await db.write(add("one"))
    after = (await db.health()).last_sync_time
    assert after is not None
    assert after > before


def fail(_executor: object) -> None:
    raise LookupError


@requires.one_writer
async def test_a_disconnect_waits_for_the_group_that_is_being_committed(
    db: DatabaseManager, commit_gate: CommitGate
) -> None:
    writing = asyncio.create_task(db.write(add("one")))
    await commit_gate.reached()
    closing = asyncio.create_task(db.disconnect())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not closing.done()
    with pytest.raises(NotConnectedError):
        await db.write(add("too late"))
    await commit_gate.open()
    await closing

    assert await writing == 1
