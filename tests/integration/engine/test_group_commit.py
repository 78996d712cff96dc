"""Single writes of many callers share a commit, and each gets its own truthful answer."""

# ruff: noqa: PT012 (what raises is a transaction's whole block)

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select

from agent_system.errors import (
    AgentSystemError,
    CheckError,
    DatabaseUnavailableError,
    DuplicateKeyError,
    ForeignKeyError,
    OutcomeUnknownError,
)
from tests import requirements as requires
from tests.integration.engine.gates import writer_of
from tests.integration.engine.notes import add, add_reply, count, increase, notes, read_amount, read_titles, run_sql
from tests.integration.engine.processes import Child

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager
    from agent_system.database.executor import Executor
    from tests.integration.engine.gates import CommitGate

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]


async def test_a_bad_row_among_64_good_ones_is_the_only_one_that_fails(db: DatabaseManager) -> None:
    await db.write(add("there"))
    works = [add(f"{number}") for number in range(64)]
    works[40] = add("there")
    results = await asyncio.gather(*(db.write(work) for work in works), return_exceptions=True)

    assert [number for number, result in enumerate(results) if isinstance(result, BaseException)] == [40]
    error = results[40]
    assert isinstance(error, DuplicateKeyError)
    assert (error.table, error.fields) == ("notes", ("title",))
    assert sorted(await db.read(read_titles)) == sorted({"there"} | {f"{number}" for number in range(64)} - {"40"})


async def test_every_kind_of_broken_rule_is_told_to_its_own_caller(db: DatabaseManager) -> None:
    await db.write(add("there"))

    def half_way(executor: Executor) -> None:
        add("never there")(executor)
        add("there")(executor)

    works = [add("a"), add("b", amount=-1), add("c"), add("d", about_id=99), half_way, add_reply(99), add("e")]
    results = await asyncio.gather(*(db.write(work) for work in works), return_exceptions=True)

    kinds = [type(result) for result in results]
    assert kinds == [int, CheckError, int, ForeignKeyError, DuplicateKeyError, ForeignKeyError, int]
    check = results[1]
    assert isinstance(check, CheckError)
    assert check.constraint == "ck_notes_amount"
    assert sorted(await db.read(read_titles)) == ["a", "c", "e", "there"]


async def test_works_that_run_again_count_once(db: DatabaseManager) -> None:
    await db.write(add("counter"))

    def fail_half_way(executor: Executor) -> None:
        increase("counter")(executor)
        raise LookupError

    works = [fail_half_way if number % 5 == 0 else increase("counter") for number in range(40)]
    results = await asyncio.gather(*(db.write(work) for work in works), return_exceptions=True)

    assert Counter(type(result) for result in results) == {int: 32, LookupError: 8}
    assert await db.read(read_amount("counter")) == 32


async def test_what_a_work_raises_reaches_its_caller_whatever_it_is(db: DatabaseManager) -> None:
    def out_of_items(_executor: Executor) -> object:
        return next(iter(()))

    async with asyncio.timeout(10):
        for run in (db.write, db.read):
            with pytest.raises(RuntimeError, match="StopIteration"):
                await run(out_of_items)
    assert await db.write(add("after")) == 1


class StopAtOnce(BaseException):
    """What no `except Exception` catches."""


async def test_a_work_that_wants_to_stop_everything_stops_its_caller_alone(db: DatabaseManager) -> None:
    def stop(executor: Executor) -> None:
        add("never there")(executor)
        raise StopAtOnce

    works = [add("a"), stop, add("b")]
    tasks = [asyncio.create_task(db.write(work)) for work in works]
    await asyncio.wait(tasks)

    assert [type(task.exception()) for task in tasks] == [type(None), StopAtOnce, type(None)]
    assert sorted(await db.read(read_titles)) == ["a", "b"]


@requires.one_writer
async def test_writes_of_one_moment_share_a_commit(db: DatabaseManager) -> None:
    statements: list[str] = []
    writer_of(db).set_trace_callback(statements.append)
    await asyncio.gather(*(db.write(add(f"{number}")) for number in range(64)))

    assert Counter(statements)["COMMIT"] == 1
    assert await db.read(count) == 64


@requires.one_writer
async def test_a_group_is_not_larger_than_the_settings_say(open_database: OpenDatabase) -> None:
    db = await open_database(write_group_size=10)
    statements: list[str] = []
    writer_of(db).set_trace_callback(statements.append)
    await asyncio.gather(*(db.write(add(f"{number}")) for number in range(64)))

    assert Counter(statements)["COMMIT"] == 7


