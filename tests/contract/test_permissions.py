"""Permissions: base permissions, given tools, lent tools, the wildcard, and what is out of use."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import ForeignKeyError, NotFoundError, ValidationError

if TYPE_CHECKING:
    from agent_system import EntityManager
    from agent_system.models import Agent

HOUR = timedelta(hours=1)


async def make_agent(em: EntityManager, name: str = "agent", **data: Any) -> Agent:
    return await em.agents.create({"name": name, **data})


async def test_without_permissions_nothing_is_allowed(em: EntityManager) -> None:
    agent = await make_agent(em)
    permissions = await em.agents.permissions_of(agent.id)
    assert (permissions.tools, permissions.entity_permissions) == ((), {})
    assert permissions.max_concurrent_tools == 5
    assert not await em.agents.may_use_tool(agent.id, "Bash")
    assert not await em.agents.may(agent.id, "read", "task")
    for missing in (uuid4(), "nonsense", None):
        with pytest.raises(NotFoundError):
            await em.agents.may_use_tool(missing, "Bash")


async def test_base_permissions_of_a_kind_hold_for_its_agents(em: EntityManager) -> None:
    await em.agents.set_base_permissions(agent_type="testing", base_tools=["Bash"], max_concurrent_tools=2)
    await em.agents.set_base_permissions(agent_type="runner", base_tools=["Read"])
    by_specialization = await make_agent(em, "a", specialization="testing")
    by_name = await make_agent(em, "runner")
    by_both = await make_agent(em, "Runner 2", specialization="testing")
    other = await make_agent(em, "other", specialization="writing")
    permissions = await em.agents.permissions_of(by_specialization.id)
    assert (permissions.tools, permissions.max_concurrent_tools) == (("Bash",), 2)
    assert (await em.agents.permissions_of(by_name.id)).tools == ("Read",)
    assert (await em.agents.permissions_of(by_both.id)).tools == ("Bash",)
    assert (await em.agents.permissions_of(other.id)).tools == ()


async def test_an_agents_own_permissions_count_instead_of_its_kinds(em: EntityManager) -> None:
    agent = await make_agent(em, specialization="testing")
    await em.agents.set_base_permissions(agent_type="testing", base_tools=["all"])
    assert await em.agents.may_use_tool(agent.id, "Bash")
    await em.agents.set_base_permissions(agent_id=agent.id, base_tools=["Read"])
    assert not await em.agents.may_use_tool(agent.id, "Bash")
    assert await em.agents.may_use_tool(agent.id, "READ")


async def test_permissions_can_be_set_again(em: EntityManager) -> None:
    first = await em.agents.set_base_permissions(
        agent_type="t", base_tools=["a"], entity_permissions={"task": ["read"]}
    )
    again = await em.agents.set_base_permissions(agent_type="t", base_tools=["b"])
    assert (again.id, again.base_tools, again.entity_permissions) == (first.id, ["b"], {"task": ["read"]})
    events = await em.events.find(entity_type="agent_permission")
    assert [event.event_type for event in events] == ["agent_permission.created", "agent_permission.updated"]
    assert events[1].before["base_tools"] == ["a"]
    assert events[1].after["base_tools"] == ["b"]


async def test_bad_permissions_are_refused(em: EntityManager) -> None:
    agent = await make_agent(em)
    for subject in ({}, {"agent_id": agent.id, "agent_type": "t"}):
        with pytest.raises(ValidationError, match="either"):
            await em.agents.set_base_permissions(**subject)
    with pytest.raises(ForeignKeyError, match="agent_id"):
        await em.agents.set_base_permissions(agent_id=uuid4())
    with pytest.raises(ValidationError, match="max_concurrent_tools"):
        await em.agents.set_base_permissions(agent_id=agent.id, max_concurrent_tools=-1)
    with pytest.raises(ValidationError, match="base_tools"):
        await em.agents.set_base_permissions(agent_id=agent.id, base_tools=[1])


async def test_actions_and_their_wildcards(em: EntityManager) -> None:
    agent = await make_agent(em)
    await em.agents.set_base_permissions(
        agent_id=agent.id,
        entity_permissions={"task": ["read", "write"], "tool": ["all"], "all": ["read"], "event": "x"},
    )
    allowed = {
        (action, entity_type): await em.agents.may(agent.id, action, entity_type)
        for action in ("read", "write")
        for entity_type in ("task", "tool", "process", "event")
    }
    assert {key for key, value in allowed.items() if value} == {
        ("read", "task"), ("write", "task"), ("read", "tool"), ("write", "tool"), ("read", "process"),
    }  # fmt: skip


async def test_given_tools_can_be_used_until_they_end(em: EntityManager) -> None:
    agent = await make_agent(em)
    tool = await em.tools.create({"name": "Bash"})
    ends = datetime.now(UTC) + HOUR
    await em.agents.add_tool(agent.id, tool.id, expires_at=ends)
    assert await em.agents.may_use_tool(agent.id, "bash")
    assert not await em.agents.may_use_tool(agent.id, "bash", at=ends)
    assert (await em.agents.permissions_of(agent.id)).tools == ("Bash",)


async def test_a_task_lends_its_tools_to_the_agent_that_has_it(em: EntityManager) -> None:
    worker, other = await make_agent(em, "worker"), await make_agent(em, "other")
    task = await em.tasks.create({"instruction": "i", "agent_id": worker.id})
    free = await em.tasks.create({"instruction": "i"})
    ends = datetime.now(UTC) + HOUR
    await em.tools.assign(task.id, "Bash", expires_at=ends)
    await em.tools.assign(free.id, "Read")
    assert await em.agents.may_use_tool(worker.id, "bash", task.id)
    assert not await em.agents.may_use_tool(worker.id, "bash", task.id, at=ends)
    assert not await em.agents.may_use_tool(worker.id, "bash")
    assert not await em.agents.may_use_tool(worker.id, "bash", free.id)
    assert not await em.agents.may_use_tool(other.id, "bash", task.id)
    assert await em.agents.may_use_tool(other.id, "Read", free.id)
    await em.tools.revoke(task.id, "Bash")
    assert not await em.agents.may_use_tool(worker.id, "bash", task.id)


async def test_all_stands_for_every_tool(em: EntityManager) -> None:
    agent = await make_agent(em)
    task = await em.tasks.create({"instruction": "i", "agent_id": agent.id})
    await em.tools.assign(task.id, "all")
    assert await em.agents.may_use_tool(agent.id, "whatever", task.id)
    assert not await em.agents.may_use_tool(agent.id, "whatever")


async def test_nobody_may_use_what_is_out_of_use(em: EntityManager) -> None:
    agent = await make_agent(em)
    await em.agents.set_base_permissions(agent_id=agent.id, base_tools=["all"])
    tool = await em.tools.create({"name": "Bash"})
    assert await em.agents.may_use_tool(agent.id, "bash")
    await em.tools.disable(tool.id)
    assert not await em.agents.may_use_tool(agent.id, "bash")
    await em.tools.enable(tool.id)
    assert await em.agents.may_use_tool(agent.id, "bash")
    await em.agents.archive(agent.id)
    assert not await em.agents.may_use_tool(agent.id, "bash")


async def test_the_permissions_of_the_seed_are_made_once(em: EntityManager) -> None:
    await em.tools.create({"name": "Terminal", "description": "ours"})
    await em.agents.set_base_permissions(agent_type="recovery_agent", base_tools=["none"])
    made = await asyncio.gather(*(em.agents.seed_permissions() for _ in range(8)))
    assert (sum(one.tools for one in made), sum(one.permissions for one in made)) == (6, 12)
    again = await em.agents.seed_permissions()
    assert (again.tools, again.permissions, await em.tools.count()) == (0, 0, 7)
    terminal = await em.tools.get_by_name("terminal")
    assert terminal is not None
    assert terminal.description == "ours"
    reviewer = await em.agents.create({"name": "r", "specialization": "review_agent"})
    assert await em.agents.may_use_tool(reviewer.id, "sql_lite")
    assert not await em.agents.may_use_tool(reviewer.id, "terminal")
    assert await em.agents.may(reviewer.id, "write", "process")
    assert await em.agents.may(reviewer.id, "read", "task")
    assert not await em.agents.may(reviewer.id, "write", "task")
    rescuer = await em.agents.create({"name": "recovery_agent"})
    assert not await em.agents.may_use_tool(rescuer.id, "terminal")
