"""The database itself ends a transaction, by RAISE(ROLLBACK), a full disk or an interrupt: nobody is told a lie.

What was written before is gone then, and what comes after would be committed at once. So whoever goes on as if nothing
had happened is told, even if he caught the first error.
"""

# ruff: noqa: PT012 (what raises is a transaction's whole block)

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, text

from agent_system.errors import AgentSystemError, DiskFullError, IntegrityError, TransactionError
from tests import requirements as requires
from tests.integration.engine.notes import add, count, notes, read_titles, run_sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel.ext.asyncio.session import AsyncSession

    from agent_system.database import DatabaseManager
    from agent_system.database.executor import Executor

RAISING = """
    CREATE TRIGGER refuse BEFORE INSERT ON notes WHEN NEW.title = 'bad'
    BEGIN SELECT RAISE(ROLLBACK, 'this title ends everything'); END
"""
# Writes for ever, because what it inserts is taken back by the timeout.
SLOW_INSERT = """
    INSERT INTO notes (title, amount)
    WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter) SELECT 'n' || n, n FROM counter
"""

pytestmark = requires.statements_that_end_transactions


@pytest.fixture
async def raising(db: DatabaseManager) -> DatabaseManager:
    await db.write(run_sql(RAISING))
    return db


def hiding(*works: Callable[[Executor], object]) -> Callable[[Executor], None]:
    """Return a work that does one after the other and hides their errors."""

    def work(executor: Executor) -> None:
        for one in works:
            with contextlib.suppress(Exception):
                one(executor)

    return work


async def add_by(session: AsyncSession, title: str) -> None:
    await session.exec(insert(notes).values(title=title, amount=0))


async def test_in_a_group_only_the_culprit_is_told_and_all_others_are_written(raising: DatabaseManager) -> None:
    titles = ["a", "b", "bad", "c", "d"]
    results = await asyncio.gather(*(raising.write(add(title)) for title in titles), return_exceptions=True)

    assert [isinstance(result, IntegrityError) for result in results] == [False, False, True, False, False]
    assert sorted(await raising.read(read_titles)) == ["a", "b", "c", "d"]


async def test_a_work_that_hides_the_end_of_its_transaction_costs_nobody_else_an_acknowledged_row(
    raising: DatabaseManager,
) -> None:
    works = [add("a"), hiding(add("bad")), add("b"), hiding(add("before"), add("bad"), add("c")), add("d")]
    results = await asyncio.gather(*(raising.write(work) for work in works), return_exceptions=True)

    assert [isinstance(result, AgentSystemError) for result in results] == [False, True, False, True, False]
    assert sorted(await raising.read(read_titles)) == ["a", "b", "d"]


async def test_a_transaction_whose_block_goes_on_is_told(raising: DatabaseManager) -> None:
    with pytest.raises(TransactionError, match="nothing of it was written"):
        async with raising.transaction():
            await raising.write(add("one"))
            with pytest.raises(IntegrityError):
                await raising.write(add("bad"))
            await raising.write(add("two"))
    await raising.write(add("after"))

    assert await raising.read(read_titles) == ["after"]


async def test_a_transaction_whose_block_only_ends_is_told(raising: DatabaseManager) -> None:
    with pytest.raises(TransactionError, match="nothing of it was written"):
        async with raising.transaction():
            await raising.write(add("one"))
            await raising.write(add("two"))
            with pytest.raises(IntegrityError):
                await raising.write(add("bad"))
    await raising.write(add("after"))

    assert await raising.read(read_titles) == ["after"]


async def test_a_nested_transaction_passes_the_first_error_on_and_the_outer_block_is_told(
    raising: DatabaseManager,
) -> None:
    with pytest.raises(TransactionError, match="nothing of it was written"):
        async with raising.transaction():
            await raising.write(add("one"))
            with pytest.raises(IntegrityError):
                async with raising.transaction():
                    await raising.write(add("bad"))
    await raising.write(add("after"))

    assert await raising.read(read_titles) == ["after"]


