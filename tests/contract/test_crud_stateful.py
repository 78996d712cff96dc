"""The verbs in any order do to the table what they do to a dictionary."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.errors import ConflictError, DuplicateKeyError, NotFoundError
from agent_system.models.naming import name_key
from agent_system.types import LifecycleStatus

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from agent_system.models import Tool

STEPS = 25
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
# Few names, so that they meet: some are the same name in another spelling.
NAMES = st.sampled_from(["a", "A", " a", "b", "straße", "STRASSE", "\0", "\ud800", "é", "e\u0301", "c", "d", "e", "f"])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "description": st.none() | TEXTS,
    "category": TEXTS,
    "permissions": st.lists(TEXTS, max_size=3),
    "parameters": st.dictionaries(TEXTS, JSON, max_size=3),
    "meta": st.dictionaries(TEXTS, JSON, max_size=2),
    "requires_validation": st.booleans(),
    "status": st.sampled_from(LifecycleStatus),
    "last_used_at": st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(1000, 1, 1)),  # noqa: DTZ001
}
CHANGES = st.fixed_dictionaries({}, optional=FIELDS).filter(bool)
DATA = st.fixed_dictionaries({"name": NAMES}, optional=FIELDS)


class Tools(RuleBasedStateMachine):
    """Does everything twice: to the table and to a dictionary of rows by their keys."""

    url: str
    keys: Bundle[UUID] = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        # Every machine has a loop of its own, as hypothesis calls it from no running one.
        self.runner = asyncio.Runner()
        self.rows: dict[UUID, dict[str, Any]] = {}
        self.db = DatabaseManager(self.url, auto_migrate=False)
        self.em = EntityManager(self.db)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @initialize()
    def connect(self) -> None:
        self.run(self.db.connect())

    def teardown(self) -> None:
        if self.db.is_connected:
            self.run(self._empty())
            self.run(self.db.disconnect())
        self.runner.close()

    async def _empty(self) -> None:
        for key in [row.id for row in await self.em.tools.find()]:
            await self.em.tools.delete(key)
        assert await self.em.tools.count() == 0

    # What the dictionary says will happen.

    def owner_of(self, name: str) -> UUID | None:
        return next((key for key, row in self.rows.items() if row["name_key"] == name_key(name)), None)

    def keep(self, row: Tool, given: dict[str, Any]) -> UUID:
        for field, value in given.items():
            assert getattr(row, field) == value, field
        self.rows[row.id] = row.model_dump()
        return row.id

    # The verbs.

    @rule(target=keys, data=DATA)
    def create(self, data: dict[str, Any]) -> Any:
        if self.owner_of(data["name"]) is None:
            row = self.run(self.em.tools.create(data))
            assert row.version == 1
            return self.keep(row, data)
        with pytest.raises(DuplicateKeyError) as caught:
            self.run(self.em.tools.create(data))
        assert caught.value.fields == ("name",)
        return multiple()

    @rule(target=keys, many=st.lists(DATA, max_size=3))
    def create_many(self, many: list[dict[str, Any]]) -> Any:
        names = [name_key(data["name"]) for data in many]
        if len(set(names)) == len(names) and all(self.owner_of(name) is None for name in names):
            rows = self.run(self.em.tools.create_many(many))
            return multiple(*(self.keep(row, data) for row, data in zip(rows, many, strict=True)))
        with pytest.raises(DuplicateKeyError):
            self.run(self.em.tools.create_many(many))
        return multiple()

    @rule(key=keys, changes=CHANGES)
    def update(self, key: UUID, changes: dict[str, Any]) -> None:
        before = self.rows[key]
        row = self.run(self.em.tools.update(key, changes, expected_version=before["version"]))
        assert row.version == before["version"] + 1
        untouched = row.model_dump().keys() - changes.keys() - {"version", "updated_at"}
        assert {field: getattr(row, field) for field in untouched} == {field: before[field] for field in untouched}
        self.keep(row, changes)
        with pytest.raises(ConflictError):
            self.run(self.em.tools.update(key, changes, expected_version=before["version"]))

    @rule(key=keys, name=NAMES)
    def rename(self, key: UUID, name: str) -> None:
        if self.owner_of(name) in {None, key}:
            self.keep(self.run(self.em.tools.update(key, {"name": name})), {"name": name})
            return
        with pytest.raises(DuplicateKeyError):
            self.run(self.em.tools.update(key, {"name": name}))

    @rule(target=keys, data=DATA)
    def upsert(self, data: dict[str, Any]) -> Any:
        owner = self.owner_of(data["name"])
        row = self.run(self.em.tools.upsert(data, on=("name",)))
        if owner is None:
            return self.keep(row, data)
        assert row.id == owner
        # The name by which it was found stays as it was spelt.
        self.keep(row, {field: value for field, value in data.items() if field != "name"})
        assert row.name_key == name_key(data["name"])
        return multiple()

    @rule(key=consumes(keys))
    def delete(self, key: UUID) -> None:
        assert self.run(self.em.tools.delete(key)) is True
        del self.rows[key]
        assert self.run(self.em.tools.delete(key)) is False
        assert self.run(self.em.tools.get_by_id(key)) is None
        with pytest.raises(NotFoundError):
            self.run(self.em.tools.update(key, {"description": "x"}))

    @rule(key=keys, data=DATA, changes=CHANGES)
    def change_in_vain(self, key: UUID, data: dict[str, Any], changes: dict[str, Any]) -> None:
        async def work() -> None:
            async with self.db.transaction():
                await self.em.tools.update(key, changes)
                if self.owner_of(data["name"]) is None:
                    await self.em.tools.create(data)
                await self.em.tools.delete(key)
                raise KeyError(key)

        with pytest.raises(KeyError):
            self.run(work())

    @rule(key=keys)
    def read(self, key: UUID) -> None:
        row = self.rows[key]
        assert self.run(self.em.tools.require(key)).model_dump() == row
        assert list(self.run(self.em.tools.get_many([uuid4(), key]))) == [key]
        assert self.run(self.em.tools.exists(name=row["name"]))
        same = {other for other, values in self.rows.items() if values["category"] == row["category"]}
        assert {found.id for found in self.run(self.em.tools.find(category=row["category"]))} == same
        assert self.run(self.em.tools.count(category=row["category"])) == len(same)

    @rule(column=st.sampled_from(["id", "-id", "description", "-description", "last_used_at", "-last_used_at"]))
    def page(self, column: str) -> None:
        async def work() -> list[dict[str, Any]]:
            return [row.model_dump() async for row in self.em.tools.iter(order_by=column, batch=2)]

        rows = self.run(work())
        assert {row["id"]: row for row in rows} == self.rows
        assert len(rows) == len(self.rows)

    @invariant()
    def the_table_is_the_dictionary(self) -> None:
        if self.db.is_connected:
            rows = self.run(self.em.tools.find())
            assert {row.id: row.model_dump() for row in rows} == self.rows


@pytest.mark.timeout(900)
def test_the_verbs_do_what_a_dictionary_does(migrated_url: str) -> None:
    machine = type("ToolsHere", (Tools,), {"url": migrated_url})
    examples = max(settings.default.max_examples // 2, 1) if settings.default is not None else 1
    run_machine(machine, settings=settings(settings.default, max_examples=examples, stateful_step_count=STEPS))
