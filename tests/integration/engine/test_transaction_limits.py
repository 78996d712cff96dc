"""A block that holds the writer too long, across a model call say, is warned about, then rolled back and told."""

# ruff: noqa: PT012 (what raises is a transaction's whole block)

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, update

from agent_system.errors import AgentSystemError, TransactionTimeoutError
from tests.integration.engine.notes import add, increase, notes, read_amount, read_titles, run_sql
from tests.requirements import one_writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

LIMITS = {"transaction_warn_seconds": 0.05, "transaction_timeout_seconds": 0.25}


@pytest.fixture
async def db(open_database: OpenDatabase) -> DatabaseManager:
    """Return a database whose transactions end soon, with one row."""
    db = await open_database(**LIMITS)
    await db.write(add("counter"))
    return db


async def wait_until_rolled_back(db: DatabaseManager) -> None:
    """Write, as another task, what the running transaction has locked."""
    await asyncio.get_running_loop().create_task(db.write(increase("counter")), context=Context())


async def test_a_long_transaction_is_warned_about_and_rolled_back(
    db: DatabaseManager, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TransactionTimeoutError, match="outside of transactions"):
        async with db.transaction():
            await db.write(increase("counter"))
            await db.write(add("never there"))
            await wait_until_rolled_back(db)

    assert await db.read(read_titles) == ["counter"]
    assert await db.read(read_amount("counter")) == 1
    levels = [record.levelno for record in caplog.records if "transaction of task" in record.message]
    assert levels == [logging.WARNING, logging.ERROR]


async def test_whatever_the_block_does_after_its_time_is_refused(db: DatabaseManager) -> None:
    with pytest.raises(TransactionTimeoutError):
        async with db.transaction():
            await db.write(increase("counter"))
            await wait_until_rolled_back(db)
            with pytest.raises(TransactionTimeoutError):
                await db.write(add("late"))
            with pytest.raises(TransactionTimeoutError):
                await db.read(read_titles)
            with pytest.raises(TransactionTimeoutError):
                async with db.session():
                    pass
            with pytest.raises(TransactionTimeoutError):
                async with db.transaction():
                    pass

    assert await db.read(read_titles) == ["counter"]


async def test_a_nested_block_is_told_too(db: DatabaseManager) -> None:
    with pytest.raises(TransactionTimeoutError):
        async with db.transaction(), db.transaction():
            await db.write(increase("counter"))
            await wait_until_rolled_back(db)

    assert await db.read(read_amount("counter")) == 1


async def test_an_error_of_the_block_itself_passes_also_after_its_time(db: DatabaseManager) -> None:
    with pytest.raises(KeyError):
        async with db.transaction():
            await db.write(increase("counter"))
            await wait_until_rolled_back(db)
            raise KeyError

    assert await db.read(read_amount("counter")) == 1


async def test_a_session_inside_cannot_write_after_the_time_either(db: DatabaseManager) -> None:
    with pytest.raises(AgentSystemError):
        async with db.transaction(), db.session() as session:
            await session.exec(insert(notes).values(title="in time", amount=0))
            await db.write(increase("counter"))
            await wait_until_rolled_back(db)
            with suppress(AgentSystemError):
                await session.exec(insert(notes).values(title="late", amount=0))
            with suppress(AgentSystemError):
                await session.commit()
    await db.write(add("after"))
    async with db.transaction():
        await db.write(add("after that"))

    assert await db.read(read_titles) == ["counter", "after", "after that"]


async def test_a_statement_that_does_not_end_is_ended_with_its_transaction(
    db: DatabaseManager, slow_statement: str
) -> None:
    with pytest.raises(TransactionTimeoutError):
        async with db.transaction(), asyncio.timeout(20):
            await db.write(increase("counter"))
            await db.read(run_sql(slow_statement))
    await db.write(increase("counter"))

    assert await db.read(read_amount("counter")) == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_the_timers_of_a_transaction_end_with_it(db: DatabaseManager, fails: bool) -> None:  # noqa: FBT001
    with suppress(LookupError):
        async with db.transaction() as transaction:
            await db.write(increase("counter"))
            if fails:
                raise LookupError

    assert transaction._warning.cancelled()
    assert transaction._deadline.cancelled()


async def test_a_session_that_keeps_others_from_writing_is_ended(db: DatabaseManager) -> None:
    with pytest.raises(AgentSystemError):
        async with db.session() as session:
            await session.exec(update(notes).values(amount=7))
            await wait_until_rolled_back(db)
            await session.commit()
    await db.write(increase("counter"))

    assert await db.read(read_amount("counter")) == 2


@one_writer
async def test_a_session_is_told_that_its_time_is_over(
    db: DatabaseManager, slow_statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with db.session() as session:
        await session.exec(insert(notes).values(title="never there", amount=0))
        await wait_until_rolled_back(db)
        with pytest.raises(TransactionTimeoutError, match="session"):
            await session.exec(insert(notes).values(title="late", amount=0))
    levels = [record.levelno for record in caplog.records if "session of task" in record.message]
    assert levels == [logging.WARNING, logging.ERROR]
    async with db.session() as session:
        await session.exec(insert(notes).values(title="never there", amount=0))
        await wait_until_rolled_back(db)
        with pytest.raises(TransactionTimeoutError, match="session"):
            await session.commit()
        await session.rollback()
        # Its next transaction has a time of its own.
        await session.exec(insert(notes).values(title="in time", amount=0))
        await session.commit()
    with pytest.raises(TransactionTimeoutError, match="session"):
        async with db.session() as session:
            await session.exec(insert(notes).values(title="never there", amount=0))
            await (await session.connection()).exec_driver_sql(slow_statement)

    assert await db.read(read_titles) == ["counter", "in time"]
