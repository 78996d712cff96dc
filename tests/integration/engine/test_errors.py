"""What real databases raise, as it reaches the caller: the same class and the same attributes on both engines."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, insert, text, update

from agent_system.errors import (
    CheckError,
    DatabaseBusyError,
    DatabaseUnavailableError,
    DuplicateKeyError,
    ForeignKeyError,
    IntegrityError,
    NotNullError,
    StatementTimeoutError,
)
from tests import requirements as requires
from tests.integration.engine.notes import add, add_reply, notes, read_titles, run_sql

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager
    from agent_system.database.executor import Executor

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]
    Run = Callable[[DatabaseManager, Any], Awaitable[None]]


async def by_write(db: DatabaseManager, statement: Any) -> None:
    await db.write(lambda executor: executor.execute(statement))


async def by_transaction(db: DatabaseManager, statement: Any) -> None:
    async with db.transaction():
        await by_write(db, statement)


async def by_session(db: DatabaseManager, statement: Any) -> None:
    async with db.session() as session:
        await session.exec(statement)


async def by_session_in_transaction(db: DatabaseManager, statement: Any) -> None:
    async with db.transaction():
        await by_session(db, statement)


RUNS = [by_write, by_transaction, by_session, by_session_in_transaction]

BROKEN_RULES = {
    "unique": (insert(notes).values(title="there", amount=0), DuplicateKeyError, ("title",), None),
    "primary key": (insert(notes).values(id=1, title="x", amount=0), DuplicateKeyError, ("id",), None),
    "not null": (insert(notes).values(title="x"), NotNullError, ("amount",), None),
    "check": (update(notes).values(amount=-1), CheckError, None, "ck_notes_amount"),
    "missing reference": (insert(notes).values(title="x", amount=0, about_id=99), ForeignKeyError, None, None),
    "still referenced": (delete(notes).where(notes.c.title == "there"), ForeignKeyError, None, None),
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(("statement", "kind", "fields", "constraint"), BROKEN_RULES.values(), ids=BROKEN_RULES.keys())
async def test_a_broken_rule_has_the_same_class_and_attributes_everywhere(
    db: DatabaseManager,
    run: Run,
    statement: Any,
    kind: type[IntegrityError],
    fields: tuple[str, ...] | None,
    constraint: str | None,
) -> None:
    await db.write(lambda executor: add("about it", about_id=add("there")(executor))(executor))
    with pytest.raises(IntegrityError) as caught:
        await run(db, statement)

    assert type(caught.value) is kind
    # SQLite tells nothing of a foreign key, and of a check its name alone.
    assert fields is None or (caught.value.table, caught.value.fields) == ("notes", fields)
    assert constraint is None or caught.value.constraint == constraint
    assert "nothing was written" in str(caught.value)
    assert await db.read(read_titles) == ["there", "about it"]


async def test_a_rule_that_commit_looks_at_is_told_by_transactions_and_sessions(db: DatabaseManager) -> None:
    with pytest.raises(ForeignKeyError):
        await commit_reply_in_transaction(db)
    with pytest.raises(ForeignKeyError):
        await commit_reply_in_session(db)
    await db.write(add("after"))

    assert await db.read(read_titles) == ["after"]


async def commit_reply_in_transaction(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("lost"))
        await db.write(add_reply(99))


async def commit_reply_in_session(db: DatabaseManager) -> None:
    async with db.session() as session:
        await session.exec(text("INSERT INTO replies (note_id) VALUES (99)"))
        await session.commit()


@requires.server_connection
async def test_a_connection_that_the_server_has_ended_is_told_once_and_replaced(db: DatabaseManager) -> None:
    with pytest.raises(DatabaseUnavailableError):
        await db.read(run_sql("SELECT pg_terminate_backend(pg_backend_pid())"))

    assert await db.read(read_titles) == []


@requires.server_connection
async def test_a_connection_that_ended_while_it_was_idle_is_not_noticed(
    db: DatabaseManager, open_database: OpenDatabase
) -> None:
    other = await open_database()
    await other.read(
        run_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )

    assert await db.read(read_titles) == []
    await db.write(add("after"))


@requires.server_connection
async def test_a_server_that_is_not_there_is_told(open_database: OpenDatabase) -> None:
    db = await open_database()
    absent = db.url.set(host="/nowhere/at/all", query={})
    with pytest.raises(DatabaseUnavailableError, match="cannot be"):
        await type(db)(absent.render_as_string(), auto_migrate=False).connect()


@requires.server_connection
async def test_a_database_that_is_not_there_is_told(db: DatabaseManager) -> None:
    absent = db.url.set(database="no_such_database")
    with pytest.raises(DatabaseUnavailableError, match="no_such_database"):
        await type(db)(absent.render_as_string(hide_password=False), auto_migrate=False).connect()


async def test_a_statement_that_runs_longer_than_the_settings_allow_is_stopped(
    open_database: OpenDatabase, slow_statement: str
) -> None:
    db = await open_database(statement_timeout_seconds=0.2)
    with pytest.raises(StatementTimeoutError):
        await db.read(run_sql(slow_statement))

    assert await db.read(read_titles) == []


@requires.row_locks
async def test_a_row_that_somebody_else_keeps_locked_is_told_in_time(open_database: OpenDatabase) -> None:
    db = await open_database(lock_timeout_seconds=0.1)
    await db.write(add("kept"))
    update = run_sql("UPDATE notes SET amount = amount + 1")
    async with db.transaction():
        await db.write(update)
        with pytest.raises(DatabaseBusyError):
            await asyncio.get_running_loop().create_task(db.write(update), context=Context())

    assert await db.read(run_sql("SELECT amount FROM notes")) == [(1,)]


@requires.row_locks
async def test_a_unit_of_work_in_a_deadlock_is_repeated_unseen(db: DatabaseManager) -> None:
    for title in ("a", "b"):
        await db.write(add(title))
    runs: list[str] = []

    def add_ten_to_both(executor: Executor) -> None:
        for title in ("a", "b"):
            runs.append(title)
            run_sql(f"UPDATE notes SET amount = amount + 10 WHERE title = '{title}'")(executor)

    async with db.transaction():
        await db.write(run_sql("UPDATE notes SET amount = amount + 1 WHERE title = 'b'"))
        working = asyncio.get_running_loop().create_task(db.write(add_ten_to_both), context=Context())
        while not await db.read(run_sql("SELECT 1 FROM pg_locks WHERE NOT granted")):
            assert not working.done()
        # It has begun to wait first, so it is the one that the server ends.
        await db.write(run_sql("UPDATE notes SET amount = amount + 1 WHERE title = 'a'"))
    await working

    assert runs == ["a", "b", "a", "b"]
    assert await db.read(run_sql("SELECT DISTINCT amount FROM notes")) == [(11,)]


@requires.row_locks
async def test_a_deadlock_of_transactions_is_told_to_one_of_them(db: DatabaseManager) -> None:
    for title in ("a", "b"):
        await db.write(add(title))
    both_have_one = asyncio.Barrier(2)

    async def update_both(first: str, second: str) -> None:
        async with db.transaction():
            await db.write(run_sql(f"UPDATE notes SET amount = 1 WHERE title = '{first}'"))
            await both_have_one.wait()
            await db.write(run_sql(f"UPDATE notes SET amount = 1 WHERE title = '{second}'"))

    results = await asyncio.gather(update_both("a", "b"), update_both("b", "a"), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == [DatabaseBusyError.__name__, "NoneType"]
