"""Agents: found by what they can do, changed by many at once, with the tools that they have."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from agent_system import EntityManager
from agent_system.errors import ConflictError, DuplicateKeyError, ForeignKeyError, NotFoundError, ValidationError
from agent_system.managers.core.audit import audit_context
from agent_system.types import AgentStatus, LifecycleStatus
from tests import requirements as requires
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager
    from agent_system.models import Agent, Tool

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def make_agent(em: EntityManager, name: str, **data: Any) -> Agent:
    return await em.agents.create({"name": name, **data})


async def make_tool(em: EntityManager, name: str, **data: Any) -> Tool:
    return await em.tools.create({"name": name, **data})


def names(rows: list[Agent] | list[Tool]) -> list[str]:
    return [row.name for row in rows]


async def test_get_by_name_ignores_case_and_knows_owners(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    shared = await make_agent(em, "Researcher")
    own = await make_agent(em, "researcher", user_id=user.id)
    assert await em.agents.get_by_name("RESEARCHER ") == shared
    assert await em.agents.get_by_name("researcher", user.id) == own
    assert await em.agents.get_by_name("researcher", str(user.id)) == own
    assert await em.agents.get_by_name("nobody") is None
    assert await em.agents.get_by_name("researcher", uuid4()) is None
    with pytest.raises(DuplicateKeyError, match="name"):
        await make_agent(em, "RESEARCHER")


async def test_capabilities_are_whole_items(em: EntityManager) -> None:
    await make_agent(em, "searcher", capabilities=["web_search", "read"])
    await make_agent(em, "lonely", capabilities=["web"])
    await make_agent(em, "strange", capabilities=["nul\0", "lone \ud800", 'quote"', "100%"])
    assert names(await em.agents.find_by_capability("web_search")) == ["searcher"]
    assert names(await em.agents.find_by_capability("web")) == ["lonely"]
    assert await em.agents.find_by_capability("search") == []
    for capability in ("nul\0", "lone \ud800", 'quote"', "100%"):
        assert names(await em.agents.find_by_capability(capability)) == ["strange"]


@requires.untyped_columns
async def test_malformed_json_hides_no_other_agent(em: EntityManager, database: DatabaseManager) -> None:
    await make_agent(em, "whole", capabilities=["read"])
    broken = await make_agent(em, "broken", capabilities=["read"])
    await make_agent(em, "mapping")
    plain = text(
        "UPDATE agents SET capabilities = CASE name WHEN 'broken' THEN '[\"read\"' ELSE '{\"a\": \"read\"}' END"
        " WHERE name <> 'whole'"
    )
    await database.write(lambda executor: executor.execute(plain))
    assert names(await em.agents.find_by_capability("read")) == ["whole"]
    assert (await em.agents.require(broken.id)).capabilities == '["read"'
    with pytest.raises(ValidationError, match="capabilities holds no JSON list"):
        await em.agents.add_capability(broken.id, "write")


async def test_capable_agents_come_with_their_tools_in_one_statement(em: EntityManager) -> None:
    tools = [await make_tool(em, name) for name in ("browser", "Archive", "calculator")]
    both = await make_agent(em, "both", capabilities=["web_search"])
    one = await make_agent(em, "one", capabilities=["web_search"])
    await make_agent(em, "none", capabilities=["web_search"])
    other = await make_agent(em, "other", capabilities=["read"])
    for agent, tool in ((both, 0), (both, 1), (one, 2), (other, 2)):
        await em.agents.add_tool(agent.id, tools[tool].id)
    with recorded_statements() as statements:
        agents = await em.agents.find_by_capability_with_tools(capability="web_search", include_tools=True)
    assert len(statements) == 1
    assert {agent.name: names(agent.tools) for agent in agents} == {
        "both": ["Archive", "browser"],
        "one": ["calculator"],
        "none": [],
    }
    assert agents[0] == await em.agents.require(both.id)
    assert agents[0].tools[1] == await em.tools.require(tools[0].id)
    without = await em.agents.find_by_capability_with_tools(capability="web_search", include_tools=False)
    assert names(without) == ["both", "one", "none"]


async def test_tools_that_are_withdrawn_over_or_archived_are_not_listed(database: DatabaseManager) -> None:
    now = NOW
    em = EntityManager(database, clock=lambda: now)
    agent = await make_agent(em, "agent", capabilities=["c"])
    kept, expiring, withdrawn, archived = [
        await make_tool(em, name) for name in ("kept", "expiring", "withdrawn", "archived")
    ]
    for tool in (kept, withdrawn, archived):
        await em.agents.add_tool(agent.id, tool.id)
    await em.agents.add_tool(agent.id, expiring.id, expires_at=NOW + timedelta(seconds=10))
    await em.tools.update(archived.id, {"status": "archived"})
    assert await em.agents.remove_tool(agent.id, withdrawn.id)

    async def listed() -> list[list[str]]:
        capable = (await em.agents.find_by_capability_with_tools(capability="c"))[0]
        return [names(capable.tools), names(await em.agents.tools_of(agent.id))]

    assert await listed() == [["expiring", "kept"]] * 2
    assert names(await em.agents.find_by_tool("EXPIRING")) == ["agent"]
    now = NOW + timedelta(seconds=10)
    assert await listed() == [["kept"]] * 2
    assert await em.agents.find_by_tool("expiring") == []
    assert await em.agents.find_by_tool("withdrawn") == []


async def test_adding_a_tool_again_renews_it(em: EntityManager) -> None:
    agent, tool = await make_agent(em, "agent"), await make_tool(em, "tool")
    first = await em.agents.add_tool(agent.id, tool.id, expires_at=NOW, configuration={"depth": 1})
    assert (first.permission, first.is_active, first.configuration) == ("use", True, {"depth": 1})
    assert await em.agents.tools_of(agent.id) == []
    again = await em.agents.add_tool(agent.id, str(tool.id), permission="own", granted_by="ada")
    assert (again.permission, again.granted_by, again.expires_at, again.configuration) == ("own", "ada", None, {})
    assert names(await em.agents.tools_of(agent.id)) == ["tool"]
    assert await em.agents.remove_tool(agent.id, tool.id)
    assert not await em.agents.remove_tool(agent.id, tool.id)
    assert not await em.agents.remove_tool("nonsense", tool.id)


async def test_giving_a_tool_needs_an_agent_and_a_tool(em: EntityManager) -> None:
    agent, tool = await make_agent(em, "agent"), await make_tool(em, "tool")
    with pytest.raises(NotFoundError):
        await em.agents.add_tool(uuid4(), tool.id)
    with pytest.raises(ForeignKeyError, match="tool_id"):
        await em.agents.add_tool(agent.id, uuid4())
    with pytest.raises(ValidationError, match="expires_at"):
        await em.agents.add_tool(agent.id, tool.id, expires_at=datetime(2026, 1, 1))  # noqa: DTZ001 (refused)
    assert await em.events.find(event_type="agent.tool_added") == []


async def test_tools_given_at_once_are_all_given(em: EntityManager) -> None:
    agent = await make_agent(em, "agent")
    tools = [await make_tool(em, f"tool {number}") for number in range(8)]
    await asyncio.gather(*[em.agents.add_tool(agent.id, tool.id) for tool in tools for _ in range(3)])
    assert len(await em.agents.tools_of(agent.id)) == 8
    assert len(await em.events.find(event_type="agent.tool_added", entity_id=str(agent.id))) == 24


async def test_find_by_specialization_and_context_document(em: EntityManager) -> None:
    await make_agent(em, "tester", specialization="testing", context_documents=["style", "rules"])
    await make_agent(em, "writer", specialization="writing", context_documents=["style"])
    assert names(await em.agents.find_by_specialization("testing")) == ["tester"]
    assert names(await em.agents.find_by_context_document("rules")) == ["tester"]
    assert names(await em.agents.find_by_context_document("style")) == ["tester", "writer"]


async def test_archived_agents_are_found_by_name_only(em: EntityManager) -> None:
    agent = await make_agent(em, "old", capabilities=["c"], specialization="s", context_documents=["d"])
    await em.agents.add_tool(agent.id, (await make_tool(em, "tool")).id)
    archived = await em.agents.archive(agent.id)
    assert (archived.state, archived.version) == (LifecycleStatus.ARCHIVED, 2)
    assert (await em.agents.archive(agent.id)).version == 2
    assert await em.agents.get_by_name("old") == archived
    assert await em.agents.find_by_capability("c") == []
    assert await em.agents.find_by_capability_with_tools(capability="c") == []
    assert await em.agents.find_by_specialization("s") == []
    assert await em.agents.find_by_context_document("d") == []
    assert await em.agents.find_by_tool("tool") == []
    assert (await em.agents.list_active()).items == []
    restored = await em.agents.restore(agent.id)
    assert restored.state is LifecycleStatus.ACTIVE
    assert (await em.agents.list_active()).items == [restored]
    events = [event.event_type for event in await em.events.find(entity_id=str(agent.id))]
    assert events == ["agent.created", "agent.tool_added", "agent.archived", "agent.restored"]


async def test_list_active_is_paged_by_name(em: EntityManager) -> None:
    for name in ("c", "a", "b"):
        await make_agent(em, name)
    first = await em.agents.list_active(limit=2)
    rest = await em.agents.list_active(limit=2, after=first.next_cursor)
    assert (names(first.items), names(rest.items), rest.next_cursor) == (["a", "b"], ["c"], None)


async def test_set_status(em: EntityManager) -> None:
    agent = await make_agent(em, "agent")
    assert (await em.agents.set_status(agent.id, "coding")).status is AgentStatus.CODING
    with pytest.raises(ValidationError, match="status"):
        await em.agents.set_status(agent.id, "sleeping")
    with pytest.raises(NotFoundError):
        await em.agents.set_status(uuid4(), AgentStatus.IDLE)


async def test_configuration_is_merged_deeply(em: EntityManager) -> None:
    agent = await make_agent(em, "agent", configuration={"model": {"name": "a", "temperature": 0.5}, "tags": ["x"]})
    changed = await em.agents.update_configuration(
        agent.id,
        {"model": {"temperature": None, "top_p": {"value": 1}}, "tags": ["y"], "new": {"deep": {"er": 1, "no": None}}},
    )
    assert changed.configuration == {
        "model": {"name": "a", "top_p": {"value": 1}},
        "tags": ["y"],
        "new": {"deep": {"er": 1}},
    }
    with pytest.raises(ValidationError, match="configuration"):
        await em.agents.update_configuration(agent.id, {"limit": float("nan")})
    with pytest.raises(NotFoundError):
        await em.agents.update_configuration(uuid4(), {"a": 1})


async def test_writers_of_one_agent_at_once_all_survive(em: EntityManager) -> None:
    agent = await make_agent(em, "agent")
    await asyncio.gather(
        *[em.agents.update_configuration(agent.id, {"keys": {str(number): number}}) for number in range(20)],
        *[em.agents.add_capability(agent.id, f"capability {number}", "common") for number in range(20)],
    )
    found = await em.agents.require(agent.id)
    assert found.configuration == {"keys": {str(number): number for number in range(20)}}
    assert sorted(found.capabilities) == sorted(["common", *(f"capability {number}" for number in range(20))])
    assert found.version == 41


async def test_items_are_added_once_and_removed(em: EntityManager) -> None:
    agent = await make_agent(em, "agent", capabilities=["a"])
    assert (await em.agents.add_capability(agent.id, "b", "a", "b")).capabilities == ["a", "b"]
    assert (await em.agents.remove_capability(agent.id, "a", "unknown")).capabilities == ["b"]
    assert (await em.agents.add_context_document(agent.id, "rules")).context_documents == ["rules"]
    assert (await em.agents.remove_context_document(agent.id, "rules")).context_documents == []
    with pytest.raises(ValidationError, match="capabilities"):
        await em.agents.add_capability(agent.id, 3)


async def test_one_of_two_writers_of_a_version_wins(em: EntityManager) -> None:
    agent = await make_agent(em, "agent")
    outcomes = await asyncio.gather(
        *[em.agents.update(agent.id, {"description": text}, expected_version=1) for text in ("first", "second")],
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, ConflictError)]
    assert len(refused) == 1
    assert (refused[0].expected_version, refused[0].actual_version) == (1, 2)
    assert (await em.agents.require(agent.id)).version == 2


async def test_events_name_the_actor_of_every_change(em: EntityManager) -> None:
    with audit_context(actor="ada"):
        agent = await make_agent(em, "agent")
        await em.agents.set_status(agent.id, "coding")
        await em.agents.add_tool(agent.id, (await make_tool(em, "tool")).id)
        await em.agents.archive(agent.id)
    assert {event.actor for event in await em.events.find()} == {"ada"}
