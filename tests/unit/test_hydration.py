"""Rows into instances, by themselves: what the generated function does with the values of a row."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import pytest
from sqlalchemy import Column, Integer, MetaData, String, inspect
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.orm import registry
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from agent_system.database.hydration import Hydrator
from agent_system.models import Agent, AgentTool, Message
from agent_system.types import AgentStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect

SQLITE, POSTGRESQL = SQLiteDialect_aiosqlite(), PGDialect_asyncpg()


class Shouting(TypeDecorator[str]):
    """Comes back in capitals; NULL must never get here."""

    impl = String
    cache_ok = True
    seen: ClassVar[list[Any]] = []

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:  # noqa: ARG002 (a hook)
        def process(value: Any) -> Any:
            self.seen.append(value)
            return value.upper()

        return process


class Base(SQLModel, registry=registry(metadata=MetaData())):
    """Keeps the tests' tables apart from ours."""


class Odd(Base, table=True):
    """A table whose columns are not called as its attributes are."""

    class_: str | None = Field(default=None, sa_column=Column("class", Shouting))
    meta: str | None = Field(default=None, sa_column=Column("metadata", String))
    number: int = Field(sa_column=Column("no. 1", Integer, primary_key=True))


class Small(Base, table=True):
    """A table of one column."""

    id: int = Field(primary_key=True)


@pytest.fixture
def odd() -> Hydrator[Odd]:
    Shouting.seen.clear()
    return Hydrator(Odd, SQLITE)


class TestDecoding:
    def test_values_come_under_the_names_of_the_attributes(self, odd: Hydrator[Odd]) -> None:
        assert odd.decode(("a", "b", 1)) == {"class_": "A", "meta": "b", "number": 1}

    def test_what_is_null_is_not_processed(self, odd: Hydrator[Odd]) -> None:
        assert odd.decode((None, None, 1)) == {"class_": None, "meta": None, "number": 1}
        assert not Shouting.seen

    def test_a_row_of_one_column(self) -> None:
        assert Hydrator(Small, SQLITE)((7,)).id == 7

    @pytest.mark.parametrize("row", [(), ("a", "b"), ("a", "b", 1, 2)])
    def test_a_row_of_another_length_is_refused(self, odd: Hydrator[Odd], row: tuple[Any, ...]) -> None:
        with pytest.raises(ValueError, match="values to unpack"):
            odd.decode(row)

    def test_processors_are_those_of_the_engine(self) -> None:
        key = UUID("0199a2b4-0000-7000-8000-000000000001")
        for dialect, stored in ((SQLITE, str(key)), (POSTGRESQL, key)):
            process = Hydrator(Agent, dialect).processor("id")
            assert process is not None
            assert process(stored) == key

    def test_columns_that_need_nothing_have_no_processor(self) -> None:
        assert Hydrator(Agent, SQLITE).processor("version") is None

    def test_an_attribute_that_is_not_there_has_none(self, odd: Hydrator[Odd]) -> None:
        with pytest.raises(KeyError):
            odd.processor("missing")

    def test_keys_are_in_the_order_of_the_table(self) -> None:
        columns = [column.name for column in Message.__table__.columns]  # type: ignore[attr-defined]
        keys = Hydrator(Message, SQLITE).keys
        assert ["metadata" if key == "meta" else key for key in keys] == columns


class TestInstances:
    def test_they_have_a_state_of_their_own(self, odd: Hydrator[Odd]) -> None:
        first, second = odd.all([("a", "b", 1), ("a", "b", 1)])
        assert inspect(first) is not inspect(second)
        assert inspect(first).key == inspect(second).key == (Odd, (1,), None)
        assert inspect(first).obj() is first
        assert inspect(first).detached

    def test_a_key_of_two_columns_is_in_the_order_of_the_key(self) -> None:
        hydrate = Hydrator(AgentTool, SQLITE)
        agent_id, tool_id = UUID(int=1), UUID(int=2)
        values = dict.fromkeys(hydrate.keys) | {"tool_id": tool_id, "agent_id": agent_id}
        assert inspect(hydrate.build(values)).identity == (agent_id, tool_id)

    def test_they_count_no_field_as_set(self, odd: Hydrator[Odd]) -> None:
        first, second = odd.all([("a", "b", 1), ("a", "b", 2)])
        assert first.model_fields_set == set()
        first.meta = "changed"
        assert first.model_fields_set == {"meta"}
        assert second.model_fields_set == set()

    def test_what_pydantic_keeps_beside_the_values_is_made_once_and_can_be_replaced(self, odd: Hydrator[Odd]) -> None:
        row = odd(("a", "b", 1))
        assert row.__pydantic_fields_set__ is row.__pydantic_fields_set__
        assert (row.__pydantic_extra__, row.__pydantic_private__) == (None, None)
        object.__setattr__(row, "__pydantic_fields_set__", {"meta"})
        assert row.model_fields_set == {"meta"}
        assert not hasattr(row, "nothing")

    def test_a_change_is_noticed(self, odd: Hydrator[Odd]) -> None:
        row = odd(("a", "b", 1))
        row.meta = "changed"
        assert inspect(row).attrs.meta.history.deleted == ["b"]

    def test_built_ones_do_not_share_the_dictionary_that_they_were_built_of(self, odd: Hydrator[Odd]) -> None:
        values = {"class_": "A", "meta": "b", "number": 1}
        row = odd.build(values)
        row.meta = "changed"
        assert values == {"class_": "A", "meta": "b", "number": 1}

    def test_relations_that_were_not_asked_for_are_not_loaded(self) -> None:
        hydrate = Hydrator(Agent, SQLITE)
        agent = hydrate.build(dict.fromkeys(hydrate.keys) | {"id": UUID(int=1), "status": AgentStatus.IDLE})
        assert "tools" in inspect(agent).unloaded

    def test_they_are_freed_without_the_collector(self, odd: Hydrator[Odd]) -> None:
        gc.disable()
        try:
            before = len(gc.get_objects())
            for number in range(1_000):
                odd(("a", "b", number))
            assert len(gc.get_objects()) - before < 100
        finally:
            gc.enable()


