"""What comes out of a verb is what an `AsyncSession` would have loaded, detached."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import InvalidRequestError

from agent_system.models import Agent
from agent_system.testing.factories import Factories

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager
    from agent_system.managers.core.base import Manager

ATTRIBUTES = (
    "agents", "tools", "tasks", "context_documents", "processes", "process_instances", "events", "relations", "users",
    "identities", "projects", "workspaces", "conversations", "messages", "hosts", "models", "token_usage", "tool_usage",
    "memories",
    "agent_status", "files", "documents", "reviews", "opportunities", "effectiveness", "knowledge_gaps",
    "knowledge_usage",
    "prompts", "capabilities", "config", "flags", "logs", "todos", "goals",
)  # fmt: skip


async def created(manager: Manager[Any], row: Any) -> Any:
    del manager
    return row


async def found_by_id(manager: Manager[Any], row: Any) -> Any:
    return await manager.get_by_id(row.id)


async def found_by_values(manager: Manager[Any], row: Any) -> Any:
    return await manager.find_one(id=row.id)


async def listed(manager: Manager[Any], row: Any) -> Any:
    return (await manager.list({"id": row.id})).items[0]


async def updated(manager: Manager[Any], row: Any) -> Any:
    return await manager.update(row.id, {"meta": {"n": 2}})


async def upserted(manager: Manager[Any], row: Any) -> Any:
    data = {key: getattr(row, key) for key in ("id", *_required(manager))}
    return await manager.upsert(data | {"meta": {"n": 3}}, on=("id",))


def _required(manager: Manager[Any]) -> list[str]:
    fields = manager.entity.model_fields
    return [key for key, field in fields.items() if field.is_required() and key not in manager.store.validator.derived]


WAYS = (created, found_by_id, found_by_values, listed, updated, upserted)


@pytest.fixture
def factories(em: EntityManager) -> Factories:
    return Factories(em)


@pytest.fixture(params=ATTRIBUTES)
def attribute(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def loaded(database: DatabaseManager, manager: Manager[Any], key: Any) -> Any:
    async with database.session(read_only=True) as session:
        return await session.get(manager.entity, key)


def state(row: Any) -> dict[str, Any]:
    """Everything about an instance that its users could meet."""
    about: Any = inspect(row)
    return {
        "class": type(row),
        "dump": row.model_dump(),
        "set": row.model_dump(exclude_unset=True),
        "json": json.loads(row.model_dump_json()),
        "values": {key: (type(value), value) for key, value in row.__dict__.items() if key != "_sa_instance_state"},
        "identity": about.identity,
        "key": about.key,
        "is detached": (about.detached, about.transient, about.persistent, about.pending),
        "is modified": about.modified,
        "not loaded": about.unloaded,
    }


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_a_row_is_what_a_session_would_have_loaded(
    database: DatabaseManager,
    factories: Factories,
    attribute: str,
    way: Callable[[Manager[Any], Any], Awaitable[Any]],
) -> None:
    manager = factories.manager(attribute)
    row = await way(manager, await factories.create(attribute, meta={"n": 1}))
    ours, theirs = state(row), state(await loaded(database, manager, row.id))
    for name, value in theirs.items():
        assert ours[name] == value, name


async def test_a_row_can_be_copied_and_pickled(factories: Factories, attribute: str) -> None:
    row = await factories.create(attribute, meta={"nested": [1]})
    for other in (pickle.loads(pickle.dumps(row)), copy.deepcopy(row), copy.copy(row)):  # noqa: S301 (our own)
        assert type(other) is type(row)
        assert other.model_dump() == row.model_dump()
    deep = copy.deepcopy(row)
    deep.meta["nested"].append(2)
    assert row.meta == {"nested": [1]}


async def test_a_row_can_go_into_a_session(database: DatabaseManager, factories: Factories, attribute: str) -> None:
    manager = factories.manager(attribute)
    row = await factories.create(attribute)
    async with database.session() as session:
        merged = await session.merge(row)
        assert not session.is_modified(merged)
        merged.meta = {"by": "merge"}
        await session.commit()
    row = await manager.require(row.id)
    assert row.meta == {"by": "merge"}
    async with database.session() as session:
        session.add(row)
        assert row in session
        row.meta = {"by": "add"}
        await session.commit()
    assert (await manager.require(row.id)).meta == {"by": "add"}
    async with database.session() as session:
        await session.delete(await session.merge(row))
        await session.commit()
    assert await manager.get_by_id(row.id) is None


async def test_a_relation_that_was_not_asked_for_is_an_error_and_no_query(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a"})
    for row in (agent, await em.agents.require(agent.id)):
        with pytest.raises(InvalidRequestError):
            _ = row.tools
    (row,) = (await em.agents.list(include=("tools",))).items
    assert row.tools == []


async def test_rows_share_nothing_with_the_data_or_each_other(em: EntityManager) -> None:
    data: dict[str, Any] = {"name": "a", "capabilities": [], "meta": {}, "configuration": {"list": []}}
    first = await em.agents.create(data)
    second = await em.agents.create(data | {"name": "b"})
    for row in (first, second):
        row.capabilities.append("changed")
        row.meta["changed"] = True
        row.configuration["list"].append("changed")
        row.permissions["changed"] = True
    assert data == {"name": "a", "capabilities": [], "meta": {}, "configuration": {"list": []}}
    third = await em.agents.create({"name": "c"})
    assert (third.capabilities, third.meta, third.permissions) == ([], {}, {})
    found = await em.agents.require(first.id)
    assert (found.capabilities, found.meta) == ([], {})
    again = await em.agents.require(first.id)
    found.meta["changed"] = True
    assert again.meta == {}
    changes: dict[str, Any] = {"meta": {}, "capabilities": []}
    updated_row = await em.agents.update(first.id, changes)
    updated_row.meta["changed"] = True
    updated_row.capabilities.append("changed")
    assert changes == {"meta": {}, "capabilities": []}


async def test_a_given_instance_is_left_as_it_was(em: EntityManager) -> None:
    given = Agent(name="a", meta={})
    before = given.model_dump()
    row = await em.agents.create(given)
    row.meta["changed"] = True
    about: Any = inspect(given)
    assert about.transient
    assert given.model_dump() == before