async def test_a_work_in_a_transaction_that_hides_the_end_is_told(raising: DatabaseManager) -> None:
    with pytest.raises(AgentSystemError):
        async with raising.transaction():
            await raising.write(add("one"))
            await raising.write(hiding(add("bad"), add("two")))
    await raising.write(add("after"))

    assert await raising.read(read_titles) == ["after"]


async def test_a_session_that_goes_on_is_told(raising: DatabaseManager) -> None:
    with pytest.raises(TransactionError, match="nothing of it was written"):
        async with raising.session() as session:
            await add_by(session, "one")
            with pytest.raises(IntegrityError):
                await add_by(session, "bad")
            await add_by(session, "two")
    await raising.write(add("after"))

    assert await raising.read(read_titles) == ["after"]


async def test_a_session_that_only_commits_is_told(raising: DatabaseManager) -> None:
    with pytest.raises(TransactionError, match="nothing of it was written"):
        async with raising.session() as session:
            await add_by(session, "one")
            with pytest.raises(IntegrityError):
                await add_by(session, "bad")
            await session.commit()
    await raising.write(add("after"))

    assert await raising.read(read_titles) == ["after"]


async def test_a_session_that_rolls_back_goes_on_in_a_new_transaction(raising: DatabaseManager) -> None:
    async with raising.session() as session:
        await add_by(session, "one")
        with pytest.raises(IntegrityError):
            await add_by(session, "bad")
        await session.rollback()
        await add_by(session, "two")
        await session.commit()

    assert await raising.read(read_titles) == ["two"]


async def test_a_session_inside_a_transaction_passes_the_first_error_on(raising: DatabaseManager) -> None:
    with pytest.raises(IntegrityError):
        async with raising.transaction(), raising.session() as session:
            await add_by(session, "one")
            await add_by(session, "bad")
    await raising.write(add("after"))

    assert await raising.read(read_titles) == ["after"]


async def test_an_interrupted_insert_ends_the_transaction_and_whoever_goes_on_is_told(db: DatabaseManager) -> None:
    with pytest.raises(TransactionError, match="nothing of it was written"):
        async with db.transaction():
            await db.write(add("one"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await db.write(run_sql(SLOW_INSERT))
            await db.write(add("two"))
    await db.write(add("after"))

    assert await db.read(read_titles) == ["after"]


async def test_an_interrupted_insert_ends_a_sessions_transaction_and_whoever_goes_on_is_told(
    db: DatabaseManager,
) -> None:
    with pytest.raises(TransactionError, match="nothing of it was written"):
        async with db.session() as session:
            await add_by(session, "one")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await session.exec(text(SLOW_INSERT))
            await add_by(session, "two")
            await session.commit()
    await db.write(add("after"))

    assert await db.read(read_titles) == ["after"]


async def test_a_full_disk_in_a_group_is_told_to_whom_it_concerns(db: DatabaseManager) -> None:
    pages = (await db.read(run_sql("PRAGMA page_count")))[0][0]
    await db.write(run_sql(f"PRAGMA max_page_count = {pages + 3}"))
    titles = ["small", "x" * 100_000, "small too"]
    results = await asyncio.gather(*(db.write(add(title)) for title in titles), return_exceptions=True)

    assert [isinstance(result, DiskFullError) for result in results] == [False, True, False]
    assert sorted(await db.read(read_titles)) == ["small", "small too"]


async def test_a_full_disk_ends_a_transaction_as_a_whole(db: DatabaseManager) -> None:
    pages = (await db.read(run_sql("PRAGMA page_count")))[0][0]
    await db.write(run_sql(f"PRAGMA max_page_count = {pages + 3}"))
    with pytest.raises(DiskFullError):
        async with db.transaction():
            await db.write(add("small"))
            await db.write(add("x" * 100_000))
    await db.write(add("after"))

    assert await db.read(count) == 1
