"""Compiled statements: what they say on each engine, and that they do it when SQLite runs them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Computed, MetaData, String, bindparam, delete, select, text, update
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.orm import registry
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from agent_system.database.many_rows import in_parts, repeat_marked_values, repeat_numbered_values
from agent_system.database.plans import Plan, TablePlans, compile_plan
from agent_system.models import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Dialect

SQLITE, POSTGRESQL = SQLiteDialect_aiosqlite(), PGDialect_asyncpg()


class Reversed(TypeDecorator[str]):
    """Stores a text from right to left; NULL must never get here."""

    impl = String
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:  # noqa: ARG002 (a hook)
        return self._turn

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:  # noqa: ARG002 (a hook)
        return self._turn

    @staticmethod
    def _turn(value: Any) -> str:
        if not isinstance(value, str):
            message = f"not a text: {value!r}"
            raise TypeError(message)
        return value[::-1]


class Base(SQLModel, registry=registry(metadata=MetaData())):
    """Keeps the tests' tables apart from ours."""


class Note(Base, table=True):
    """A row with a counted key, a version, a default of Python's, one of the database's and a computed column."""

    __tablename__ = "notes"

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(sa_column=Column(Reversed, nullable=False))
    meta: str | None = Field(default=None, sa_column=Column("metadata", String))
    status: str = Field(default="of python", sa_column=Column(String, nullable=False, server_default="of the database"))
    version: int = Field(default=1)
    length: int | None = Field(default=None, sa_column=Column(String, Computed("length(title)")))


class Pair(Base, table=True):
    """A row with a key of two columns."""

    __tablename__ = "pairs"

    left_id: int = Field(primary_key=True)
    right_id: int = Field(primary_key=True)
    note: str | None = None


@pytest.fixture
def plans() -> TablePlans[Note]:
    return TablePlans(Note, SQLITE)


@pytest.fixture
def pairs() -> TablePlans[Pair]:
    return TablePlans(Pair, SQLITE)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for entity in (Note, Pair):
            connection.execute(str(CreateTable(entity.__table__).compile(dialect=SQLITE)))
        yield connection


def run(connection: sqlite3.Connection, plan: Plan, **values: Any) -> list[Any]:
    return connection.execute(plan.sql, plan.encode(values)).fetchall()


def add(connection: sqlite3.Connection, plans: TablePlans[Note], **values: Any) -> None:
    values = {"version": 1, **values}
    run(connection, plans.insert([*values]), **values)


def one(connection: sqlite3.Connection, plans: TablePlans[Any], **key: Any) -> dict[str, Any]:
    (row,) = run(connection, plans.get(), **key)
    return plans.hydrate.decode(row)


def test_a_plan_is_compiled_once() -> None:
    plans = TablePlans(Note, SQLITE)

    assert plans.get() is plans.get()
    assert plans.insert(["title"]) is plans.insert(["title"])
    assert plans.insert(["title"]) is not plans.insert(["title", "meta"])
    assert plans.update(["title"], raises_version=True) is not plans.update(["title"], raises_version=False)


def test_a_class_is_read_off_its_mapping(plans: TablePlans[Note], pairs: TablePlans[Pair]) -> None:
    assert list(plans.columns) == ["id", "title", "meta", "status", "version", "length"]
    assert plans.attributes["metadata"] == "meta"
    assert (plans.primary_key, pairs.primary_key) == (("id",), ("left_id", "right_id"))
    assert (plans.counted, pairs.counted) == (("id",), ())
    assert plans.computed == {"length"}


def test_values_are_ordered_and_encoded_and_null_is_left_alone() -> None:
    statement = select(Note.__table__).where(
        Note.__table__.c.title == bindparam("title", type_=Reversed()), Note.__table__.c.id > bindparam("id")
    )
    plan = compile_plan(statement, SQLITE)

    assert plan.parameters == ("title", "id")
    assert plan.encode({"id": 7, "title": "abc", "more": "ignored"}) == ("cba", 7)
    assert plan.encode({"id": None, "title": None}) == (None, None)
    assert plan.positions == {"title": 0, "id": 1}


def test_a_value_that_is_missing_is_no_null() -> None:
    plan = TablePlans(Note, SQLITE).insert(["title", "meta"])
    with pytest.raises(KeyError, match="meta"):
        plan.encode({"title": "x"})


def test_a_literal_value_of_the_statement_stays_in_the_plan() -> None:
    notes = Note.__table__
    plan = compile_plan(select(notes.c.id).where(notes.c.status == "done", notes.c.id > bindparam("id")), SQLITE)

    assert plan.encode({"id": 3}) == ("done", 3)


