"""Rows that the hot cache finds by their names: prompts, capabilities, settings and flags; none is ever out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from agent_system import EntityManager
from tests import requirements as requires
from tests.integration.fast_paths.managers import cache_of
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database import DatabaseManager
    from tests.integration.engine.processes import OtherProcess

pytestmark = requires.hot_cache


@pytest.fixture
async def em(db: DatabaseManager) -> EntityManager:
    """A prompt and another one, both in the cache by their names and by their keys."""
    em = EntityManager(db)
    for name in ("greeting", "other"):
        prompt = await em.prompts.create({"name": name, "content": "one"})
        await em.prompts.get_by_name(name)
        await em.prompts.require(prompt.id)
    assert await content(em) == "one"
    return em


async def content(em: EntityManager, name: str = "greeting") -> str | None:
    """What the prompt says, looked up twice; the second time without a statement."""
    first = await em.prompts.get_by_name(name)
    with recorded_statements() as statements:
        second = await em.prompts.get_by_name(name.upper())
    assert first == second
    assert first is None or statements == []
    return None if first is None else first.content


async def test_a_change_is_seen_under_the_name(em: EntityManager) -> None:
    await em.prompts.update_content("greeting", "two")
    assert await content(em) == "two"
    prompt = await em.prompts.get_by_name("greeting")
    assert prompt is not None
    assert prompt.version == 2
    await em.prompts.update(prompt.id, {"content": "three"})
    assert await content(em) == "three"
    assert (await em.prompts.require(prompt.id)).version == 3


async def test_a_renamed_row_is_found_under_its_new_name_only(em: EntityManager) -> None:
    prompt = await em.prompts.get_by_name("greeting")
    assert prompt is not None
    await em.prompts.update(prompt.id, {"name": "salute"})
    assert await content(em) is None
    assert await content(em, "salute") == "one"


async def test_a_deleted_row_is_gone_under_its_name(em: EntityManager) -> None:
    prompt = await em.prompts.get_by_name("greeting")
    assert prompt is not None
    assert await em.prompts.delete(prompt.id)
    assert await content(em) is None
    await em.prompts.create({"name": "greeting", "content": "new"})
    assert await content(em) == "new"


UPDATE = "UPDATE prompts SET content = 'raw' WHERE name = 'greeting'"
UPSERT = """
INSERT INTO prompts (name, name_key, content) VALUES ('greeting', 'greeting', 'raw')
ON CONFLICT (name_key) DO UPDATE SET content = excluded.content
"""


@pytest.mark.parametrize("statement", [UPDATE, UPSERT])
async def test_what_plain_sql_changes_is_seen(em: EntityManager, db: DatabaseManager, statement: str) -> None:
    await db.write(lambda executor: executor.execute(text(statement)))
    assert await content(em) == "raw"


async def test_what_another_process_changes_is_seen(em: EntityManager, other_process: OtherProcess) -> None:
    await other_process.run("UPDATE prompts SET content = 'theirs' WHERE name = 'greeting'")
    assert await content(em) == "theirs"
    prompt = await em.prompts.get_by_name("greeting")
    assert prompt is not None
    assert prompt.version == 2


async def test_what_a_transaction_takes_back_is_never_seen(em: EntityManager, db: DatabaseManager) -> None:
    async def change_and_fail() -> None:
        async with db.transaction():
            await em.prompts.update_content("greeting", "never")
            inside = await em.prompts.get_by_name("greeting")
            assert inside is not None
            assert inside.content == "never"
            raise KeyError

    with pytest.raises(KeyError):
        await change_and_fail()
    assert await content(em) == "one"


async def test_a_name_that_is_a_number_is_not_taken_for_a_key(em: EntityManager) -> None:
    prompt = await em.prompts.get_by_name("greeting")
    assert prompt is not None
    await em.prompts.create({"name": str(prompt.id), "content": "another"})
    assert await content(em, str(prompt.id)) == "another"
    assert (await em.prompts.require(prompt.id)).content == "one"


async def test_settings_flags_and_capabilities_are_found_without_a_statement(em: EntityManager) -> None:
    await em.config.set("limit", 5)
    await em.capabilities.create({"name": "web"})
    await em.flags.create({"flag_name": "fast", "enabled": True, "rollout_percentage": 100})
    for _ in range(2):
        with recorded_statements() as statements:
            assert await em.config.get("limit") == 5
            assert await em.capabilities.is_enabled("web")
            assert await em.flags.is_enabled("fast", "ada")
            assert await em.prompts.render("greeting") == "one"
    assert statements == []
    await em.config.set("limit", 6)
    await em.capabilities.disable("web")
    await em.flags.disable("fast")
    assert await em.config.get("limit") == 6
    assert not await em.capabilities.is_enabled("web")
    assert not await em.flags.is_enabled("fast", "ada")


async def test_the_cache_counts_them_as_hits(em: EntityManager, db: DatabaseManager) -> None:
    cache = cache_of(db)
    hits = cache.hits
    await em.prompts.render("greeting")
    assert cache.hits == hits + 1
