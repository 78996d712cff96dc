"""Projects: unique names per owner, and the agents that take part."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agent_system.errors import DuplicateKeyError, ForeignKeyError
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager


async def test_a_name_is_unique_per_owner(em: EntityManager) -> None:
    users = await em.users.create_many([{"username": "ada"}, {"username": "bob"}])
    for owner in (None, *(user.id for user in users)):
        await em.projects.create({"name": "Website", "user_id": owner})
    for owner in (None, users[0].id):
        with pytest.raises(DuplicateKeyError) as caught:
            await em.projects.create({"name": " WEBSITE", "user_id": owner})
        assert "name" in caught.value.fields
    assert await em.projects.count() == 3
    shared = await em.projects.get_by_name("website")
    assert shared is not None
    assert shared.user_id is None
    own = await em.projects.get_by_name("website", users[0].id)
    assert own is not None
    assert own.user_id == users[0].id
    assert await em.projects.get_by_name("other") is None


async def test_ensure_gets_or_makes_one(em: EntityManager) -> None:
    rows = await asyncio.gather(*(em.projects.ensure(name) for name in ["Website", "WEBSITE", "website "] * 4))
    assert len({row.id for row in rows}) == 1
    user = await em.users.create({"username": "ada"})
    assert (await em.projects.ensure("website", user.id)).id != rows[0].id
    assert await em.projects.count() == 2


async def test_agents_take_part(em: EntityManager) -> None:
    first, second = await em.projects.create_many([{"name": "b"}, {"name": "A"}])
    agents = await em.agents.create_many({"name": name} for name in ("zoe", "Bob", "ada"))
    for agent in agents:
        await em.projects.add_agent(first.id, agent.id)
    await em.projects.add_agent(second.id, agents[0].id, "lead")
    again = await em.projects.add_agent(first.id, agents[0].id, role="lead")
    assert again.role == "lead"
    assert (await em.projects.add_agent(first.id, agents[0].id)).role == "lead"
    with recorded_statements() as statements:
        assert [agent.name for agent in await em.projects.agents_of(first.id)] == ["ada", "Bob", "zoe"]
        assert [project.name for project in await em.projects.find_by_agent(agents[0].id)] == ["A", "b"]
    assert len(statements) == 2
    assert await em.projects.remove_agent(first.id, agents[0].id)
    assert not await em.projects.remove_agent(first.id, agents[0].id)
    await em.agents.delete(agents[1].id)
    assert [agent.name for agent in await em.projects.agents_of(first.id)] == ["ada"]
    (row,) = (await em.projects.list({"name": "b"}, include=("agents",))).items
    assert [agent.name for agent in row.agents] == ["ada"]


async def test_agents_and_projects_have_to_exist(em: EntityManager) -> None:
    project, agent = await em.projects.create({"name": "p"}), await em.agents.create({"name": "a"})
    for key, other, field in ((uuid4(), agent.id, "project_id"), (project.id, uuid4(), "agent_id")):
        with pytest.raises(ForeignKeyError) as caught:
            await em.projects.add_agent(key, other)
        assert caught.value.fields == (field,)
