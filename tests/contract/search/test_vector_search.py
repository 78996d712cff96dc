"""Vectors find exactly what is most alike, from memory or from the disk, whoever writes in the meantime."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.managers.core import vector_memory, vector_search
from agent_system.managers.core.allowing import LOOKED_AT, first_of
from agent_system.search.embedding.hashing import HashingEmbedder
from agent_system.search.matrix import Matrix
from agent_system.settings import DatabaseSettings
from tests.contract.memories.sql import run

EMBEDDER = HashingEmbedder(32)
WORDS = ["pizza", "olives", "train", "dog", "garden", "river", "cheese", "winter", "lamp", "music", "berlin", "paper"]
OTHER_PROCESS = """
import asyncio, sys
from agent_system import DatabaseManager, EntityManager
from agent_system.search.embedding.hashing import HashingEmbedder

async def main():
    async with DatabaseManager(sys.argv[1], auto_migrate=False) as db:
        em = EntityManager(db, embedder=HashingEmbedder(32))
        await em.memories.remember("other", "written by another process")
        rows = await em.memories.list(order_by="id", limit=2)
        await em.memories.delete(rows.items[0].id)
        await em.memories.update(rows.items[1].id, {"content": "changed by another process"})

asyncio.run(main())
"""


@pytest.fixture
def em(database: DatabaseManager) -> EntityManager:
    return EntityManager(database, embedder=EMBEDDER)


@pytest.fixture
def few_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let even the smallest scope be too large to be looked at one by one."""
    monkeypatch.setattr(vector_search, "FEW_VECTORS", 0)
    for module in (vector_memory, vector_search):
        monkeypatch.setattr(module, "PART", 7)


def some_text(chance: random.Random, number: int) -> str:
    return " ".join([*chance.choices(WORDS, k=4), str(number)])


async def is_best(em: EntityManager, query: str, **filters: Any) -> bool:
    """Whether what is found is what comparing all by hand finds; of equal ones any."""
    rows = [row async for row in em.memories.iter(where=filters)]
    vectors = np.asarray(await EMBEDDER.embed([row.content for row in rows]))
    by_hand = dict(zip([row.id for row in rows], vectors @ (await EMBEDDER.embed([query]))[0], strict=True))
    hits = await em.memories.search(query, mode="vector", limit=20, **filters)
    best = sorted(by_hand.values(), reverse=True)[:20]
    alike = [by_hand[hit.item.id] for hit in hits]
    return [hit.score for hit in hits] == pytest.approx(best, abs=1e-5) == alike


async def found(em: EntityManager, query: str) -> list[int]:
    return [hit.item.id for hit in await em.memories.search(query, mode="vector")]


@pytest.mark.usefixtures("few_vectors")
async def test_memory_follows_whatever_happens_to_the_rows(database: DatabaseManager, em: EntityManager) -> None:
    chance = random.Random(3)
    await em.memories.create_many(
        [{"content": some_text(chance, number), "user_id": f"u{number % 3}"} for number in range(60)]
    )
    for number in range(60, 68):
        query = " ".join(chance.choices(WORDS, k=3))
        assert await is_best(em, query)
        assert await is_best(em, query, user_id="u1")
        some = chance.choice(await found(em, query))
        await em.memories.delete(chance.choice(await found(em, "cheese")))
        await em.memories.remember("u1", some_text(chance, number))
        if await em.memories.get_by_id(some):
            await em.memories.update(some, {"content": some_text(chance, number + 1_000)})
    await run(database, "DELETE FROM memories WHERE user_id = 'u0'")
    assert await is_best(em, "pizza")
    await em.embeddings.clear()
    assert await found(em, "pizza") == []


@pytest.mark.usefixtures("few_vectors")
async def test_what_another_process_writes_is_found(migrated_url: str, em: EntityManager) -> None:
    await em.memories.create_many([{"content": text, "user_id": "u"} for text in ("first", "second", "third")])
    assert len(await found(em, "first")) == 3
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", OTHER_PROCESS, migrated_url)
    assert await process.wait() == 0
    hits = await em.memories.search("another process", mode="vector")
    assert {hit.item.content for hit in hits} == {"written by another process", "changed by another process", "third"}
    assert await is_best(em, "another process")