class TestPages:
    def test_rows_of_a_page_are_as_if_read_one_by_one(self, odd: Hydrator[Odd]) -> None:
        rows = [(word, meta, number) for number, (word, meta) in enumerate([("a", None), ("b", "c"), (None, "c")] * 9)]
        page = odd.all(iter(rows))
        assert [list(each.__dict__.items()) for each in page] == [list(odd.decode(row).items()) for row in rows]
        assert not any(each.model_fields_set for each in page)
        assert {inspect(each).key[1] for each in page} == {(number,) for number in range(len(rows))}

    def test_what_they_have_in_common_is_processed_once(self, odd: Hydrator[Odd]) -> None:
        assert {each.class_ for each in odd.all([("a", None, number) for number in range(50)])} == {"A"}
        assert Shouting.seen == ["a"]

    def test_what_can_be_changed_is_not_shared(self) -> None:
        hydrate = Hydrator(Message, SQLITE)
        row = ["{}" if key == "meta" else "1" * 32 if key == "uid" else None for key in hydrate.keys]
        first, *others = hydrate.all([row] * 50)
        assert first.meta == {}
        assert len(others) == 49
        assert all(each.meta == {} and each.meta is not first.meta for each in others)

    def test_numbers_of_different_types_are_not_taken_for_the_same(self, odd: Hydrator[Odd]) -> None:
        values = [1, 1.0, True] * 9
        metas: list[Any] = [each.meta for each in odd.all([("a", value, n) for n, value in enumerate(values)])]
        assert [type(each) for each in metas] == [type(value) for value in values]

    def test_a_row_of_another_length_is_refused(self, odd: Hydrator[Odd]) -> None:
        with pytest.raises(ValueError, match="zip"):
            odd.all([("a", "b", 1)] * 50 + [("a", "b")])

    def test_pages_that_differ_in_other_columns_than_those_before(self, odd: Hydrator[Odd]) -> None:
        first = odd.all([("a", "b", number) for number in range(20)])
        second = odd.all([(str(number), "b", number) for number in range(20)])
        third = odd.all([("c", str(number), number) for number in range(20)])
        assert [(each.class_, each.meta) for each in first] == [("A", "b")] * 20
        assert [(each.class_, each.meta) for each in second] == [(str(number), "b") for number in range(20)]
        assert [(each.class_, each.meta) for each in third] == [("C", str(number)) for number in range(20)]


class TestMoulds:
    @pytest.mark.parametrize(
        ("stored", "value"),
        [
            ("{}", {}),
            ("[]", []),
            ('{"a":1,"b":"c","d":null,"e":0.5}', {"a": 1, "b": "c", "d": None, "e": 0.5}),
            ('{"a":{"b":[1]}}', {"a": {"b": [1]}}),
            ('[[1],{"a":2}]', [[1], {"a": 2}]),
            ('"text"', "text"),
            ("not JSON", "not JSON"),
            (None, None),
        ],
    )
    def test_instances_are_as_if_read_one_by_one_and_share_nothing_that_can_change(
        self, stored: str | None, value: Any
    ) -> None:
        hydrate = Hydrator(Message, SQLITE)
        known = {"id": 1, "meta": stored, "uid": str(UUID(int=1)), "content": "x", "created_at": "2026-01-01 00:00:00"}
        row = [known.get(key) for key in hydrate.keys]
        mould = hydrate.mould(row)
        first, second = hydrate.another(mould), hydrate.another(mould)
        assert list(first.__dict__.items()) == list(hydrate(row).__dict__.items())
        assert first.model_fields_set == set()
        assert inspect(first).key == (Message, (1,), None)
        assert first.meta == value
        spoil(first.meta)
        assert second.meta == value
        assert hydrate.another(mould).meta == value


def spoil(value: Any) -> None:
    """Change everything in a value that can be changed."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        spoil(item)
    if isinstance(value, (dict, list)):
        value.clear()


def test_two_hydrators_do_not_mix() -> None:
    one, other = Hydrator(Odd, SQLITE), Hydrator(Small, SQLITE)
    assert (one(("a", "b", 1)).number, other((2,)).id, one(("a", "b", 3)).number) == (1, 2, 3)
