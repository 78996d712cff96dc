"""Texts, words, vectors and logs agree, whoever was killed and whichever way the schema went."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system.database.manager import DatabaseManager
from agent_system.database.migrations import run_migrations
from agent_system.entity_manager import EntityManager
from agent_system.search.embedding.hashing import HashingEmbedder
from tests.contract.memories.sql import run
from tests.migration.schema import connected

if TYPE_CHECKING:
    from agent_system.search.hits import Hits

EMBEDDER = HashingEmbedder(16)
TURNS_BEFORE = 3
# What the server does of what a killed client has sent is over before anybody looks.
GONE = {
    "sqlite": "SELECT 1",
    "postgresql": "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
}
WRITER = """
import asyncio, random, sys
from agent_system import DatabaseManager, EntityManager
from agent_system.search.embedding.hashing import HashingEmbedder

async def main():
    chance = random.Random(sys.argv[2])
    async with DatabaseManager(sys.argv[1], auto_migrate=False) as db:
        em = EntityManager(db, embedder=HashingEmbedder(16))
        async def turn(number):
            user = f"u{sys.argv[2]}-{number % 3}"
            memory = await em.memories.remember(user, f"pizza {sys.argv[2]} {number}", tags=["a"])
            await em.messages.create({"role": "user", "content": f"olives {number}", "user_id": "u"})
            if chance.random() < 0.5:
                await em.memories.update(memory.id, {"content": f"changed {sys.argv[2]} {number}"})
            if chance.random() < 0.3:
                await em.memories.delete(memory.id)
        for start in range(0, 1_000_000, 16):
            await asyncio.gather(*map(turn, range(start, start + 16)))
            print(start, flush=True)

asyncio.run(main())
"""


async def check(em: EntityManager) -> int:
    """Compare everything that stands beside the texts with them; returns how many memories there are."""
    assert await em.memories.index.find_damage() is None
    assert await em.messages.index.find_damage() is None
    assert await em.embeddings.drop_stale() == 0
    memories = {row.id async for row in em.memories.iter()}
    # By vectors, by words in memory, and by the database's own index.
    cold = EntityManager(em.db, embedder=EMBEDDER)
    await em.memories.index.warm()
    assert await _all(em, "vector") == memories
    assert await _all(em, "text") == await _all(cold, "text") == memories
    return len(memories)


async def _all(em: EntityManager, mode: str) -> set[int]:
    found: set[int] = set()
    for user in {row.user_id async for row in em.memories.iter()}:
        hits: Hits[Any] = await em.memories.search("pizza changed", mode=mode, user_id=user, limit=100)
        found |= {hit.item.id for hit in hits}
    return found


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=[pytest.mark.full, pytest.mark.timeout(600)])])
async def test_a_writer_that_is_killed_leaves_nothing_half_done(
    migrated_url: str, engine_name: str, kills: int
) -> None:
    count = 0
    for kill in range(kills):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, migrated_url, str(kill), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(TURNS_BEFORE):
            assert await process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        async with connected(migrated_url) as connection:
            await connection.execute(text(GONE[engine_name]))
        async with DatabaseManager(migrated_url, auto_migrate=False) as db:
            em = EntityManager(db, embedder=EMBEDDER)
            assert await em.embeddings.count_missing() == 0
            now = await check(em)
            assert now > count
            count = now


async def test_the_logs_go_and_come_back_with_all_rows(migrated_url: str) -> None:
    async with DatabaseManager(migrated_url, auto_migrate=False) as db:
        em = EntityManager(db, embedder=EMBEDDER)
        await em.memories.create_many([{"content": f"pizza {number}", "user_id": "u0"} for number in range(5)])
    await run_migrations(migrated_url, 18)
    async with connected(migrated_url) as connection:
        # Nobody drops what grows old.
        await connection.execute(text("UPDATE memories SET content = 'changed' WHERE content = 'pizza 3'"))
        assert (await connection.execute(text("SELECT count(*) FROM embeddings"))).scalar() == 5
    await run_migrations(migrated_url)
    async with DatabaseManager(migrated_url, auto_migrate=False) as db:
        em = EntityManager(db, embedder=EMBEDDER)
        assert await run(db, "SELECT count(*) FROM memories_changes") == [(0,)]
        assert await em.embeddings.drop_stale() == 1
        assert await em.embeddings.backfill() == 1
        assert await check(em) == 5
        await run(db, "UPDATE memories SET content = 'pizza again' WHERE content = 'changed'")
        assert await em.embeddings.count_missing() == 1


async def test_logs_are_cut_off_and_who_is_behind_reads_everything(
    database: DatabaseManager, em: EntityManager, engine_name: str
) -> None:
    await em.memories.remember("u", "pizza")
    await em.memories.index.warm()
    # As if very much had happened in the meantime.
    later = {
        "sqlite": "INSERT INTO memories_changes (id, row_id, operation) VALUES (199998, 1, 'update')",
        "postgresql": "SELECT setval(pg_get_serial_sequence('memories_changes', 'id'), 199998)",
    }
    await run(database, later[engine_name])
    await em.memories.remember("u", "olives")
    assert (await run(database, "SELECT min(id) FROM memories_changes"))[0][0] == 1
    await em.memories.remember("u", "capers")
    assert (await run(database, "SELECT min(id) FROM memories_changes"))[0][0] >= 199_998
    assert len(await em.memories.search("olives capers pizza")) == 3