@pytest.mark.usefixtures("few_vectors")
async def test_what_is_too_large_for_memory_is_read_in_parts(migrated_url: str, em: EntityManager) -> None:
    chance = random.Random(4)
    await em.memories.create_many(
        [{"content": some_text(chance, number), "user_id": f"u{number % 3}"} for number in range(40)]
    )
    async with DatabaseManager(migrated_url, auto_migrate=False) as db:
        db.settings = db.settings.model_copy(update={"search_memory_mib": 0})
        without = EntityManager(db, embedder=EMBEDDER)
        for query in ("pizza train", "river"):
            assert await is_best(without, query)
            assert await is_best(without, query, user_id="u2")
            assert await is_best(em, query)
        assert without.memories.index.vectors.size_bytes == 0
    # What the documentation says: four bytes a number, nine more, and room to grow.
    assert 40 * (4 * 32 + 9) <= em.memories.index.vectors.size_bytes <= 256 * (4 * 32 + 9)


@pytest.mark.usefixtures("few_vectors")
async def test_of_very_many_only_the_signs_are_kept(migrated_url: str, em: EntityManager) -> None:
    chance = random.Random(5)
    rows = [{"content": some_text(chance, number), "user_id": f"u{number % 3}"} for number in range(60)]
    rows += [{"content": f"{word} {word}", "tags": ["rare"]} for word in WORDS[:5]]
    await em.memories.create_many(rows)
    async with DatabaseManager(migrated_url, auto_migrate=False, settings=DatabaseSettings(exact_vectors=40)) as db:
        large = EntityManager(db, embedder=EMBEDDER)
        assert (await large.embeddings.coverage())[0].ways["memories"] is vector_memory.Way.SIGNS
        vectors = large.memories.index.vectors
        for query in ("pizza train", "river"):
            assert await is_best(large, query, user_id="u1")
            assert (await large.memories.search(query, mode="vector", limit=5))[0].score > 0.5
        assert vectors.size_bytes == 256 * (8 + 9)
        assert len(await large.memories.search("river", mode="vector", tags=["rare"])) == 5
        await em.memories.create({"content": "lamp music berlin"})
        assert (await large.memories.search("lamp music berlin", mode="vector"))[0].score == pytest.approx(1.0)
        # Few enough again to be compared as they are, once that is known.
        await run(db, "DELETE FROM memories WHERE user_id IN ('u0', 'u1')")
        assert await is_best(large, "river")
        assert await is_best(large, "train")
        assert vectors.size_bytes == 256 * (4 * 32 + 9)


@pytest.mark.usefixtures("few_vectors")
@pytest.mark.parametrize("exact", [40, 1_000], ids=["signs", "exact"])
async def test_pages_follow_each_other_however_long_they_are(migrated_url: str, em: EntityManager, exact: int) -> None:
    chance = random.Random(6)
    rows = [{"content": some_text(chance, number), "tags": ["rare"] * (number % 40 == 0)} for number in range(400)]
    await em.memories.create_many(rows)
    async with DatabaseManager(migrated_url, auto_migrate=False, settings=DatabaseSettings(exact_vectors=exact)) as db:
        some = EntityManager(db, embedder=EMBEDDER).memories
        for filters, count in ({}, 100), ({"tags": ["rare"]}, 10):
            whole = [hit.item.id for hit in await some.search("pizza train", mode="vector", limit=100, **filters)]
            assert len(whole) == count
            for limit in 1, 9, 33, 99:
                first = await some.search("pizza train", mode="vector", limit=limit, **filters)
                assert [hit.item.id for hit in first] == whole[:limit]
                assert (first.next_cursor is None) is (limit >= count)
                if first.next_cursor is not None:
                    after = first.next_cursor
                    second = await some.search("pizza train", mode="vector", limit=100, after=after, **filters)
                    assert [hit.item.id for hit in second] == whole[limit:]


