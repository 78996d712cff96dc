"""An unchanged `AsyncSession` over our engine: what SQLAlchemy's ORM does works, on both engines alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import BigInteger, Column, Integer, MetaData, delete, func, insert, select, text, update
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from agent_system.errors import AgentSystemError, DuplicateKeyError
from tests.integration.engine.notes import notes, read_titles

if TYPE_CHECKING:
    from agent_system.database import DatabaseManager


class Base(SQLModel, registry=registry(metadata=MetaData())):
    """Keeps the tests' class apart from ours."""


class Note(Base, table=True):
    """The table `notes` as a class."""

    __tablename__ = "notes"

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    title: str
    amount: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))


async def add_notes(db: DatabaseManager, number: int) -> None:
    async with db.session() as session:
        session.add_all([Note(title=f"{one}", amount=one) for one in range(number)])
        await session.commit()


async def test_instances_are_added_and_know_their_keys(db: DatabaseManager) -> None:
    async with db.session() as session:
        added = [Note(title=f"{number}") for number in range(200)]
        session.add_all(added)
        await session.commit()
        ids = [note.id for note in added]

    assert ids == sorted({one for one in ids if one is not None})
    assert len(await db.read(read_titles)) == 200


async def test_instances_are_loaded_changed_refreshed_and_deleted(db: DatabaseManager) -> None:
    await add_notes(db, 3)
    async with db.session() as session:
        note = (await session.exec(select(Note).where(Note.title == "1"))).scalar_one()
        note.amount = 77
        await session.commit()
        await session.exec(update(Note).where(Note.title == "1").values(amount=78))
        await session.refresh(note)
        assert note.amount == 78
        await session.delete(note)
        await session.commit()
        assert await session.get(Note, note.id) is None

    assert await db.read(read_titles) == ["0", "2"]


async def test_rows_are_streamed_in_batches(db: DatabaseManager) -> None:
    await add_notes(db, 50)
    async with db.session(read_only=True) as session:
        stream = await session.stream_scalars(select(Note.title).order_by(Note.id).execution_options(yield_per=7))
        titles = [title async for title in stream]
        partitions = (await session.stream(select(Note.id))).partitions(20)
        sizes = [len(partition) async for partition in partitions]

    assert titles == [f"{number}" for number in range(50)]
    assert sizes == [20, 20, 10]


async def test_rows_are_fetched_in_every_way_there_is(db: DatabaseManager) -> None:
    await add_notes(db, 5)
    statement = select(Note.amount).order_by(Note.id)
    async with db.session(read_only=True) as session:
        result = await session.exec(statement)
        assert result.fetchone() == (0,)
        assert result.fetchmany(2) == [(1,), (2,)]
        assert result.fetchall() == [(3,), (4,)]
        assert result.fetchone() is None
        assert (await session.exec(statement.limit(1))).scalar_one() == 0
        assert [row.amount for row in await session.exec(statement)] == [0, 1, 2, 3, 4]
        assert (await session.exec(select(func.max(Note.amount)))).scalar() == 4
        assert (await session.exec(statement.where(Note.amount > 99))).first() is None


async def test_many_rows_are_inserted_in_one_call_with_and_without_returning(db: DatabaseManager) -> None:
    rows = [{"title": f"{number}", "amount": number} for number in range(1_500)]
    async with db.session() as session:
        await session.exec(insert(notes), params=rows[:1_000])
        returned: Any = await session.exec(
            insert(notes).returning(notes.c.title, sort_by_parameter_order=True), params=rows[1_000:]
        )
        assert returned.scalars().all() == [row["title"] for row in rows[1_000:]]
        await session.commit()

    assert await db.read(read_titles) == [row["title"] for row in rows]


async def test_the_number_of_changed_rows_is_told(db: DatabaseManager) -> None:
    await add_notes(db, 5)
    async with db.session() as session:
        changed: Any = await session.exec(update(notes).where(notes.c.amount > 2).values(amount=0))
        removed: Any = await session.exec(delete(notes).where(notes.c.title == "nobody"))
        assert (changed.rowcount, removed.rowcount) == (2, 0)


async def test_a_session_goes_on_after_a_rollback(db: DatabaseManager) -> None:
    await add_notes(db, 1)
    async with db.session() as session:
        session.add(Note(title="0"))
        with pytest.raises(DuplicateKeyError):
            await session.commit()
        await session.rollback()
        session.add(Note(title="another"))
        await session.commit()

    assert await db.read(read_titles) == ["0", "another"]


async def test_a_failed_flush_without_a_rollback_is_told_in_our_words(db: DatabaseManager) -> None:
    await add_notes(db, 1)
    with pytest.raises(AgentSystemError, match="roll"):
        await flush_twice(db)


async def flush_twice(db: DatabaseManager) -> None:
    async with db.session() as session:
        session.add(Note(title="0"))
        with pytest.raises(DuplicateKeyError):
            await session.flush()
        await session.exec(text("SELECT 1"))


async def test_instances_stay_readable_after_the_commit_and_the_session(db: DatabaseManager) -> None:
    async with db.session() as session:
        note = Note(title="kept", amount=3)
        session.add(note)
        await session.commit()

    assert (note.title, note.amount) == ("kept", 3)


async def test_the_engine_itself_is_safe_to_use(db: DatabaseManager) -> None:
    async with db.engine.begin() as connection:
        await connection.execute(insert(notes).values(title="by the engine", amount=0))
        nested = await connection.begin_nested()
        await connection.execute(insert(notes).values(title="taken back", amount=0))
        await nested.rollback()
    with pytest.raises(DuplicateKeyError):
        await fail_by_engine(db)

    assert await db.read(read_titles) == ["by the engine"]


async def fail_by_engine(db: DatabaseManager) -> None:
    async with db.engine.begin() as connection:
        await connection.execute(insert(notes).values(title="lost", amount=0))
        await connection.execute(insert(notes).values(title="by the engine", amount=0))
