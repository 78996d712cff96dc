"""`db.session()`: for what the managers do not offer, with the same safety."""

# ruff: noqa: PT012 (what raises is a session's whole block)

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, insert, select, text

from agent_system.database.adapter import FusedConnection
from agent_system.errors import (
    AgentSystemError,
    DatabaseBusyError,
    DatabaseReadOnlyError,
    DuplicateKeyError,
    TransactionError,
)
from tests import requirements as requires
from tests.integration.engine.notes import add, count, notes, read_titles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlmodel.ext.asyncio.session import AsyncSession

    from agent_system.database import DatabaseManager

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]


class StopError(Exception):
    """What a block of a test raises."""


async def add_by(session: AsyncSession, title: str) -> None:
    await session.exec(insert(notes).values(title=title, amount=0))


async def count_by(session: AsyncSession) -> int:
    return int((await session.exec(select(func.count()).select_from(notes))).scalar_one())


async def test_a_session_writes_what_it_commits(db: DatabaseManager) -> None:
    async with db.session() as session:
        await add_by(session, "one")
        await session.commit()
        await add_by(session, "not committed")

    assert await db.read(read_titles) == ["one"]


@requires.sqlite_library
async def test_after_a_commit_no_thread_is_asked_to_roll_back(
    db: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation in such a rollback is an error in the pool's log, and costs the connection."""
    ends: list[object] = []
    end = FusedConnection._end

    def counted(self: FusedConnection, function: object) -> None:
        ends.append(function)
        end(self, function)

    monkeypatch.setattr(FusedConnection, "_end", counted)
    async with db.session() as session:
        await add_by(session, "kept")
        await session.commit()
    assert len(ends) == 1
    async with db.session() as session:
        await add_by(session, "not kept")
    async with db.session(read_only=True) as session:
        assert await count_by(session) == 1
    assert len(ends) == 3


async def test_a_session_whose_block_raises_leaves_nothing_and_frees_the_writer(db: DatabaseManager) -> None:
    with pytest.raises(StopError):
        async with db.session() as session:
            await add_by(session, "one")
            raise StopError
    await db.write(add("after"))

    assert await db.read(read_titles) == ["after"]


async def test_savepoints_of_a_session_work(db: DatabaseManager) -> None:
    async with db.session() as session:
        await add_by(session, "outer")
        with pytest.raises(StopError):
            async with session.begin_nested():
                await add_by(session, "inner")
                raise StopError
        await add_by(session, "after")
        await session.commit()

    assert await db.read(read_titles) == ["outer", "after"]


async def test_definitions_of_tables_in_a_session_are_rolled_back_too(db: DatabaseManager) -> None:
    async with db.session() as session:
        await session.exec(text("CREATE TABLE made (id INTEGER)"))
        await session.exec(text("INSERT INTO made VALUES (1)"))
        await session.rollback()
        with pytest.raises(AgentSystemError, match="made"):
            await session.exec(text("SELECT * FROM made"))


async def test_a_reading_session_sees_one_state_from_its_first_statement_on(db: DatabaseManager) -> None:
    await db.write(add("one"))
    async with db.session(read_only=True) as session:
        before = await count_by(session)
        await db.write(add("two"))
        again = await count_by(session)

    assert (before, again, await db.read(count)) == (1, 1, 2)


async def test_a_reading_session_refuses_to_write(db: DatabaseManager) -> None:
    async with db.session(read_only=True) as session:
        with pytest.raises(DatabaseReadOnlyError):
            await add_by(session, "one")
        await session.rollback()
    # The connection that comes back from the pool may write again.
    for number in range(4):
        async with db.session() as session:
            await add_by(session, f"written {number}")
            await session.commit()

    assert await db.read(count) == 4


async def test_a_reading_session_does_not_wait_for_a_transaction(db: DatabaseManager) -> None:
    async def read() -> int:
        async with db.session(read_only=True) as session:
            return await count_by(session)

    async with db.transaction():
        await db.write(add("one"))
        # A context of its own, as a task that somebody else has started.
        assert await asyncio.create_task(read(), context=Context()) == 0


async def test_a_session_inside_a_transaction_is_part_of_it(db: DatabaseManager) -> None:
    with pytest.raises(StopError):
        async with db.transaction():
            await db.write(add("by the manager"))
            async with db.session() as session:
                assert await count_by(session) == 1
                await add_by(session, "by the session")
                await session.commit()
            assert await db.read(read_titles) == ["by the manager", "by the session"]
            raise StopError

    assert await db.read(count) == 0


async def test_what_a_session_inside_a_transaction_does_not_commit_is_taken_back_alone(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("kept"))
        async with db.session() as session:
            await add_by(session, "not committed")
        async with db.session() as session:
            await add_by(session, "committed")
            await session.commit()

    assert await db.read(read_titles) == ["kept", "committed"]


async def test_errors_of_a_session_are_ours(db: DatabaseManager) -> None:
    async with db.session() as session:
        await add_by(session, "same")
        with pytest.raises(DuplicateKeyError) as caught:
            await add_by(session, "same")

    assert caught.value.fields == ("title",)


@pytest.mark.parametrize("error", [TimeoutError, FileNotFoundError, OverflowError, ValueError])
async def test_an_error_of_the_caller_passes_through_a_session_unchanged(
    db: DatabaseManager, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        async with db.session():
            raise error("the caller's own")

    assert type(caught.value) is error


async def test_writing_sessions_of_many_tasks_take_turns(db: DatabaseManager) -> None:
    async def write(number: int) -> None:
        async with db.session() as session:
            known = await count_by(session)
            await asyncio.sleep(0)
            await session.exec(insert(notes).values(title=f"{number}", amount=known))
            await session.commit()

    await asyncio.gather(*(write(number) for number in range(16)))

    assert await db.read(count) == 16


@requires.one_writer
async def test_a_write_that_would_wait_for_the_task_itself_is_refused_at_once(db: DatabaseManager) -> None:
    async with db.session() as session, asyncio.timeout(5):
        await add_by(session, "one")
        with pytest.raises(TransactionError, match="itself"):
            await db.write(add("two"))
        with pytest.raises(TransactionError, match="itself"):
            async with db.transaction():
                pass
        with pytest.raises(TransactionError, match="itself"):
            async with db.session() as second:
                await add_by(second, "three")
        await session.commit()

    await db.write(add("after"))
    assert await db.read(read_titles) == ["one", "after"]


@requires.one_writer
async def test_a_write_of_another_task_waits_for_the_session(db: DatabaseManager) -> None:
    async with db.session() as session:
        await add_by(session, "one")
        waiting = asyncio.create_task(db.write(add("two")), context=Context())
        assert await db.read(count) == 0
        assert not waiting.done()
        await session.commit()
    await waiting

    assert await db.read(read_titles) == ["one", "two"]


async def test_more_sessions_than_the_pool_has_connections_are_told_in_time(open_database: OpenDatabase) -> None:
    db = await open_database(
        sqlite_session_connections=1, pool_size=1, pool_max_overflow=0, pool_timeout_seconds=0.05, inline_reads=False
    )
    async with db.session(read_only=True) as first:
        await count_by(first)
        with pytest.raises(DatabaseBusyError, match="pool"):
            await hold_sessions(db, 3)


async def hold_sessions(db: DatabaseManager, number: int) -> None:
    if number:
        async with db.session(read_only=True) as session:
            await count_by(session)
            await hold_sessions(db, number - 1)
