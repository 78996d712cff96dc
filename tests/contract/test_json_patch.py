"""Merge patches (RFC 7396) of JSON columns: applied by the database, exact on both engines, and nothing is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update

from agent_system.errors import ConflictError, NotFoundError, ValidationError
from agent_system.models import Agent, metadata
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

# Appendix A of the RFC, as far as document and patch are objects.
RFC = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
TEXTS = st.text(st.characters(exclude_categories=()), max_size=4) | st.sampled_from(
    ["\0", "\ud800", "\U0010fffd0", '"']
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.sampled_from(["a", "b", "c"]) | TEXTS
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


def merge(target: Any, patch: Any) -> Any:
    """Section 2 of the RFC."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


@pytest.mark.parametrize(("document", "patch", "expected"), RFC)
async def test_the_examples_of_the_rfc(em: EntityManager, document: Any, patch: Any, expected: Any) -> None:
    host = await em.hosts.create({"name": "h", "meta": document})
    patched = await em.hosts.patch(host.id, "metadata", patch)
    assert patched.meta == expected
    assert (await em.hosts.require(host.id)).model_dump() == patched.model_dump()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=OBJECTS, patch=OBJECTS)
async def test_any_patch_of_any_document(em: EntityManager, document: Any, patch: Any) -> None:
    host = await em.hosts.upsert({"name": "h", "meta": document}, on=("name",))
    patched = await em.hosts.patch(host.id, "meta", patch)
    expected = merge(document, patch)
    assert patched.meta == expected
    assert str(patched.meta) == str(expected)  # the order of the keys, and -0.0


async def test_a_patch_is_one_statement_that_carries_only_the_patch(em: EntityManager) -> None:
    host = await em.hosts.create({"name": "h", "meta": {"long": "x" * 10_000}})
    with recorded_statements() as statements:
        await em.hosts.patch(host.id, "meta", {"a": 1})
    assert len(statements) == 1
    assert "patch(" in statements[0]


async def test_many_writers_of_one_document_all_survive(em: EntityManager) -> None:
    host = await em.hosts.create({"name": "h", "meta": {"kept": {"there": True}}})
    await asyncio.gather(
        *(em.hosts.patch(host.id, "meta", {"kept": {f"k{n}": n}, f"k{n}": {"n": n}}) for n in range(64))
    )
    meta = (await em.hosts.require(host.id)).meta
    assert meta.pop("kept") == {"there": True} | {f"k{n}": n for n in range(64)}
    assert meta == {f"k{n}": {"n": n} for n in range(64)}


async def test_many_writers_of_an_audited_document_all_survive(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a", "configuration": {"kept": 1}})
    await asyncio.gather(*(em.agents.patch(agent.id, "configuration", {f"k{n}": n}) for n in range(64)))
    found = await em.agents.require(agent.id)
    assert found.configuration == {"kept": 1} | {f"k{n}": n for n in range(64)}
    assert found.version == 65
    events = await em.events.find(event_type="agent.updated")
    assert len(events) == 64
    sizes = sorted(len(event.after["configuration"]) for event in events)
    assert sizes == list(range(2, 66))


async def test_many_writers_of_preferences_all_survive(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada", "preferences": {"theme": "dark"}})
    await asyncio.gather(*(em.users.patch(user.id, "preferences", {"k": {f"k{n}": n}}) for n in range(64)))
    assert (await em.users.require(user.id)).preferences == {"theme": "dark", "k": {f"k{n}": n for n in range(64)}}


async def test_a_patch_expects_a_version(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a"})
    patched = await em.agents.patch(agent.id, "configuration", {"a": 1}, expected_version=1)
    assert patched.version == 2
    with pytest.raises(ConflictError):
        await em.agents.patch(agent.id, "configuration", {"a": 2}, expected_version=1)
    assert (await em.agents.require(agent.id)).configuration == {"a": 1}
    host = await em.hosts.create({"name": "h"})
    with pytest.raises(ValidationError, match="version"):
        await em.hosts.patch(host.id, "meta", {}, expected_version=1)


async def test_a_patch_of_nothing_there_is_an_error(em: EntityManager) -> None:
    with pytest.raises(NotFoundError):
        await em.hosts.patch(5, "meta", {"a": 1})
    with pytest.raises(NotFoundError):
        await em.agents.patch(uuid4(), "configuration", {"a": 1})


@pytest.mark.parametrize(
    ("column", "patch", "field"),
    [
        ("capabilities", {"a": 1}, "capabilities"),
        ("instruction", {"a": 1}, "instruction"),
        ("nothing", {"a": 1}, "nothing"),
        ("configuration", [1], "configuration"),
        ("configuration", {"a": float("nan")}, "configuration"),
        ("configuration", {"a": {1, 2}}, "configuration"),
    ],
    ids=str,
)
async def test_what_is_no_patch_is_refused(em: EntityManager, column: str, patch: Any, field: str) -> None:
    agent = await em.agents.create({"name": "a", "configuration": {"a": 1}})
    with pytest.raises(ValidationError) as caught:
        await em.agents.patch(agent.id, column, patch)
    assert caught.value.field == field
    assert (await em.agents.require(agent.id)).model_dump() == agent.model_dump()


@pytest.mark.parametrize("stored", ["[1, 2]", '"text"'])
async def test_a_column_without_an_object_is_left_alone(
    em: EntityManager, database: DatabaseManager, stored: str
) -> None:
    host = await em.hosts.create({"name": "h"})
    statement = text("UPDATE hosts SET metadata = '" + stored.replace(":", r"\:") + "'")
    await database.write(lambda executor: executor.execute(statement))
    before = await em.hosts.require(host.id)
    with pytest.raises(ValidationError, match="meta"):
        await em.hosts.patch(host.id, "meta", {"a": 1})
    assert (await em.hosts.require(host.id)).model_dump() == before.model_dump()


async def test_a_patch_deeper_than_the_engine_likes_is_merged_all_the_same(em: EntityManager) -> None:
    patch: Any = {"end": 1}
    for _ in range(300):
        patch = {"a": patch}
    host = await em.hosts.create({"name": "h", "meta": {"b": 1}})
    await em.hosts.patch(host.id, "meta", patch)
    assert (await em.hosts.require(host.id)).meta == {"b": 1} | patch


async def test_a_patch_of_a_column_without_a_value(em: EntityManager, database: DatabaseManager) -> None:
    tool = await em.tool_usage.create({"tool_name": "t"})
    assert tool.parameters is None
    assert (await em.tool_usage.patch(tool.id, "parameters", {"a": {"b": None}})).parameters == {"a": {}}
    # A value that SQLAlchemy wrote by itself is the same to the database.
    table = metadata.tables["agents"]
    agent = await em.agents.create({"name": "a"})
    statement = update(table).where(Agent.id == agent.id).values(configuration={"z": 1, "a": {"é": 2}})  # type: ignore[arg-type]
    await database.write(lambda executor: executor.execute(statement))
    assert (await em.agents.patch(agent.id, "configuration", {"a": {"é": None}})).configuration == {"z": 1, "a": {}}
