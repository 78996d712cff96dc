"""What runs per message and per job finds promises by an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from agent_system import EntityManager
from tests.integration.fast_paths.test_query_plans import Explainer, Postgresql, Sqlite

if TYPE_CHECKING:
    from agent_system.database import DatabaseManager


@pytest.fixture
def explainer(db: DatabaseManager, engine_name: str) -> Explainer:
    return Explainer(Sqlite(db) if engine_name == "sqlite" else Postgresql(db))


@pytest.fixture
async def em(db: DatabaseManager) -> EntityManager:
    em = EntityManager(db)
    for chat in range(20):
        promises = [{"task_description": "x", "user_id": str(chat)} for _ in range(20)]
        await em.promises.make_parallel(chat, 1, promises)
    async with db.transaction():
        await db.write(lambda executor: executor.execute(text("ANALYZE")))
    return em


async def test_promises_are_found_by_chat_and_by_user(em: EntityManager, explainer: Explainer) -> None:
    await explainer.check(em.promises.of_chat(3), sorts=True)
    await explainer.check(em.promises.of_user("3"), sorts=True)


async def test_a_promise_is_begun_and_kept_by_its_key(em: EntityManager, explainer: Explainer) -> None:
    parent = await em.promises.make(3, 1, "first")
    await em.promises.make(3, 1, "then", depends_on=[parent.id])
    await explainer.check(em.promises.start(parent.id), sorts=True)
    await explainer.check(em.promises.complete(parent.id), sorts=True)
    await explainer.check(em.chat_states.see(3, 1), sorts=True)
