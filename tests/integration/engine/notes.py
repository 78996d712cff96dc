"""A small schema of the tests' own, and the units of work that they run on it.

The engine room knows no table, so its tests bring theirs: notes with every kind of rule, and replies whose rule is
looked at only when the transaction commits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.database import DatabaseManager
    from agent_system.database.executor import Executor

metadata = MetaData()

notes = Table(
    "notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("title", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("about_id", ForeignKey("notes.id", name="fk_notes_about")),
    UniqueConstraint("title", name="uq_notes_title"),
    CheckConstraint("amount >= 0", name="ck_notes_amount"),
)

replies = Table(
    "replies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "note_id",
        ForeignKey("notes.id", name="fk_replies_note", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
)


async def make_tables(db: DatabaseManager) -> None:
    """Make the tables of this module."""

    def work(executor: Executor) -> None:
        for table in metadata.sorted_tables:
            executor.execute(CreateTable(table))

    await db.write(work)


def add(title: str, amount: int = 0, about_id: int | None = None) -> Callable[[Executor], int]:
    """Return a work that adds a note and returns its id."""
    statement = insert(notes).values(title=title, amount=amount, about_id=about_id).returning(notes.c.id)
    return lambda executor: int(executor.execute(statement).scalar_one())


def add_reply(note_id: int) -> Callable[[Executor], None]:
    """Return a work that adds a reply; to a note that is not there, COMMIT refuses it."""

    def work(executor: Executor) -> None:
        executor.execute(insert(replies).values(note_id=note_id))

    return work


def read_titles(executor: Executor) -> list[str]:
    """Read the titles of all notes in the order of their ids."""
    return list(executor.execute(select(notes.c.title).order_by(notes.c.id)).scalars())


def count(executor: Executor) -> int:
    """Count the notes."""
    return int(executor.execute(select(func.count()).select_from(notes)).scalar_one())


def read_amount(title: str, *, lock: bool = False) -> Callable[[Executor], int]:
    """Return a work that reads the amount of a note; `lock` keeps others from changing it meanwhile."""
    statement = select(notes.c.amount).where(notes.c.title == title)
    if lock:
        statement = statement.with_for_update()
    return lambda executor: int(executor.execute(statement).scalar_one())


def set_amount(title: str, amount: int) -> Callable[[Executor], None]:
    """Return a work that sets the amount of a note."""

    def work(executor: Executor) -> None:
        executor.execute(update(notes).where(notes.c.title == title).values(amount=amount))

    return work


def increase(title: str) -> Callable[[Executor], int]:
    """Return a work that reads an amount, adds one in Python and writes it back."""

    def work(executor: Executor) -> int:
        amount = read_amount(title, lock=True)(executor) + 1
        set_amount(title, amount)(executor)
        return amount

    return work


def run_sql(statement: str) -> Callable[[Executor], list[Any]]:
    """Return a work that executes one statement and returns its rows."""

    def work(executor: Executor) -> list[Any]:
        result = executor.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []

    return work
