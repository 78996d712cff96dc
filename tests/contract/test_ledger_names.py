"""Hosts and models: found by name, made once however many ask at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_system.errors import CheckError, DuplicateKeyError, ForeignKeyError, ValidationError

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager


async def test_hosts_are_made_once(em: EntityManager) -> None:
    made = await em.hosts.ensure("Anthropic", "https://api.anthropic.com")
    assert made.base_url == "https://api.anthropic.com"
    same = await em.hosts.ensure(" anthropic", "elsewhere")
    assert same.model_dump() == made.model_dump()
    found = await em.hosts.get_by_name("ANTHROPIC")
    assert found is not None
    assert found.id == made.id
    assert await em.hosts.get_by_name("openai") is None
    rows = await asyncio.gather(*(em.hosts.ensure(name) for name in ["OpenAI", "openai", "OPENAI"] * 5))
    assert len({row.id for row in rows}) == 1
    with pytest.raises(DuplicateKeyError) as caught:
        await em.hosts.create({"name": "OPENAI"})
    assert caught.value.fields == ("name",)


async def test_models_are_made_once_per_host(em: EntityManager) -> None:
    made = await em.models.ensure("gpt-5", "openai", input_cost_per_1k=0.5)
    assert made.input_cost_per_1k == 0.5
    same = await em.models.ensure("gpt-5", "OpenAI", input_cost_per_1k=9.0)
    assert same.model_dump() == made.model_dump()
    other = await em.models.ensure("gpt-5", "azure")
    assert other.id != made.id
    # The case of a model's name is the host's business.
    assert (await em.models.ensure("GPT-5", "openai")).id != made.id
    found = await em.models.get_by_name("gpt-5", "OPENAI")
    assert found is not None
    assert found.id == made.id
    assert await em.models.get_by_name("gpt-5", "nobody") is None
    assert [model.name for model in await em.models.find_by_host(made.host_id)] == ["GPT-5", "gpt-5"]
    (row,) = (await em.models.list({"id": made.id}, include=("host",))).items
    assert row.host.name == "openai"
    with pytest.raises(DuplicateKeyError) as caught:
        await em.models.create({"name": "gpt-5", "host_id": made.host_id})
    assert "name" in caught.value.fields


async def test_callers_at_once_get_the_same_model(em: EntityManager) -> None:
    rows = await asyncio.gather(*(em.models.ensure("new", "host") for _ in range(16)))
    assert len({row.id for row in rows}) == await em.models.count() == await em.hosts.count() == 1
    assert {row.host_id for row in rows} == {(await em.hosts.find())[0].id}


async def test_what_nobody_named_is_unknown(em: EntityManager) -> None:
    model = await em.models.ensure()
    host = await em.hosts.require(model.host_id)
    assert (model.name, host.name) == ("unknown", "unknown")


async def test_a_refused_model_leaves_no_host(database: DatabaseManager, em: EntityManager) -> None:
    with pytest.raises(ValidationError, match="price"):
        await em.models.ensure("m", "h", price=1)
    with pytest.raises(CheckError) as caught:
        await em.models.ensure("m", "h", input_cost_per_1k=-1.0)
    assert caught.value.fields == ("input_cost_per_1k",)
    with pytest.raises(ForeignKeyError) as dangling:
        await em.models.create({"name": "m", "host_id": 10**9})
    assert dangling.value.fields == ("host_id",)

    async def make_in_vain() -> None:
        async with database.transaction():
            assert (await em.models.ensure("m", "h")).id == (await em.models.ensure("m", "h")).id
            raise KeyError

    with pytest.raises(KeyError):
        await make_in_vain()
    assert await em.hosts.count() == await em.models.count() == 0