@pytest.mark.parametrize("prefix", ["", "set_"])
def test_a_value_that_cannot_be_encoded_is_named_by_its_attribute(plans: TablePlans[Note], prefix: str) -> None:
    plan = plans.update(["title", "meta"], raises_version=False) if prefix else plans.insert(["title", "meta"])
    found = plan.name_bad_value({f"{prefix}title": 5, f"{prefix}meta": "x", "id": 1})

    assert found is not None
    assert found[0] == "title"
    assert isinstance(found[1], TypeError)
    assert plan.name_bad_value({f"{prefix}title": "fine", f"{prefix}meta": None, "id": 1}) is None


def test_a_plan_knows_what_it_does_to_rows(plans: TablePlans[Note], pairs: TablePlans[Pair]) -> None:
    def facts(plan: Plan) -> tuple[str | None, bool, bool]:
        return plan.writes, plan.deletes, plan.adds_rows

    assert facts(plans.get()) == (None, False, False)
    assert facts(plans.insert(["title"])) == ("notes", False, True)
    assert facts(plans.update(["title"], raises_version=True)) == ("notes", False, False)
    assert facts(plans.delete()) == ("notes", True, False)
    assert facts(compile_plan(update(Note.__table__).values(version=bindparam("new")), SQLITE)) == (
        "notes",
        False,
        False,
    )
    assert facts(compile_plan(delete(Pair.__table__), SQLITE)) == ("pairs", True, False)
    assert facts(compile_plan(text("SELECT 1"), SQLITE)) == (None, False, False)
    assert pairs.delete().writes == "pairs"


def test_a_plan_for_one_row_knows_where_its_key_stands(plans: TablePlans[Note], pairs: TablePlans[Pair]) -> None:
    for plan in (plans.get(), plans.delete(), plans.update(["title", "meta"], raises_version=True)):
        assert plan.key_position is not None
        assert plan.parameters[plan.key_position] == "id"
    assert plans.last("meta").key_position is None
    assert pairs.get().key_position is None


def test_only_a_lookup_of_a_hot_table_is_for_the_cache() -> None:
    hot = TablePlans(Note, SQLITE, is_hot=True)

    assert hot.get().hot == "notes"
    assert hot.last("meta").hot is None
    assert TablePlans(Note, SQLITE).get().hot is None
    assert TablePlans(Pair, SQLITE, is_hot=True).get().hot is None


def test_a_row_comes_back_as_it_was_put_in(connection: sqlite3.Connection, plans: TablePlans[Note]) -> None:
    add(connection, plans, id=7, title="abc", meta="m", status="s")

    assert connection.execute("SELECT title FROM notes").fetchone() == ("cba",)
    expected = {"id": 7, "title": "abc", "meta": "m", "status": "s", "version": 1, "length": "3"}
    assert one(connection, plans, id=7) == expected


def test_what_is_not_inserted_gets_the_default_of_the_database_and_not_pythons(
    connection: sqlite3.Connection, plans: TablePlans[Note]
) -> None:
    add(connection, plans, id=1, title="x")
    assert one(connection, plans, id=1)["status"] == "of the database"


def test_an_insert_returns_what_only_the_database_knows(
    connection: sqlite3.Connection, plans: TablePlans[Note]
) -> None:
    plan = plans.insert(["title", "version"], returning=("id", "length"))
    assert run(connection, plan, title="four", version=1) == [(1, "4")]


def test_a_counted_key_is_returned_where_the_driver_does_not_tell_it() -> None:
    assert "RETURNING" not in TablePlans(Note, SQLITE).insert_counted(["title"]).sql
    assert TablePlans(Note, POSTGRESQL).insert_counted(["title"]).sql.endswith("RETURNING notes.id")


def test_an_update_sets_columns_and_returns_the_row(connection: sqlite3.Connection, plans: TablePlans[Note]) -> None:
    add(connection, plans, id=1, title="old", meta="kept")
    add(connection, plans, id=2, title="other")
    plan = plans.update(["title"], raises_version=True)
    (row,) = run(connection, plan, set_title="new", id=1)

    changed = plans.hydrate.decode(row)
    assert (changed["title"], changed["meta"], changed["version"]) == ("new", "kept", 2)
    assert one(connection, plans, id=1) == changed
    assert one(connection, plans, id=2)["title"] == "other"


def test_an_update_without_returning_tells_how_many_rows_it_changed(
    connection: sqlite3.Connection, plans: TablePlans[Note]
) -> None:
    add(connection, plans, id=1, title="old")
    plan = plans.update(["title"], raises_version=False, returning=False)

    assert connection.execute(plan.sql, plan.encode({"set_title": "new", "id": 1})).rowcount == 1
    assert connection.execute(plan.sql, plan.encode({"set_title": "new", "id": 2})).rowcount == 0
    assert one(connection, plans, id=1)["version"] == 1


