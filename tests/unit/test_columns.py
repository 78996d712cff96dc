"""The column types mean the same on both engines."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, insert, select, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect as postgresql_dialect
from sqlalchemy.dialects.sqlite.aiosqlite import dialect as sqlite_dialect
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from agent_system.database.engine import create_engine, resolve_url
from agent_system.models.codec import ESCAPE
from agent_system.models.columns import BigInt, Enumerated, Json, Real, Text, UtcDateTime, Uuid
from agent_system.models.uuids import uuid7
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.types import TypeEngine

SQLITE, POSTGRESQL = sqlite_dialect(), postgresql_dialect()


WORDS = ["", "plain", "NUL \0", "\ud800 lone", "pair \ud83d\ude00", ESCAPE, "😀"]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def as_it_is(value: Any) -> Any:
    return value


def bind(column_type: Any, dialect: Any = SQLITE) -> Callable[[Any], Any]:
    return column_type.dialect_impl(dialect).bind_processor(dialect) or as_it_is


def result(column_type: Any, dialect: Any = SQLITE) -> Callable[[Any], Any]:
    return column_type.dialect_impl(dialect).result_processor(dialect, None) or as_it_is


TABLE = Table(
    "of_a_test",
    MetaData(),
    Column("id", BigInt, primary_key=True),
    Column("words", Text()),
    Column("moment", UtcDateTime()),
    Column("owner", Uuid()),
    Column("value", Json()),
    Column("colour", Enumerated(Colour)),
    Column("amount", Real()),
    sqlite_autoincrement=True,
)


def test_declared_types() -> None:
    sqlite, postgresql = (str(CreateTable(TABLE).compile(dialect=dialect)) for dialect in (SQLITE, POSTGRESQL))
    assert [line.strip(", \t") for line in sqlite.splitlines() if line.startswith("\t")] == [
        "id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
        "words TEXT",
        "moment TEXT",
        "owner TEXT",
        "value TEXT",
        "colour TEXT",
        "amount REAL",
    ]
    assert [line.strip(", \t") for line in postgresql.splitlines() if line.startswith("\t")] == [
        "id BIGSERIAL NOT NULL",
        'words TEXT COLLATE "C"',
        "moment TIMESTAMP WITH TIME ZONE",
        "owner UUID",
        "value JSON",
        'colour TEXT COLLATE "C"',
        "amount DOUBLE PRECISION",
        "PRIMARY KEY (id)",
    ]


async def test_values_come_back_from_the_database(database_url: str) -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": number,
            "words": words,
            "moment": datetime(2025, 1, 15, 1, 2, 3, number, tzinfo=UTC),
            "owner": uuid4(),
            "value": {words: [words, number, None]},
            "colour": Colour.BLUE,
            "amount": 0.1 * number,
        }
        for number, words in enumerate(
            ["", "plain", "NUL \0", "\ud800 lone", "pair \ud83d\ude00", ESCAPE, "😀"], start=1
        )
    ]
    rows.append({"id": 2**63 - 1} | dict.fromkeys(["words", "moment", "owner", "value", "colour", "amount"]))
    engine = create_engine(resolve_url(database_url), DatabaseSettings(), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(TABLE.create)
            await connection.execute(insert(TABLE), rows)
            found = (await connection.execute(select(TABLE).order_by(TABLE.c.id))).mappings().all()
            by_text = await connection.execute(select(TABLE.c.id).where(TABLE.c.words == "NUL \0"))
            in_order = await connection.execute(
                select(TABLE.c.words).where(TABLE.c.words.is_not(None)).order_by(TABLE.c.words)
            )
            assert by_text.scalars().all() == [3]
            ordered = in_order.scalars().all()
            await connection.run_sync(TABLE.drop)
    finally:
        await engine.dispose()
    assert [dict(row) for row in found] == rows
    assert [type(row["owner"]) for row in found[:-1]] == [UUID] * (len(rows) - 1)
    assert all(row["moment"].tzinfo is UTC for row in found[:-1])
    assert ordered[:2] == ["", "NUL \0"]


class TestUtcDateTime:
    @given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=7)), timezone(timedelta(hours=-3))])))
    def test_any_aware_moment_comes_back_in_utc(self, moment: datetime) -> None:
        try:
            moment.astimezone(UTC)
        except OverflowError:
            return
        for dialect in (SQLITE, POSTGRESQL):
            found = result(UtcDateTime(), dialect)(bind(UtcDateTime(), dialect)(moment))
            assert found == moment
            assert found.tzinfo is UTC

    @given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2, max_size=2))
    def test_order_of_texts_is_order_in_time(self, moments: list[datetime]) -> None:
        stored = [bind(UtcDateTime())(moment) for moment in moments]
        assert [len(one) for one in stored] == [26, 26]
        assert (stored[0] < stored[1]) == (moments[0] < moments[1])

    def test_form_on_sqlite(self) -> None:
        assert bind(UtcDateTime())(datetime(302, 1, 2, 3, 4, 5, tzinfo=UTC)) == "0302-01-02 03:04:05.000000"

    @pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
    def test_naive_datetime_is_refused(self, dialect: Any) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            bind(UtcDateTime(), dialect)(datetime(2025, 1, 1))  # noqa: DTZ001

    @pytest.mark.parametrize(
        "stored",
        [
            "2025-01-15 10:30:00",
            "2025-01-15T10:30:00",
            "2025-01-15T10:30:00.000Z",
            "2025-01-15 10:30:00+00:00",
            "2025-01-15T17:30:00+07:00",
            " 2025-01-15 10:30:00.0000 ",
        ],
    )
    def test_forms_of_other_writers_are_read(self, stored: str) -> None:
        assert result(UtcDateTime())(stored) == datetime(2025, 1, 15, 10, 30, tzinfo=UTC)

    @pytest.mark.parametrize("stored", ["", "yesterday", "1736937000", 5, b"2025"])
    def test_what_is_no_timestamp_is_an_error(self, stored: object) -> None:
        with pytest.raises(ValueError, match="not a timestamp"):
            result(UtcDateTime())(stored)


class TestUuid:
    def test_new_ones_are_plain_and_in_the_order_of_time(self) -> None:
        made = [uuid7() for _ in range(1_000)]
        assert made == sorted(set(made))
        assert {(type(each), each.version, each.variant) for each in made} == {(UUID, 7, RFC_4122)}

    @given(st.uuids())
    def test_any_uuid_comes_back_as_a_plain_one(self, value: UUID) -> None:
        stored = bind(Uuid())(value)
        assert stored == str(value)
        found = result(Uuid())(stored)
        assert (type(found), found, hash(found), str(found)) == (UUID, value, hash(value), str(value))
        assert found.is_safe == value.is_safe
        assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == value  # noqa: S301 (our own)

    def test_other_spellings_are_written_in_one_form(self) -> None:
        value = uuid4()
        for spelling in (str(value).upper(), value.hex, value.urn, f"{{{value}}}"):
            assert bind(Uuid())(spelling) == str(value)
            assert result(Uuid())(spelling) == value

    def test_class_of_the_driver_becomes_the_plain_one(self) -> None:
        class DriverUUID(UUID):
            pass

        value = uuid4()
        found = result(Uuid(), POSTGRESQL)(DriverUUID(value.hex))
        assert (type(found), found) == (UUID, value)

    @pytest.mark.parametrize("value", ["", "no uuid", "x" * 36])
    def test_what_is_no_uuid_is_an_error(self, value: str) -> None:
        with pytest.raises(ValueError, match=r"UUID|literal"):
            bind(Uuid())(value)
        with pytest.raises(ValueError, match=r"UUID|literal"):
            result(Uuid())(value)


class TestEnumerated:
    def test_member_comes_back_and_stored_text_is_plain(self) -> None:
        stored = bind(Enumerated(Colour))(Colour.RED)
        assert (type(stored), stored) == (str, "red")
        assert result(Enumerated(Colour))("red") is Colour.RED

    def test_text_of_a_member_is_written_like_the_member(self) -> None:
        assert bind(Enumerated(Colour))("blue") == "blue"

    def test_unknown_text_comes_back_as_it_is(self) -> None:
        found = result(Enumerated(Colour))("green")
        assert (type(found), found) == (str, "green")


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize("column_type", [Text(), UtcDateTime(), Uuid(), Json(), Enumerated(Colour), Real()], ids=str)
def test_null_stays_null(column_type: TypeEngine[Any], dialect: Any) -> None:
    assert bind(column_type, dialect)(None) is None
    assert result(column_type, dialect)(None) is None


def test_wrong_types_are_errors() -> None:
    for column_type, value in ((Text(), 5), (UtcDateTime(), "2025-01-01"), (Json(), {1, 2})):
        with pytest.raises((TypeError, AttributeError)):
            bind(column_type)(value)


async def test_malformed_json_in_the_database_comes_back_as_text(sqlite_url: str) -> None:
    engine = create_engine(resolve_url(sqlite_url), DatabaseSettings(), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(TABLE.create)
            await connection.execute(text("INSERT INTO of_a_test (value) VALUES ('{''a'': 1}'), ('[1]')"))
            assert (await connection.execute(select(TABLE.c.value))).scalars().all() == ["{'a': 1}", [1]]
    finally:
        await engine.dispose()


def test_types_tell_what_their_values_are_in_python() -> None:
    types = {BigInt: int, Real(): float, Text(): str, UtcDateTime(): datetime, Uuid(): UUID, Enumerated(Colour): Colour}
    assert {column_type.python_type for column_type in types} == set(types.values())
