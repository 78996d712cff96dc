"""Whoever is cancelled leaves a known state and a clean connection: 50 of 50 naive cancels in a COMMIT lied."""

# ruff: noqa: PT012 (what raises is a transaction's whole block)

from __future__ import annotations

import asyncio
import random
from contextvars import Context
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, text

from agent_system.database import DatabaseManager
from tests import requirements as requires
from tests.integration.engine.notes import add, count, notes, read_titles, run_sql
from tests.integration.engine.processes import OtherProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.engine.gates import CommitGate

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]
    Write = Callable[[DatabaseManager, str], Awaitable[object]]

STORM_TASKS = 120


async def by_write(db: DatabaseManager, title: str) -> None:
    await db.write(add(title))


async def by_transaction(db: DatabaseManager, title: str) -> None:
    async with db.transaction():
        await db.write(add(title))


async def by_nested_transactions(db: DatabaseManager, title: str) -> None:
    async with db.transaction():
        await db.read(count)
        async with db.transaction():
            await db.write(add(title))


async def by_session(db: DatabaseManager, title: str) -> None:
    async with db.session() as session:
        await session.exec(insert(notes).values(title=title, amount=0))
        await session.commit()


async def by_session_in_transaction(db: DatabaseManager, title: str) -> None:
    async with db.transaction(), db.session() as session:
        await session.exec(insert(notes).values(title=title, amount=0))
        await session.commit()


WRITES = [by_write, by_transaction, by_nested_transactions, by_session, by_session_in_transaction]


@pytest.mark.parametrize("write", WRITES)
async def test_a_cancel_inside_commit_leaves_a_settled_state_and_a_free_writer(
    db: DatabaseManager, commit_gate: CommitGate, write: Write
) -> None:
    task = asyncio.ensure_future(write(db, "one"))
    await commit_gate.reached()
    task.cancel()
    await asyncio.sleep(0)
    await commit_gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with db.transaction():  # waits its turn behind a group that is still being committed
        settled = await db.read(read_titles)
    await db.write(add("after"))
    assert await db.read(read_titles) == [*settled, "after"]


@pytest.mark.parametrize("write", [by_transaction, by_nested_transactions])
async def test_a_transaction_cancelled_inside_its_commit_is_committed_before_the_caller_is_told(
    db: DatabaseManager, commit_gate: CommitGate, write: Write
) -> None:
    task = asyncio.ensure_future(write(db, "one"))
    await commit_gate.reached()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    await commit_gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await db.read(read_titles) == ["one"]


