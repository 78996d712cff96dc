"""A search asks the full-text index, or reads the rows of one owner by theirs; no table is read from end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system import EntityManager
from agent_system.search import text_search
from tests.integration.fast_paths.test_query_plans import Postgresql, Sqlite

if TYPE_CHECKING:
    from agent_system.database import DatabaseManager

TABLES = ("memories", "messages", "context_documents")


@pytest.fixture
def engine(db: DatabaseManager, engine_name: str) -> Sqlite | Postgresql:
    return Sqlite(db) if engine_name == "sqlite" else Postgresql(db)


@pytest.fixture
async def em(db: DatabaseManager) -> EntityManager:
    em = EntityManager(db)
    for user_id in ("u", *map(str, range(30))):
        texts = [f"word{number} of {user_id}" for number in range(10)]
        await em.memories.create_many({"user_id": user_id, "content": one} for one in texts)
        await em.messages.create_many({"user_id": user_id, "content": one, "role": "user"} for one in texts)
    await em.context_documents.create_many({"name": f"word{number}"} for number in range(300))
    async with db.transaction():
        await db.write(lambda executor: executor.execute(text("ANALYZE")))
    return em


@pytest.mark.parametrize("few_rows", [300, 0], ids=["one by one", "by the index"])
async def test_searches_use_indexes(
    em: EntityManager, engine: Any, few_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_search, "FEW_ROWS", few_rows)
    for search in (
        lambda: em.memories.search("word1 word2", user_id="u"),
        lambda: em.memories.search("word1 AND word2*"),
        lambda: em.messages.search("word1", user_id="u"),
        lambda: em.messages.search('"word1 of"'),
        lambda: em.context_documents.search("word1 word2"),
    ):
        with engine.listening() as heard:
            await search()
        for statement, parameters in heard:
            if statement.startswith("SELECT"):
                explained = await engine.explain(statement, parameters, sorts=True)
                assert not read_whole(explained), f"{statement}\n{explained}"


async def test_words_in_memory_are_asked_for_keys_that_an_index_knows(em: EntityManager, engine: Any) -> None:
    await em.memories.index.warm()
    # From the second time on it is asked in the same statement whether the identity is linked with another one.
    for begins in ("SELECT memories.id \n", "SELECT memories.id, (SELECT"):
        with engine.listening() as heard:
            assert await em.memories.search("word1 word2", user_id="u")
        reads = [one for one in heard if one[0].startswith(begins)]
        assert len(reads) == 1
        if isinstance(engine, Sqlite):
            # PostgreSQL looks into the table as long as nothing was vacuumed.
            assert "memories USING COVERING INDEX" in await engine.explain(*reads[0], sorts=True)


def read_whole(explained: str) -> list[str]:
    """The lines that say that a table is read from end to end."""
    lines = [line.strip() for line in explained.splitlines()]
    return [line for line in lines for table in TABLES if line in {f"SCAN {table}", f"Seq Scan on {table}"}]
