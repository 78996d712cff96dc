"""`db.transaction()`: all or nothing, nested ones are savepoints, and it belongs to the task that opened it."""

# ruff: noqa: PT012 (what raises is a transaction's whole block)

from __future__ import annotations

import asyncio
import contextlib
from contextlib import nullcontext
from contextvars import Context
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import SQLAlchemyError

from agent_system.errors import AgentSystemError, DatabaseError, DuplicateKeyError, TransactionError
from tests.integration.engine.notes import add, count, read_titles, run_sql

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager
    from agent_system.database.executor import Executor

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]


class StopError(Exception):
    """What a block of a test raises."""


class StopAtOnce(BaseException):
    """What no `except Exception` catches."""


async def test_a_block_that_ends_well_is_committed_as_a_whole(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("one"))
        await db.write(add("two"))

    assert await db.read(read_titles) == ["one", "two"]


@pytest.mark.parametrize("stop", [StopError, StopAtOnce, asyncio.CancelledError, TimeoutError])
async def test_a_block_that_raises_leaves_nothing(db: DatabaseManager, stop: type[BaseException]) -> None:
    with pytest.raises(stop):
        async with db.transaction():
            await db.write(add("one"))
            raise stop

    assert await db.read(read_titles) == []


async def test_a_block_sees_what_it_has_written_and_others_do_not(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("one"))
        inside = await db.read(count)
        free: asyncio.Task[int] = asyncio.create_task(db.read(count), context=Context())
        outside = await free

    assert (inside, outside) == (1, 0)
    assert await db.read(count) == 1


async def test_a_failed_write_takes_back_itself_alone_when_the_block_goes_on(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("one"))
        with pytest.raises(DuplicateKeyError):
            await db.write(lambda executor: (add("two")(executor), add("one")(executor)))
        await db.write(add("three"))

    assert await db.read(read_titles) == ["one", "three"]


async def test_after_a_failed_read_the_block_is_committed_or_says_that_it_is_not(db: DatabaseManager) -> None:
    told_of_failure = False
    try:
        async with db.transaction():
            await db.write(add("one"))
            with pytest.raises(DatabaseError):
                await db.read(run_sql("SELECT * FROM no_such_table"))
    except DatabaseError:
        told_of_failure = True

    assert await db.read(count) == (0 if told_of_failure else 1)


async def test_a_nested_block_that_raises_takes_back_only_its_own_work(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("outer"))
        with pytest.raises(StopError):
            async with db.transaction():
                await db.write(add("inner"))
                raise StopError
        await db.write(add("after"))

    assert await db.read(read_titles) == ["outer", "after"]


async def test_nested_blocks_that_end_well_are_committed_with_the_outer_one(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("outer"))
        async with db.transaction():
            await db.write(add("middle"))
            async with db.transaction():
                await db.write(add("deep"))

    assert await db.read(read_titles) == ["outer", "middle", "deep"]


async def test_a_nested_block_goes_when_the_outer_one_fails(db: DatabaseManager) -> None:
    with pytest.raises(StopError):
        async with db.transaction():
            async with db.transaction():
                await db.write(add("inner"))
            raise StopError

    assert await db.read(count) == 0


async def test_a_nested_block_goes_on_after_a_failed_read_in_it(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("outer"))
        with pytest.raises(DatabaseError):
            async with db.transaction():
                await db.write(add("inner"))
                await db.read(run_sql("SELECT * FROM no_such_table"))
        await db.write(add("after"))

    assert await db.read(read_titles) == ["outer", "after"]


async def test_definitions_of_tables_are_rolled_back_too(db: DatabaseManager) -> None:
    with pytest.raises(StopError):
        async with db.transaction():
            await db.write(run_sql("CREATE TABLE made (id INTEGER)"))
            await db.write(run_sql("INSERT INTO made VALUES (1)"))
            raise StopError

    with pytest.raises(DatabaseError, match="made"):
        await db.read(run_sql("SELECT * FROM made"))


async def test_a_child_task_inside_a_transaction_is_told_what_to_use_instead(db: DatabaseManager) -> None:
    async with db.transaction():
        with pytest.raises(TransactionError, match=r"asyncio\.timeout"):
            await asyncio.create_task(db.write(add("child")))
        with pytest.raises(TransactionError, match=r"asyncio\.timeout"):
            await asyncio.create_task(db.read(count))
        await db.write(add("parent"))

    assert await db.read(read_titles) == ["parent"]


async def test_a_timeout_of_asyncio_inside_a_transaction_makes_no_child(db: DatabaseManager) -> None:
    async with db.transaction(), asyncio.timeout(20):
        await db.write(add("one"))

    assert await db.read(count) == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_a_child_task_that_outlives_the_transaction_is_free(db: DatabaseManager, fails: bool) -> None:  # noqa: FBT001
    parent_is_done = asyncio.Event()

    async def child() -> None:
        await parent_is_done.wait()
        async with db.transaction():
            await db.write(add("child"))

    with pytest.raises(StopError) if fails else nullcontext():
        async with db.transaction():
            task = asyncio.create_task(child())
            await db.write(add("parent"))
            if fails:
                raise StopError
    parent_is_done.set()
    await task

    assert await db.read(read_titles) == (["child"] if fails else ["parent", "child"])


async def test_transactions_of_two_databases_do_not_mix(db: DatabaseManager, open_database: OpenDatabase) -> None:
    other = await open_database()
    async with db.transaction():
        assert await other.read(count) == 0
        await db.write(add("one"))
        assert await other.read(count) == 0

    assert await other.read(count) == 1


async def test_a_work_that_hides_a_failed_statement_is_committed_or_says_that_it_is_not(db: DatabaseManager) -> None:
    def work(executor: Executor) -> None:
        add("one")(executor)
        with contextlib.suppress(AgentSystemError, SQLAlchemyError):
            run_sql("SELECT * FROM no_such_table")(executor)

    told_of_failure = False
    try:
        await db.write(work)
    except DatabaseError:
        told_of_failure = True

    assert await db.read(count) == (0 if told_of_failure else 1)
