"""Values that no column can hold get a ValidationError wherever they are tried, and nothing is half written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, text

from agent_system.errors import AgentSystemError, DatabaseError, ValidationError
from tests import requirements as requires
from tests.integration.engine.notes import add, notes, read_titles, run_sql

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager
    from agent_system.database.executor import Executor

    Write = Callable[[DatabaseManager, dict[str, Any]], Awaitable[object]]

TOO_LARGE = 2**63
LONE_SURROGATE = "half a character: \ud83d"

BAD_VALUES = {
    "an integer over 64 bits": {"title": "bad", "amount": TOO_LARGE},
    "an integer below 64 bits": {"title": "bad", "amount": -TOO_LARGE - 1},
    "a lone surrogate": {"title": LONE_SURROGATE, "amount": 0},
}


def half_bad(values: dict[str, Any]) -> Callable[[Executor], None]:
    """Return a work that adds a good row and then a bad one."""

    def work(executor: Executor) -> None:
        add("half")(executor)
        executor.execute(insert(notes).values(**values))

    return work


async def by_write(db: DatabaseManager, values: dict[str, Any]) -> None:
    await db.write(half_bad(values))


async def by_group(db: DatabaseManager, values: dict[str, Any]) -> None:
    works = [add("one"), half_bad(values), add("two")]
    one, bad, two = await asyncio.gather(*(db.write(work) for work in works), return_exceptions=True)
    assert isinstance(one, int)
    assert isinstance(two, int)
    await db.write(run_sql("DELETE FROM notes"))
    assert isinstance(bad, Exception)
    raise bad


async def by_transaction(db: DatabaseManager, values: dict[str, Any]) -> None:
    async with db.transaction():
        await db.write(add("first"))
        await db.write(half_bad(values))


async def by_session(db: DatabaseManager, values: dict[str, Any]) -> None:
    async with db.session() as session:
        await session.exec(insert(notes).values(title="half", amount=0))
        await session.exec(insert(notes).values(**values))
        await session.commit()


async def by_many_in_session(db: DatabaseManager, values: dict[str, Any]) -> None:
    async with db.session() as session:
        await session.exec(insert(notes), params=[{"title": "half", "amount": 0}, values])
        await session.commit()


WRITES = [by_write, by_group, by_transaction, by_session, by_many_in_session]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("values", BAD_VALUES.values(), ids=BAD_VALUES.keys())
async def test_a_value_that_no_column_can_hold_is_refused_and_nothing_is_half_written(
    db: DatabaseManager, write: Write, values: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="nothing was written"):
        await write(db, values)

    assert await db.read(read_titles) == []
    await db.write(add("after"))


@pytest.mark.parametrize("value", [TOO_LARGE, LONE_SURROGATE], ids=["integer", "text"])
async def test_a_value_that_no_column_can_hold_is_refused_in_a_search_too(db: DatabaseManager, value: object) -> None:
    column = notes.c.amount if isinstance(value, int) else notes.c.title
    statement = select(notes).where(column == value)
    with pytest.raises(ValidationError):
        await db.read(lambda executor: executor.execute(statement).all())
    async with db.session(read_only=True) as session:
        with pytest.raises(ValidationError):
            await session.exec(statement)


async def test_the_largest_integers_are_kept(db: DatabaseManager) -> None:
    await db.write(add("largest", amount=TOO_LARGE - 1))
    rows = await db.read(lambda executor: executor.execute(select(notes.c.amount)).scalars().all())
    assert rows == [TOO_LARGE - 1]


@pytest.mark.parametrize("missing", ["SELECT * FROM nowhere", "SELEKT 1", "SELECT nothing FROM notes"])
async def test_a_wrong_statement_is_an_error_of_ours_that_tells_what_is_wrong(
    db: DatabaseManager, missing: str
) -> None:
    with pytest.raises(DatabaseError, match=r"nowhere|SELEKT|nothing"):
        await db.read(run_sql(missing))
    async with db.session(read_only=True) as session:
        with pytest.raises(DatabaseError, match=r"nowhere|SELEKT|nothing"):
            await session.exec(text(missing))


async def test_a_parameter_that_is_missing_or_of_an_unknown_type_is_an_error_of_ours(db: DatabaseManager) -> None:
    with pytest.raises(AgentSystemError):
        await db.read(lambda executor: executor.execute(text("SELECT :missing"), {}).all())
    with pytest.raises(AgentSystemError):
        await db.read(lambda executor: executor.execute(text("SELECT :strange"), {"strange": object()}).all())


@requires.untyped_columns
async def test_a_text_longer_than_sqlite_takes_is_refused(db: DatabaseManager) -> None:
    with pytest.raises(ValidationError):
        await db.write(run_sql("INSERT INTO notes (title, amount) VALUES (zeroblob(2000000000), 0)"))

    assert await db.read(read_titles) == []
