"""PostgreSQL's own index of vectors (pgvector) finds what is alike, whoever writes, and goes without a trace."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import make_url

from agent_system.clock import utc_now
from agent_system.database.manager import DatabaseManager
from agent_system.database.migrations import check_schema, run_migrations
from agent_system.doctor.patient import Patient
from agent_system.doctor.vectors import check_vectors
from agent_system.entity_manager import EntityManager
from agent_system.errors import ConfigurationError, TransactionError
from agent_system.managers.core import vector_search
from agent_system.managers.core.vector_memory import Way
from agent_system.search.embedding.hashing import HashingEmbedder
from agent_system.settings import DatabaseSettings
from tests import requirements as requires
from tests.contract.memories.sql import run
from tests.contract.search.test_vector_search import WORDS, some_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = requires.vector_index

EMBEDDER = HashingEmbedder(32)
EXACT = 40


@pytest.fixture
async def db(migrated_url: str) -> AsyncIterator[DatabaseManager]:
    """Yield a database of which vectors are many from 41 on."""
    async with DatabaseManager(migrated_url, settings=DatabaseSettings(exact_vectors=EXACT)) as manager:
        yield manager


@pytest.fixture
async def em(db: DatabaseManager) -> EntityManager:
    """Return a facade on 120 memories with vectors."""
    em = EntityManager(db, embedder=EMBEDDER)
    chance = random.Random(6)
    rows: list[dict[str, Any]] = [
        {"content": some_text(chance, number), "user_id": f"u{number % 3}"} for number in range(115)
    ]
    await em.memories.create_many([*rows, *({"content": word, "tags": ["rare"]} for word in WORDS[:5])])
    return em


async def ways(em: EntityManager) -> set[Way]:
    return {one.ways["memories"] for one in await em.embeddings.coverage()}


async def scores(em: EntityManager, query: str, **filters: Any) -> list[float]:
    return [round(hit.score, 5) for hit in await em.memories.search(query, mode="vector", limit=20, **filters)]


async def best(em: EntityManager, query: str) -> list[float]:
    """The best twenty by hand."""
    vectors = np.asarray(await EMBEDDER.embed([row.content async for row in em.memories.iter()]))
    likeness = vectors @ np.asarray(await EMBEDDER.embed([query]))[0]
    return [round(float(one), 5) for one in sorted(likeness, reverse=True)[:20]]


def in_memory(em: EntityManager) -> int:
    return em.memories.index.vectors.size_bytes


async def test_an_index_finds_what_is_alike_whatever_happens_to_the_rows(
    db: DatabaseManager, em: EntityManager
) -> None:
    assert await ways(em) == {Way.SIGNS}
    assert await em.embeddings.build_index() == ["idx_embeddings_hnsw_memory_1"]
    assert await ways(em) == {Way.INDEX}
    assert (await em.health()).vector_indexes == 1
    for query in ("pizza train", "river"):
        assert await scores(em, query) == pytest.approx(await best(em, query), abs=1e-4)
    # Filters hold, whether they let many through or few; a small scope is compared exactly.
    assert len(await scores(em, "river", tags=["rare"])) == 5
    assert len(await scores(em, "river", user_id="u1")) == 20
    assert in_memory(em) == 0
    await run(db, "DELETE FROM memories WHERE user_id = 'u0'")
    await em.memories.remember("u1", "written later")
    await run(db, "UPDATE embeddings SET vector = substr(vector, 1, 5) WHERE memory_id = 2")
    await run(db, "UPDATE embeddings SET vector = decode(repeat('0000c07f', 32), 'hex') WHERE memory_id = 5")
    assert (await scores(em, "written later"))[0] == pytest.approx(1.0)
    async with db.transaction():
        await em.memories.remember("u1", "inside of it")
        assert (await scores(em, "inside of it"))[0] == pytest.approx(1.0)
    assert in_memory(em) == 0
    await em.embeddings.clear()
    assert await scores(em, "river") == []


async def test_models_have_indexes_side_by_side(em: EntityManager) -> None:
    other = HashingEmbedder(48)
    await em.embeddings.backfill(other)
    message = await em.messages.create({"role": "user", "content": "river"})
    assert await em.embeddings.build_index(other) == ["idx_embeddings_hnsw_memory_2"]
    assert await em.embeddings.build_index() == ["idx_embeddings_hnsw_memory_1", "idx_embeddings_hnsw_memory_2"]
    hits = await em.memories.search("river", mode="vector", embedder=other)
    assert "river" in hits[0].item.content
    assert in_memory(em) == 0
    assert (await em.messages.search("river", mode="vector"))[0].item.id == message.id
    assert await em.embeddings.drop_index(EMBEDDER) == ["idx_embeddings_hnsw_memory_1"]
    assert await ways(em) == {Way.SIGNS, Way.INDEX}
    before = in_memory(em)
    assert (await scores(em, "train"))[0] == pytest.approx(1.0)
    assert in_memory(em) > before
    assert await em.embeddings.drop_index() == ["idx_embeddings_hnsw_memory_2"]
    assert await em.embeddings.drop_index() == []


async def test_an_index_that_somebody_else_drops_is_missed_by_nobody(
    migrated_url: str, em: EntityManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_search, "FEW_VECTORS", 0)
    await em.embeddings.build_index()
    assert (await scores(em, "train"))[0] == pytest.approx(1.0)
    async with DatabaseManager(migrated_url) as other:
        await EntityManager(other).embeddings.drop_index()
    assert (await scores(em, "train"))[0] == pytest.approx(1.0)
    assert in_memory(em) > 0


async def test_the_schema_stays_ours_and_can_be_taken_back(
    migrated_url: str, db: DatabaseManager, em: EntityManager
) -> None:
    patient = Patient(db=db, now=utc_now())
    (found,) = await check_vectors(patient)
    assert found.advice == "agent-system vectors index"
    await em.embeddings.build_index()
    assert not list(await check_vectors(patient))
    async with db.engine.connect() as connection:
        assert await check_schema(connection) == []
    await db.disconnect()
    await run_migrations(migrated_url, 13)


async def test_the_server_is_asked_by_its_index(db: DatabaseManager, em: EntityManager) -> None:
    await em.embeddings.build_index()
    await scores(em, "river")
    await run(db, "SELECT pg_stat_force_next_flush()")
    ((scans,),) = await run(
        db, "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'idx_embeddings_hnsw_memory_1'"
    )
    assert scans >= 1


async def test_who_may_not_install_it_is_told_so_and_may_use_it_once_it_is_there(
    migrated_url: str, db: DatabaseManager, em: EntityManager
) -> None:
    async with db.transaction():
        with pytest.raises(TransactionError):
            await em.embeddings.build_index()
    await run(db, "CREATE ROLE plain LOGIN")
    try:
        # Owns the tables, and is no superuser.
        await run(db, "GRANT postgres TO plain")
        plain = make_url(migrated_url).set(username="plain").render_as_string()
        async with DatabaseManager(plain, auto_migrate=False, settings=db.settings) as other:
            mine = EntityManager(other, embedder=EMBEDDER)
            with pytest.raises(ConfigurationError, match="CREATE EXTENSION vector"):
                await mine.embeddings.build_index()
            assert (await scores(mine, "train"))[0] == pytest.approx(1.0)
            await run(db, "CREATE EXTENSION vector")
            assert await mine.embeddings.build_index() == ["idx_embeddings_hnsw_memory_1"]
            in_memory_before = in_memory(mine)
            await mine.memories.remember("u1", "found by the index")
            assert (await scores(mine, "found by the index"))[0] == pytest.approx(1.0)
            assert in_memory(mine) == in_memory_before
            async with other.transaction():
                assert (await scores(mine, "train"))[0] == pytest.approx(1.0)
                settings = "SELECT current_setting('agent_system.is_found'), current_setting('hnsw.ef_search')"
                assert await run(other, settings) == [("off", "40")]
            await mine.embeddings.drop_index()
    finally:
        await run(db, "REASSIGN OWNED BY plain TO postgres")
        await run(db, "DROP ROLE plain")
