"""What bad input gets, column by column on every manager: the error that names the field, and nothing written."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from agent_system.errors import (
    CheckError,
    DuplicateKeyError,
    ForeignKeyError,
    NotFoundError,
    ValidationError,
)
from agent_system.models.columns import Enumerated, Json, Text
from agent_system.testing.factories import Factories
from tests import requirements as requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager
    from agent_system.managers.core.base import Manager

ATTRIBUTES = (
    "agents", "tools", "tasks", "context_documents", "processes", "process_instances", "events", "relations", "users",
    "identities", "projects", "workspaces", "conversations", "messages", "hosts", "models", "token_usage", "tool_usage",
    "agent_status", "files", "documents", "reviews", "opportunities", "effectiveness", "knowledge_gaps",
    "knowledge_usage",
)  # fmt: skip
ODD_TEXTS = ("\0", "a\0b", "\ud800", "\udc00\ud800", "\U0010fffd", "\U0010fffd0", "'; DROP TABLE agents; --", "é😀")
NAIVE = datetime(2026, 5, 1, 12)  # noqa: DTZ001 (that is what is refused)
# References that are no foreign key error: an author who is not known gets an identity.
MADE_WHEN_MISSING = {("messages", "user_id")}
# Keys of any entity: a number is as good as its text.
KEYS_AS_THEY_ARE = {
    ("effectiveness", "entity_id"),
    ("events", "entity_id"),
    ("opportunities", "entity_id"),
    ("relations", "source_id"),
    ("relations", "target_id"),
    ("reviews", "entity_id"),
}


@pytest.fixture
def factories(em: EntityManager) -> Factories:
    return Factories(em)


@pytest.fixture(params=ATTRIBUTES)
def attribute(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def manager(factories: Factories, attribute: str) -> Manager[Any]:
    return factories.manager(attribute)


def writable(manager: Manager[Any], wanted: Callable[[Any], bool] = lambda _: True) -> Iterator[str]:
    """Yield the columns that a caller may write."""
    hidden = manager.plans.computed | manager.store.validator.derived.keys() | manager.kept
    for key, column in manager.plans.columns.items():
        if key not in hidden and wanted(column):
            yield key


WRONG: dict[type, list[Any]] = {
    datetime: [NAIVE, "2026-05-01T12:00:00Z", 1_700_000_000, NAIVE.date()],
    bool: ["true", 1, [True]],
    UUID: ["no uuid", 7, b"bytes"],
    int: ["7", 7.5, True, 2**63, -(2**63) - 1, [7]],
    float: ["7.5", float("nan"), float("inf"), float("-inf"), True],
    str: [7, b"bytes", ["text"], object()],
}


def wrong_values(manager: Manager[Any], key: str) -> list[Any]:
    """Values of wrong types for a column."""
    column = manager.plans.columns[key]
    if isinstance(column.type, Enumerated):
        return ["no such member", 7, {"a": 1}]
    if isinstance(column.type, Json):
        # A column for any JSON refuses what JSON does not know; one for objects or lists also other JSON.
        is_any = manager.entity.model_fields[key].annotation is Any
        return [object(), {"x": object()}, {"x": float("nan")}, [b"bytes"], *([] if is_any else [float("inf")])]
    return WRONG[column.type.python_type]


async def written(manager: Manager[Any]) -> list[dict[str, Any]]:
    return [row.model_dump() for row in await manager.find()]


async def test_unknown_fields_are_refused(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    row = await factories.create(attribute)
    data = await factories.data(attribute)
    before = await written(manager)
    for attempt in (
        manager.create(data | {"nmae": 1}),
        manager.create_many([data, data | {"nmae": 1}]),
        manager.update(row.id, {"nmae": 1}),
        manager.upsert(data | {"nmae": 1}, on=tuple(data)),
    ):
        with pytest.raises(ValidationError, match="nmae: unknown field") as caught:
            await attempt
        assert caught.value.field == "nmae"
    for nothing in ({}, 7, [1], "name", None):
        with pytest.raises(ValidationError):
            await manager.update(row.id, nothing)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        await manager.create(None)  # type: ignore[arg-type]
    assert await written(manager) == before


async def test_required_fields_are_named(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    data = await factories.data(attribute)
    before = await written(manager)
    for key in writable(manager):
        field = manager.entity.model_fields[key]
        if field.is_required() and key in data:
            rest = {name: value for name, value in data.items() if name != key}
            with pytest.raises(ValidationError, match=f"{key}: is required"):
                await manager.create(rest)
            with pytest.raises(ValidationError) as caught:
                await manager.create(data | {key: None})
            assert caught.value.field == key
    assert await written(manager) == before


async def test_wrong_types_are_refused_in_every_column(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    row = await factories.create(attribute)
    data = await factories.data(attribute)
    before = await written(manager)
    changeable = manager.store.validator.changeable
    for key in writable(manager):
        for value in wrong_values(manager, key):
            if (attribute, key) in KEYS_AS_THEY_ARE and value == 7:
                continue
            with pytest.raises(ValidationError) as caught:
                await manager.create(data | {key: value})
            assert caught.value.field == key, (key, value)
            with pytest.raises(ValidationError) as caught:
                await manager.update(row.id, {key: value})
            assert caught.value.field == key, (key, value)
        if key not in changeable:
            with pytest.raises(ValidationError, match="cannot be"):
                await manager.update(row.id, {key: data.get(key)})
    assert await written(manager) == before


async def test_what_the_layer_keeps_cannot_be_written(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    row = await factories.create(attribute)
    data = await factories.data(attribute)
    kept = manager.plans.computed | manager.store.validator.derived.keys() | manager.kept
    for key in kept:
        for attempt in (manager.create(data | {key: 1}), manager.update(row.id, {key: 1})):
            with pytest.raises(ValidationError, match=f"{key}: is kept by the layer"):
                await attempt
    with pytest.raises(ValidationError, match="id: cannot be changed"):
        await manager.update(row.id, {"id": row.id})


async def test_missing_references_are_named(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    row = await factories.create(attribute)
    data = await factories.data(attribute)
    before = await written(manager)
    missing: dict[Any, Any] = {UUID: uuid4(), int: 10**9, str: "nobody"}
    for key in writable(manager, lambda column: bool(column.foreign_keys)):
        if (attribute, key) in MADE_WHEN_MISSING:
            continue
        value = missing[manager.plans.columns[key].type.python_type]
        other = await factories.data(attribute)
        attempts = [manager.create(data | {key: value}), manager.create_many([data, other | {key: value}])]
        if key in manager.store.validator.changeable:
            attempts.append(manager.update(row.id, {key: value}))
        for attempt in attempts:
            with pytest.raises((ForeignKeyError, NotFoundError)) as caught:
                await attempt
            if isinstance(caught.value, ForeignKeyError):
                assert caught.value.fields == (key,)
            assert str(value) in str(caught.value)
    assert await written(manager) == before


async def test_duplicates_name_the_field(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    row = await factories.create(attribute)
    other = await factories.data(attribute)
    before = await written(manager)
    with pytest.raises(DuplicateKeyError) as caught:
        await manager.create(other | {"id": row.id})
    assert caught.value.fields == ("id",)
    unique = {
        "agents": "name", "tools": "name", "users": "username", "projects": "name", "hosts": "name", "models": "name",
    }  # fmt: skip
    if attribute in unique:
        field = unique[attribute]
        name = getattr(row, field) if attribute == "models" else getattr(row, field).upper()
        attempts = [manager.create(other | {field: name}), manager.create_many([other, other | {field: name}])]
        for attempt in attempts:
            with pytest.raises(DuplicateKeyError) as caught:
                await attempt
            assert field in caught.value.fields
    assert await written(manager) == before


async def test_counters_are_not_negative(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    data = await factories.data(attribute)
    before = await written(manager)
    checked = {
        key
        for constraint in manager.plans.table.constraints
        for key in writable(manager)
        if str(constraint.name or "").endswith(f"_{key}") and f"{key} >= 0" in str(getattr(constraint, "sqltext", ""))
    }
    for key in checked:
        with pytest.raises((ValidationError, CheckError)) as caught:
            await manager.create(data | {key: -1})
        assert caught.value.field == key
    assert await written(manager) == before


async def test_any_text_comes_back_from_every_text_column(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    def is_free(column: Any) -> bool:
        return isinstance(column.type, Text) and not column.foreign_keys

    columns = list(writable(manager, is_free))
    for number, odd in enumerate(ODD_TEXTS):
        # The ends tell a text from its neighbours where it is unique, and survive a strip.
        values = {key: f"<{number}{odd}{key}>" for key in columns}
        row = await factories.create(attribute, **values)
        found = await manager.require(row.id)
        assert {key: getattr(found, key) for key in columns} == values
        for last in columns[-1:]:
            assert [each.id for each in await manager.find(**{last: values[last]})] == [row.id]
        changes = {key: value + "!" for key, value in values.items() if key in manager.store.validator.changeable}
        if changes:
            updated = await manager.update(row.id, changes)
            assert {key: getattr(updated, key) for key in changes} == changes
            assert (await manager.require(row.id)).model_dump() == updated.model_dump()


async def test_any_json_comes_back_from_every_json_column(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    def value_for(key: str) -> Any:
        odd = {f"key {odd}": [odd, None, True, 1, -1.5, 2**70, {"": odd}] for odd in ODD_TEXTS}
        annotation = str(manager.entity.model_fields[key].annotation)
        if annotation.startswith("list[str]"):
            return list(ODD_TEXTS)
        return [odd, []] if annotation.startswith("list") else odd

    values = {key: value_for(key) for key in writable(manager, lambda column: isinstance(column.type, Json))}
    row = await factories.create(attribute, **values)
    found = await manager.require(row.id)
    assert {key: getattr(row, key) for key in values} == values == {key: getattr(found, key) for key in values}


async def test_integers_to_the_last_bit(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    for key in writable(manager, lambda column: column.type.python_type is int and not column.foreign_keys):
        if key in {"id", "version", "attempt", "format_version"}:
            continue
        row = await factories.create(attribute, **{key: 2**63 - 1})
        assert getattr(await manager.require(row.id), key) == 2**63 - 1


@requires.untyped_columns
async def test_malformed_json_comes_back_as_its_text(
    database: DatabaseManager, factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    columns = list(writable(manager, lambda column: isinstance(column.type, Json)))
    row, other = await factories.create(attribute), await factories.create(attribute)
    table = manager.plans.table.name
    broken = '{"a": [1, '
    key_text = str(row.id) if isinstance(row.id, UUID) else row.id
    async with database.session() as session:
        connection = await session.connection()
        for key in columns:
            name = manager.plans.columns[key].name
            statement = text(f'UPDATE {table} SET "{name}" = :broken WHERE id = :id')
            await connection.execute(statement, {"broken": broken, "id": key_text})
        await session.commit()
    found = await manager.require(row.id)
    assert {getattr(found, key) for key in columns} == {broken}
    assert {each.id for each in (await manager.list()).items} >= {row.id, other.id}
    assert found.model_dump()[columns[0]] == broken
    # The others can be changed, and the broken one is mended by writing it whole.
    for key in columns:
        if key in manager.store.validator.changeable:
            value: Any = [] if isinstance(getattr(other, key), list) else {}
            mended = await manager.update(row.id, {key: value})
            assert getattr(mended, key) == value
    assert await manager.delete(row.id)


async def test_wrong_filters_and_orders_are_refused(manager: Manager[Any]) -> None:
    for attempt in (
        manager.find(nmae=1),
        manager.find_one(nmae=1),
        manager.count(nmae=1),
        manager.exists(nmae=1),
        manager.list({"nmae": 1}),
        manager.list(order_by="nmae"),
        manager.list(order_by="--id"),
        manager.list(order_by="-"),
        manager.list(order_by="meta"),
        manager.list(where="id = 1"),  # type: ignore[arg-type]
        manager.find(meta={"a": 1}),
        manager.find(created_at=NAIVE),
        manager.find(created_at="yesterday"),
    ):
        with pytest.raises(ValidationError):
            await attempt


async def test_json_that_json_does_not_know_is_refused(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a"})
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    circle: dict[str, Any] = {}
    circle["self"] = circle
    for value in ({"deep": deep}, circle, {1: 2, "x": {1, 2}}):
        for attempt in (em.agents.update(agent.id, {"meta": value}), em.agents.create({"name": "b", "meta": value})):
            with pytest.raises(ValidationError) as caught:
                await attempt
            assert caught.value.field == "meta"
    assert await written(em.agents) == [agent.model_dump()]


class _Other(StrEnum):
    IDLE = "idle"


async def test_a_member_of_another_enumeration_is_taken_by_its_text(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a", "status": _Other.IDLE})
    assert type(agent.status).__name__ == "AgentStatus"
    assert json.loads(json.dumps(agent.status)) == "idle"
