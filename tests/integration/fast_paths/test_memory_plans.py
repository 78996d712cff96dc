"""What runs per turn of a conversation finds memories by an index, and the newest ones without sorting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from agent_system import EntityManager
from tests.integration.fast_paths.test_query_plans import Explainer, Postgresql, Sqlite

if TYPE_CHECKING:
    from agent_system.database import DatabaseManager


class SortsTies(Postgresql):
    """PostgreSQL, whose index holds no key behind the moment: it sorts those of one moment by their keys."""

    def sorts(self, explained: str) -> bool:
        return "Sort" in explained.replace("Incremental Sort", "").replace("Sort Key", "")


@pytest.fixture
def explainer(db: DatabaseManager, engine_name: str) -> Explainer:
    return Explainer(Sqlite(db) if engine_name == "sqlite" else SortsTies(db))


@pytest.fixture
async def em(db: DatabaseManager) -> EntityManager:
    em = EntityManager(db)
    for user_id in ("u", *map(str, range(100))):
        data = {"user_id": user_id, "guild_id": user_id, "tags": ["a", user_id]}
        await em.memories.create_many([data | {"content": f"memory {number}"} for number in range(10)])
    async with db.transaction():
        await db.write(lambda executor: executor.execute(text("ANALYZE")))
    return em


async def test_the_newest_of_one_user_or_place_are_found_without_sorting(
    em: EntityManager, explainer: Explainer
) -> None:
    agent = await em.agents.create({"name": "a"})
    await explainer.check(em.memories.recent(user_id="u"))
    await explainer.check(em.memories.recent(guild_id="g"))
    await explainer.check(em.memories.recent(channel_id="c"))
    await explainer.check(em.memories.recent(agent_id=agent.id))
    await explainer.check(em.memories.recent(user_id="u", tags=["a", "b"], min_importance=3))


async def test_memories_of_one_user_are_found_by_their_owner(em: EntityManager, explainer: Explainer) -> None:
    for verb in (
        em.memories.most_recalled(user_id="u"),
        em.memories.most_important(user_id="u"),
        em.memories.resurface(user_id="u"),
        em.memories.candidates(user_id="u"),
        em.memories.statistics(user_id="u"),
        em.memories.tag_counts(user_id="u"),
    ):
        await explainer.check(verb, sorts=True)


async def test_memories_are_found_by_their_tags(em: EntityManager, explainer: Explainer) -> None:
    await explainer.check(em.memories.find_by_tags(["a", "b"]), sorts=True)
    await explainer.check(em.memories.find_by_tags(["a", "b"], match="any"), sorts=True)


async def test_memories_are_found_by_content_by_key_and_by_expiry(em: EntityManager, explainer: Explainer) -> None:
    await em.memories.remember("u", "x")
    await explainer.check(em.memories.remember("u", "x", tags=["c"]), sorts=True)
    (memory,) = await em.memories.recent(1, user_id="u")
    await explainer.check(em.memories.recalled([memory.id]))
    await explainer.check(em.memories.sweep(), sorts=True)