@requires.one_writer
async def test_works_that_come_while_a_group_is_committed_are_the_next_group(
    db: DatabaseManager, commit_gate: CommitGate
) -> None:
    first = asyncio.create_task(db.write(add("first")))
    await commit_gate.reached()
    titles = [*(f"{number}" for number in range(10)), "first"]
    others = [asyncio.create_task(db.write(add(title))) for title in titles]
    while (await db.health()).write_queue_depth < 11:
        assert not first.done()
    await commit_gate.open()
    *good, bad = await asyncio.gather(*others, return_exceptions=True)

    assert await first == 1
    assert len(set(good)) == 10
    assert isinstance(bad, DuplicateKeyError)
    assert await db.read(count) == 11


@requires.one_writer
async def test_a_group_is_answered_also_when_the_next_one_has_to_wait_for_another_process(db: DatabaseManager) -> None:
    loop, reached, is_there = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    with closing(sqlite3.connect(str(db.url.database), isolation_level=None, check_same_thread=False)) as other:

        def trace(statement: str) -> None:
            if statement == "COMMIT":
                loop.call_soon_threadsafe(reached.set)
                is_there.wait(20)
            elif statement == "BEGIN IMMEDIATE" and is_there.is_set() and not other.in_transaction:
                # Their BEGIN comes before that of the second group, which is traced before it takes its lock.
                other.execute("BEGIN IMMEDIATE")

        writer_of(db).set_trace_callback(trace)
        first = asyncio.create_task(db.write(add("first")))
        await reached.wait()
        second = asyncio.create_task(db.write(add("second")))
        await asyncio.sleep(0)
        is_there.set()
        assert await first == 1
        assert not second.done()
        writer_of(db).set_trace_callback(None)
    assert await second == 2


@requires.one_writer
async def test_a_writer_whose_connection_is_gone_goes_on_with_another(db: DatabaseManager) -> None:
    await db.write(add("before"))
    writer_of(db).close()
    await asyncio.gather(*(db.write(add(f"{number}")) for number in range(3)))
    writer_of(db).close()
    async with db.transaction():
        await db.write(add("in a transaction"))
    writer_of(db).close()
    async with db.session() as session:
        assert len((await session.exec(select(notes))).all()) == 5

    assert await db.read(read_titles) == ["before", "0", "1", "2", "in a transaction"]


@requires.one_writer
async def test_a_transaction_whose_connection_goes_is_told_and_the_writer_goes_on(db: DatabaseManager) -> None:
    with pytest.raises(AgentSystemError):
        async with db.transaction():
            await db.write(add("lost"))
            writer_of(db).close()
            await db.write(add("never"))
    async with asyncio.timeout(10):
        await db.write(add("after"))

    assert await db.read(read_titles) == ["after"]


@requires.one_writer
async def test_while_no_connection_can_be_opened_each_write_is_told_and_later_ones_succeed(
    db: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_connections(db, monkeypatch)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailableError):
            await db.write(add("refused"))
        with pytest.raises(DatabaseUnavailableError):
            async with db.transaction():
                pass
    monkeypatch.undo()
    await db.write(add("after"))

    assert await db.read(read_titles) == ["after"]


def refuse_connections(db: DatabaseManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Close the writer's connection and let every new one fail."""
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorname = "SQLITE_CANTOPEN"

    def refuse(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr("agent_system.database.engine.open_connection", refuse)
    writer_of(db).close()


@requires.database_file
async def test_an_input_or_output_error_at_commit_is_an_unknown_outcome_and_the_writer_goes_on(
    db: DatabaseManager,
) -> None:
    await db.disconnect()
    child = await Child.start("full_file.py", db.url.database)
    *answers, titles = await child.finish()

    assert answers == [["written", "OutcomeUnknownError", "written"]] * 3
    for way in ("by_write", "by_transaction", "by_session"):
        assert {f"{way} before", f"{way} after"} <= set(titles)


@requires.server_connection
@pytest.mark.parametrize("way", ["write", "transaction", "session"])
async def test_a_connection_that_is_lost_inside_commit_is_an_unknown_outcome(
    db: DatabaseManager, commit_gate: CommitGate, way: str
) -> None:
    writing = asyncio.create_task(WAYS[way](db))
    await commit_gate.reached()
    await db.read(run_sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
    with pytest.raises(OutcomeUnknownError):
        await writing
    await commit_gate.open()
    await db.write(add("after"))

    assert "after" in await db.read(read_titles)


async def by_write(db: DatabaseManager) -> None:
    await db.write(add("one"))


async def by_transaction(db: DatabaseManager) -> None:
    async with db.transaction():
        await db.write(add("one"))


async def by_session(db: DatabaseManager) -> None:
    async with db.session() as session:
        await session.exec(insert(notes).values(title="one", amount=0))
        await session.commit()


WAYS = {"write": by_write, "transaction": by_transaction, "session": by_session}