@requires.one_writer
async def test_a_work_cancelled_before_its_group_begins_is_not_written_and_harms_nobody(
    db: DatabaseManager, commit_gate: CommitGate
) -> None:
    first = asyncio.create_task(db.write(add("first")))
    await commit_gate.reached()
    waiting = [asyncio.create_task(db.write(add(f"{number}"))) for number in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await commit_gate.open()
    results = await asyncio.gather(first, *waiting, return_exceptions=True)

    assert [isinstance(result, BaseException) for result in results] == [False, False, True, False]
    assert await db.read(read_titles) == ["first", "0", "2"]


@requires.one_writer
async def test_a_cancelled_group_member_is_committed_all_the_same_once_its_group_has_begun(
    db: DatabaseManager, commit_gate: CommitGate
) -> None:
    group = [asyncio.create_task(db.write(add(f"{number}"))) for number in range(3)]
    await commit_gate.reached()
    group[1].cancel()
    await commit_gate.open()
    results = await asyncio.gather(*group, return_exceptions=True)

    assert isinstance(results[1], asyncio.CancelledError)
    assert await db.read(read_titles) == ["0", "1", "2"]


@pytest.mark.parametrize("write", WRITES)
async def test_a_cancel_during_a_statement_rolls_the_transaction_back(
    db: DatabaseManager, slow_statement: str, write: Write
) -> None:
    with pytest.raises(TimeoutError):
        async with db.transaction():
            await write(db, "one")
            async with asyncio.timeout(0.05):
                await db.read(run_sql(slow_statement))
    await write(db, "after")

    assert await db.read(read_titles) == ["after"]


async def test_a_cancel_during_a_statement_of_a_session_frees_the_writer(
    db: DatabaseManager, slow_statement: str
) -> None:
    with pytest.raises(TimeoutError):
        async with db.session() as session:
            await session.exec(insert(notes).values(title="one", amount=0))
            async with asyncio.timeout(0.05):
                await session.exec(text(slow_statement))
    await db.write(add("after"))

    assert await db.read(read_titles) == ["after"]


async def test_a_cancel_during_a_statement_of_a_session_inside_a_transaction_frees_the_writer(
    db: DatabaseManager, slow_statement: str
) -> None:
    with pytest.raises(TimeoutError):
        async with db.transaction(), db.session() as session:
            await session.exec(insert(notes).values(title="one", amount=0))
            async with asyncio.timeout(0.05):
                await session.exec(text(slow_statement))
    for write in WRITES:
        await write(db, write.__name__)

    assert await db.read(read_titles) == [write.__name__ for write in WRITES]


async def test_a_read_that_was_given_up_is_not_in_the_way_of_the_next(db: DatabaseManager, slow_statement: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await db.read(run_sql(slow_statement))

    async with asyncio.timeout(10):
        assert await db.read(count) == 0


@requires.one_writer
async def test_whoever_stops_waiting_for_the_turn_does_not_keep_it(db: DatabaseManager) -> None:
    async with db.transaction():
        waiting = [
            asyncio.get_running_loop().create_task(write(db, write.__name__), context=Context()) for write in WRITES
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in waiting[1:]:
            task.cancel()
        results = asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.sleep(0)
        await db.write(add("holder"))
    cancelled = [isinstance(result, asyncio.CancelledError) for result in await results]
    await db.write(add("after"))

    assert cancelled == [False, True, True, True, True]
    assert await db.read(read_titles) == ["holder", "by_write", "after"]


@requires.one_writer
@pytest.mark.parametrize("write", WRITES)
async def test_whoever_stops_waiting_for_another_process_leaves_nothing(
    open_database: OpenDatabase, write: Write
) -> None:
    # An attempt that SQLite itself keeps waiting could still succeed after the caller has left.
    db = await open_database(busy_timeout_ms=0)
    other_process = await OtherProcess.start(db.url.database)
    await other_process.run("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await write(db, "given up")
    await other_process.run("COMMIT")
    await write(db, "after")
    await other_process.stop()

    assert await db.read(read_titles) == ["after"]


async def test_after_a_storm_of_cancellations_the_acknowledged_rows_are_there_and_everything_works(
    db: DatabaseManager,
) -> None:
    dice = random.Random(20)
    before = (await db.health()).pool_checked_out
    acknowledged: set[str] = set()

    async def write(title: str) -> None:
        await dice.choice(WRITES)(db, title)
        acknowledged.add(title)

    async def cancel_some_time(task: asyncio.Task[None]) -> None:
        for _ in range(dice.randrange(60)):
            await asyncio.sleep(0)
        if dice.random() < 0.7:
            task.cancel()

    tasks = [asyncio.create_task(write(f"{number}")) for number in range(STORM_TASKS)]
    await asyncio.gather(*(cancel_some_time(task) for task in tasks))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for write_after in WRITES:
        await write_after(db, write_after.__name__)

    failures = [result for result in results if isinstance(result, Exception)]
    there = set(await db.read(read_titles))
    assert not failures
    assert acknowledged
    assert len(acknowledged) < STORM_TASKS
    assert acknowledged <= there
    assert {write_after.__name__ for write_after in WRITES} <= there
    assert (await db.health()).pool_checked_out == before


async def test_a_cancelled_connect_leaves_a_manager_that_can_connect(migrated_url: str) -> None:
    for turns in range(1, 12):
        db = DatabaseManager(migrated_url, auto_migrate=False)
        task = asyncio.create_task(db.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not db.is_connected:
            await db.connect()
        await db.disconnect()


async def test_a_cancelled_disconnect_is_finished_first(db: DatabaseManager, commit_gate: CommitGate) -> None:
    writing = asyncio.create_task(db.write(add("one")))
    await commit_gate.reached()
    task = asyncio.create_task(db.disconnect())
    await asyncio.sleep(0)
    task.cancel()
    await commit_gate.open()
    await asyncio.gather(task, return_exceptions=True)

    assert not db.is_connected
    assert await writing == 1