def test_an_update_that_expects_a_version_changes_nothing_at_another(
    connection: sqlite3.Connection, plans: TablePlans[Note]
) -> None:
    add(connection, plans, id=1, title="old", version=5)
    plan = plans.update(["title"], raises_version=True, expects_version=True)

    assert run(connection, plan, set_title="new", id=1, version=4) == []
    assert len(run(connection, plan, set_title="new", id=1, version=5)) == 1
    assert one(connection, plans, id=1)["version"] == 6


def test_an_update_may_set_the_key_and_the_version_themselves(
    connection: sqlite3.Connection, plans: TablePlans[Note]
) -> None:
    add(connection, plans, id=1, title="x")
    plan = plans.update(["id", "version"], raises_version=False)
    run(connection, plan, set_id=2, set_version=9, id=1)

    assert one(connection, plans, id=2)["version"] == 9
    assert run(connection, plans.get(), id=1) == []


def test_a_key_of_two_columns_is_a_key(connection: sqlite3.Connection, pairs: TablePlans[Pair]) -> None:
    for right_id in (1, 2):
        run(connection, pairs.insert(["left_id", "right_id"]), left_id=1, right_id=right_id)
    run(connection, pairs.update(["note"], raises_version=False), set_note="x", left_id=1, right_id=2)
    run(connection, pairs.delete(), left_id=1, right_id=1)

    assert run(connection, pairs.get(), left_id=1, right_id=1) == []
    assert one(connection, pairs, left_id=1, right_id=2)["note"] == "x"


def test_the_newest_rows_come_first_and_no_more_than_wanted(
    connection: sqlite3.Connection, plans: TablePlans[Note]
) -> None:
    for number in range(1, 8):
        add(connection, plans, id=number, title="x", meta="odd" if number % 2 else "even")
    rows = run(connection, plans.last("meta"), meta="odd", limit=3)

    assert [plans.hydrate.decode(row)["id"] for row in rows] == [7, 5, 3]


def test_only_postgresql_has_to_keep_others_from_a_row() -> None:
    assert TablePlans(Note, POSTGRESQL).get_for_update().sql.endswith("FOR UPDATE")
    assert "FOR UPDATE" not in TablePlans(Note, SQLITE).get_for_update().sql


def test_each_engine_has_its_own_marks_for_parameters() -> None:
    assert "WHERE notes.id = ?" in TablePlans(Note, SQLITE).get().sql
    assert "WHERE notes.id = $1" in TablePlans(Note, POSTGRESQL).get().sql


def test_a_delete_removes_one_row(connection: sqlite3.Connection, plans: TablePlans[Note]) -> None:
    for number in (1, 2):
        add(connection, plans, id=number, title="x")
    run(connection, plans.delete(), id=1)

    assert connection.execute("SELECT id FROM notes").fetchall() == [(2,)]


def test_an_insert_of_one_row_becomes_one_of_many() -> None:
    plan = TablePlans(Message, PGDialect_asyncpg()).insert_counted(("role", "meta"))
    two = repeat_numbered_values(plan.sql, 2)
    assert two.count("VALUES") == two.count("RETURNING messages.id") == 1
    assert two.partition(" VALUES ")[2] == (
        '($1::VARCHAR COLLATE "C", $2::JSON), ($3::VARCHAR COLLATE "C", $4::JSON) RETURNING messages.id'
    )


@pytest.mark.parametrize(
    ("count", "lengths"),
    [
        (0, []),
        (1, [1]),
        (63, [63]),
        (64, [64]),
        (200, [64, 64, 64, 8]),
        (2_050, [512] * 4 + [2]),
    ],
)
def test_rows_are_cut_into_parts_of_few_lengths_in_order(count: int, lengths: list[int]) -> None:
    rows = [(number, "x") for number in range(count)]
    parts = list(in_parts(rows))
    assert [len(part) for part in parts] == lengths
    assert [row for part in parts for row in part] == rows


def test_a_part_binds_no_more_than_sqlite_can() -> None:
    rows = [tuple(range(1_000))] * 40
    assert max(len(part) * len(part[0]) for part in in_parts(rows)) <= 32_766


def test_an_insert_of_marked_values_becomes_one_of_many() -> None:
    assert repeat_marked_values("INSERT INTO t (a, b) VALUES (?, ?)", 3) == (
        "INSERT INTO t (a, b) VALUES (?, ?), (?, ?), (?, ?)"
    )