async def test_a_first_page_looks_at_little_more_than_it_shows(em: EntityManager) -> None:
    await em.memories.create_many([{"content": f"pizza {number}"} for number in range(150)])
    looked_at: list[int] = []
    find = Matrix.best

    def best(matrix: Matrix, query: Any, count: int, among: Any = None) -> Any:
        looked_at.append(count)
        return find(matrix, query, count, among)

    with patch.object(Matrix, "best", best):
        await em.memories.search("pizza", mode="vector", limit=10)
        assert looked_at == [first_of(11)]
        # What goes with words, or behind a page, needs all.
        await em.memories.search("pizza", mode="vector", limit=100)
        assert looked_at[1:] == [LOOKED_AT]


@pytest.mark.usefixtures("few_vectors")
async def test_a_transaction_finds_what_it_wrote_and_nobody_else_does(
    database: DatabaseManager, em: EntityManager
) -> None:
    await em.memories.remember("u", "before")
    assert len(await found(em, "before")) == 1

    async def fail() -> None:
        async with database.transaction():
            await em.memories.remember("u", "inside")
            assert len(await found(em, "inside")) == 2
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert len(await found(em, "inside")) == 1
    await em.memories.remember("u", "behind")
    assert len(await found(em, "inside")) == 2


@pytest.mark.usefixtures("few_vectors")
async def test_many_write_and_search_at_the_same_time(em: EntityManager) -> None:
    async def turn(number: int) -> None:
        await em.memories.remember(f"u{number % 4}", f"{WORDS[number % len(WORDS)]} {number}")
        await em.memories.search(WORDS[number % len(WORDS)])

    await asyncio.gather(*map(turn, range(64)))
    assert await is_best(em, "pizza")
    assert len(await em.memories.search("pizza", mode="vector", limit=100)) == 64


async def test_filters_hold_for_what_is_alike(em: EntityManager) -> None:
    for number in range(6):
        await em.memories.remember("u", f"pizza {number}", tags=["even" if number % 2 == 0 else "odd"], importance=5)
    hits = await em.memories.search("pizza", mode="hybrid", tags=["even"])
    assert len(hits) == 3
    assert all(set(hit.found_by) == {"text", "vector"} for hit in hits)
    assert all(hit.score == pytest.approx(sum(hit.parts.values())) for hit in hits)
    first = await em.memories.search("pizza", limit=2)
    second = await em.memories.search("pizza", limit=4, after=first.next_cursor)
    assert len({hit.item.id for hit in [*first, *second]}) == 6
    assert second.next_cursor is None
    # Who says how wants it so.
    assert [hit.found_by for hit in await em.memories.search('"pizza 3"')] == [("text",)]
    only_text = await em.memories.search("pizza 3", mode="hybrid", weights={"vector": 0})
    assert {hit.found_by for hit in only_text} == {("text",)}


async def test_messages_and_documents_are_alike_too(em: EntityManager) -> None:
    conversation = await em.conversations.create({})
    await em.messages.append(conversation.id, {"role": "user", "content": "walking the dog"})
    await em.messages.create({"role": "user", "content": "the train"})
    await em.context_documents.create({"name": "one", "content": "walks of dogs"})
    hits = await em.messages.search("dog walks", mode="vector", conversation_id=conversation.id)
    assert [hit.item.content for hit in hits] == ["walking the dog"]
    assert [hit.item.name for hit in await em.context_documents.search("dog walk", mode="vector")] == ["one"]


async def test_vectors_of_another_length_are_passed_over(database: DatabaseManager, em: EntityManager) -> None:
    await em.memories.remember("u", "sound")
    await em.memories.remember("u", "broken")
    await run(
        database,
        "UPDATE embeddings SET vector = substr(vector, 1, 5) WHERE memory_id IN"
        " (SELECT id FROM memories WHERE content = 'broken')",
    )
    assert len(await found(em, "sound")) == 1
