"""The verbs that every manager has, on every manager."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import inspect

from agent_system.entity_manager import EntityManager
from agent_system.errors import ConflictError, NotFoundError, ValidationError
from agent_system.managers.core.base import Manager
from agent_system.testing.factories import Factories
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database.manager import DatabaseManager

ATTRIBUTES = (
    "agents", "tools", "tasks", "context_documents", "processes", "process_instances", "events", "relations", "users",
    "identities", "projects", "workspaces", "conversations", "messages", "hosts", "models", "token_usage", "tool_usage",
    "agent_status", "files", "documents", "reviews", "opportunities", "effectiveness", "knowledge_gaps",
    "knowledge_usage",
    "queue", "effects", "promises", "chat_states", "model_prices",
    "budgets",
    "message_feedback",
    "memories",
    "budgets", "credits", "alerts", "model_usage", "links", "games",
    "prompts", "capabilities", "config", "flags", "logs", "todos", "goals",
)  # fmt: skip
UNIQUE = {
    "agents", "tools", "users", "identities", "projects", "hosts", "models", "relations", "budgets",
    "message_feedback",
    "links", "games",
    "prompts", "capabilities", "config", "flags",
}  # fmt: skip
KEYLESS = "no such id"


@pytest.fixture
def factories(em: EntityManager) -> Factories:
    return Factories(em)


@pytest.fixture(params=ATTRIBUTES)
def attribute(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def manager(factories: Factories, attribute: str) -> Manager[Any]:
    return factories.manager(attribute)


def test_every_manager_of_the_facade_is_tested() -> None:
    facade = EntityManager.__new__(EntityManager)
    EntityManager.__init__(facade, None)  # type: ignore[arg-type]
    assert {name for name, value in vars(facade).items() if isinstance(value, Manager)} == set(ATTRIBUTES)
    assert set(Factories(facade).attributes) == set(ATTRIBUTES)


async def test_a_created_row_is_found_again_as_it_was_returned(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    elsewhere = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=7)))
    created = await factories.create(attribute, metadata={"a": (1, None)}, created_at=elsewhere)
    assert type(created) is manager.entity
    found = await manager.get_by_id(created.id)
    assert found is not None
    assert found.model_dump() == created.model_dump()
    assert (await manager.require(created.id)).model_dump() == created.model_dump()
    assert (found.meta, found.created_at, found.created_at.tzinfo) == ({"a": [1, None]}, elsewhere, UTC)


async def test_an_instance_is_accepted_like_a_mapping(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    data = await factories.data(attribute)
    created = await manager.create(manager.entity(**data))
    assert {key: getattr(created, key) for key in data} == data
    assert (await manager.require(created.id)).model_dump() == created.model_dump()


async def test_create_many_keeps_the_order(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    data = [await factories.data(attribute, meta={"n": n}) for n in range(5)]
    rows = await manager.create_many(iter(data))
    assert [row.meta["n"] for row in rows] == list(range(5))
    assert list(await manager.get_many(row.id for row in rows)) == [row.id for row in rows]
    assert await manager.create_many([]) == []


async def test_create_many_writes_all_or_nothing(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    before = await manager.count()
    good, bad = await factories.data(attribute), await factories.data(attribute, meta="no object")
    between = await manager.count()
    with pytest.raises(ValidationError, match="meta"):
        await manager.create_many([good, bad])
    assert await manager.count() == between >= before


async def test_get_many_leaves_out_what_is_not_there(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    first, second = await factories.create(attribute), await factories.create(attribute)
    found = await manager.get_many([second.id, KEYLESS, first.id, second.id, None])
    assert list(found) == [second.id, first.id]
    assert found[first.id].model_dump() == first.model_dump()


async def test_what_is_not_there_is_none_or_an_error(manager: Manager[Any]) -> None:
    missing: list[Any] = [KEYLESS, None, 2**70, -1, uuid4(), object(), b"", 1.5]
    for key in missing:
        assert await manager.get_by_id(key) is None
        assert await manager.delete(key) is False
        with pytest.raises(NotFoundError) as caught:
            await manager.require(key)
        assert caught.value.entity_id is key
        with pytest.raises(NotFoundError):
            await manager.update(key, {"meta": {"changed": True}})


async def test_rows_are_found_and_counted_by_values(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    await factories.data(attribute)
    before = await manager.count()
    rows = [await factories.create(attribute) for _ in range(3)]
    assert await manager.count() == before + 3
    assert await manager.count(id=rows[1].id) == 1
    assert await manager.exists(id=rows[1].id)
    assert not await manager.exists(id=rows[1].id, created_at=datetime(1999, 1, 1, tzinfo=UTC))
    assert [row.id for row in await manager.find(id=rows[1].id)] == [rows[1].id]
    found = [row.id for row in await manager.find()]
    assert [key for key in found if key in {row.id for row in rows}] == sorted(row.id for row in rows)
    one = await manager.find_one(id=rows[2].id)
    assert one is not None
    assert one.model_dump() == rows[2].model_dump()
    assert await manager.find_one(id=rows[2].id, created_at=datetime(1999, 1, 1, tzinfo=UTC)) is None
    with pytest.raises(ValidationError, match="nmae"):
        await manager.find(nmae="x")


async def test_update_changes_what_is_named(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    row, other = await factories.create(attribute), await factories.create(attribute)
    updated = await manager.update(row.id, {"meta": {"a": [1, None, "ü"]}})
    assert updated.meta == {"a": [1, None, "ü"]}
    assert (await manager.require(row.id)).model_dump() == updated.model_dump()
    changed = {key for key, value in row.model_dump().items() if updated.model_dump()[key] != value}
    assert {"meta"} <= changed <= {"meta", "updated_at", "version"}
    assert (await manager.require(other.id)).model_dump() == other.model_dump()
    assert row.meta == {}
    # The column is called metadata, the attribute cannot be.
    assert (await manager.update(row.id, {"metadata": {"by": "column"}})).meta == {"by": "column"}


async def test_update_expects_a_version(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    row = await factories.create(attribute)
    if "version" not in type(row).model_fields:
        with pytest.raises(ValidationError, match="no version to expect"):
            await manager.update(row.id, {"meta": {}}, expected_version=1)
        return
    assert row.version == 1
    updated = await manager.update(row.id, {"meta": {"n": 2}}, expected_version=1)
    # Of a row with a history the version counts the contents.
    version = 2 if manager.store.counts_changes else 1
    assert updated.version == version
    with pytest.raises(ConflictError) as caught:
        await manager.update(row.id, {"meta": {"n": 3}}, expected_version=version - 1)
    assert (caught.value.expected_version, caught.value.actual_version) == (version - 1, version)
    assert caught.value.entity_id == row.id
    with pytest.raises(NotFoundError):
        await manager.update(KEYLESS, {"meta": {}}, expected_version=1)
    assert (await manager.require(row.id)).meta == {"n": 2}


async def test_of_many_updates_at_one_version_only_one_succeeds(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    row = await factories.create(attribute)
    if not manager.store.counts_changes:
        return
    changes = [manager.update(row.id, {"meta": {"n": n}}, expected_version=1) for n in range(8)]
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 7
    assert (await manager.require(row.id)).version == 2


async def test_upsert_inserts_once_and_then_changes(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    data = await factories.data(attribute, meta={"n": 1})
    on = tuple(key for key in data if key != "meta")
    count = await manager.count()
    first = await manager.upsert(data, on=on)
    second = await manager.upsert(data | {"meta": {"n": 2}}, on=on)
    third = await manager.upsert({key: value for key, value in data.items() if key != "meta"}, on=on)
    assert first.id == second.id == third.id
    assert (first.meta, second.meta, third.meta) == ({"n": 1}, {"n": 2}, {"n": 2})
    assert await manager.count() == count + 1
    with pytest.raises(ValidationError, match="nmae"):
        await manager.upsert(data, on=("nmae",))


async def test_racing_upserts_make_one_row(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    data = await factories.data(attribute)
    # Only what is unique can be held by the database against a race.
    if attribute not in UNIQUE:
        return
    rows = await asyncio.gather(*(manager.upsert(data, on=tuple(data)) for _ in range(6)))
    assert len({row.id for row in rows}) == 1


async def test_delete_tells_whether_there_was_something(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    row, other = await factories.create(attribute), await factories.create(attribute)
    assert await manager.delete(row.id) is True
    assert await manager.delete(row.id) is False
    assert await manager.get_by_id(row.id) is None
    assert await manager.exists(id=other.id)


async def test_iter_yields_every_row(factories: Factories, manager: Manager[Any], attribute: str) -> None:
    rows = [await factories.create(attribute) for _ in range(7)]
    seen = [row.id async for row in manager.iter(batch=3)]
    assert len(seen) == len(set(seen)) == await manager.count()
    assert {row.id for row in rows} <= set(seen)
    backwards = [row.id async for row in manager.iter(order_by="-id", batch=2)]
    assert backwards == seen[::-1]


async def test_no_reading_verb_sends_a_statement_per_row(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    rows = [await factories.create(attribute) for _ in range(4)]
    everything = await manager.count()
    verbs: dict[str, Callable[[], Awaitable[Any]]] = {
        "get_by_id": lambda: manager.get_by_id(rows[0].id),
        "require": lambda: manager.require(rows[0].id),
        "get_many": lambda: manager.get_many([row.id for row in rows]),
        "find": manager.find,
        "find_one": lambda: manager.find_one(id=rows[0].id),
        "list": lambda: manager.list(limit=everything),
        "count": manager.count,
        "exists": manager.exists,
    }
    for name, verb in verbs.items():
        with recorded_statements() as statements:
            await verb()
        assert len(statements) <= 1, name
    mapper: Any = inspect(manager.entity)
    for relation in mapper.relationships:
        with recorded_statements() as statements:
            await manager.list(limit=everything, include=(relation.key,))
        assert len(statements) <= 2, relation.key


async def test_list_filters_by_a_mapping_and_by_expressions(
    factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    rows = [await factories.create(attribute) for _ in range(3)]
    entity: Any = manager.entity
    for where in ({"id": rows[0].id}, entity.id == rows[0].id, [entity.id == rows[0].id, entity.meta.is_not(None)]):
        page = await manager.list(where)
        assert [row.id for row in page.items] == [rows[0].id]
        assert page.next_cursor is None
    with pytest.raises(ValidationError, match="limit"):
        await manager.list(limit=0)
    with pytest.raises(ValidationError, match="relation"):
        await manager.list(include=("nothing",))


async def test_everything_in_a_transaction_is_taken_back_with_it(
    database: DatabaseManager, factories: Factories, manager: Manager[Any], attribute: str
) -> None:
    kept = await factories.create(attribute)
    data = [await factories.data(attribute) for _ in range(3)]
    count = await manager.count()

    async def change_everything() -> None:
        async with database.transaction():
            created = await manager.create(data[0])
            await manager.create_many(data[1:])
            await manager.update(kept.id, {"meta": {"changed": True}})
            await manager.delete(created.id)
            assert await manager.count() == count + 2
            raise KeyError(attribute)

    with pytest.raises(KeyError):
        await change_everything()
    assert await manager.count() == count
    assert (await manager.require(kept.id)).model_dump() == kept.model_dump()
