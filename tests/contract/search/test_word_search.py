"""Words in memory find what the database finds, whoever writes in the meantime, and only what somebody may see."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.managers.core import word_search
from agent_system.managers.core.reranking import RERANKED
from agent_system.search import text_search
from agent_system.search.embedding.hashing import HashingEmbedder
from tests.contract.memories.sql import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_system.search.hits import Hits

WORDS = ["pizza", "olives", "train", "dog", "garden", "river", "cheese", "winter", "lamp", "music", "berlin", "paper"]


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let even the smallest scope be too large to be looked at one by one, and read in small parts."""
    monkeypatch.setattr(text_search, "FEW_ROWS", 0)
    monkeypatch.setattr(word_search, "PART", 7)
    monkeypatch.setattr(word_search._Texts, "part", 7)
    # Nothing is read by itself.
    monkeypatch.setattr(word_search, "SECONDS_OF_ROW", 3_600.0)


async def both(em: EntityManager, cold: EntityManager, text: str, **filters: Any) -> list[int]:
    """What the words in memory find, which is as good as what the database finds."""
    warm_hits: Hits[Any] = await em.memories.search(text, limit=20, **filters)
    cold_hits: Hits[Any] = await cold.memories.search(text, limit=20, **filters)
    assert em.memories.index.used_bytes > 0 == cold.memories.index.used_bytes
    assert {hit.item.id for hit in warm_hits} == {hit.item.id for hit in cold_hits}
    assert all(hit.found_by == ("text",) and hit.score > 0 for hit in warm_hits)
    return [hit.item.id for hit in warm_hits]


@pytest.fixture
async def cold(migrated_url: str) -> AsyncIterator[EntityManager]:
    """A facade that has nothing in memory."""
    async with DatabaseManager(migrated_url, auto_migrate=False) as db:
        yield EntityManager(db)


async def test_memory_follows_whatever_happens_to_the_rows(
    database: DatabaseManager, em: EntityManager, cold: EntityManager
) -> None:
    chance = random.Random(3)

    def text(number: int) -> str:
        return " ".join([*chance.choices(WORDS, k=4), f"n{number}"])

    await em.memories.create_many([{"content": text(number), "user_id": f"u{number % 3}"} for number in range(20)])
    await em.memories.index.warm()
    # Facades over one database have one memory.
    assert EntityManager(database).memories.index.used_bytes == em.memories.index.used_bytes
    for number in range(20, 26):
        query = " ".join(chance.sample(WORDS, 2))
        found = await both(em, cold, query)
        await both(em, cold, query, user_id="u1")
        await both(em.scoped(user_id="u2"), cold.scoped(user_id="u2"), query)
        if found:
            await em.memories.update(found[0], {"content": text(number + 100)})
            await em.memories.delete(found[-1])
        await em.memories.remember("u1", text(number), tags=["cheese"], importance=number % 10 + 1)
        await run(database, "UPDATE memories SET content = 'pizza of others' WHERE id = :id", id=number % 7 + 1)
        await both(em, cold, "cheese", min_importance=5, tags=["cheese"])
    await run(database, "DELETE FROM memories WHERE user_id = 'u0'")
    await both(em, cold, "pizza olives")
    # What is asked for in another way than by words is asked of the database.
    assert [hit.item.id for hit in await em.memories.search("che*")] == [
        hit.item.id for hit in await cold.memories.search("che*")
    ]
    assert {hit.found_by for hit in await em.memories.search("izz")} == {("substring",)}


async def test_filters_hold_for_words_in_memory_whoever_asks_with_the_same_ones(em: EntityManager) -> None:
    for number in range(40):
        tags = [f"t{number % 3}", "all"]
        await em.memories.remember(f"u{number % 4}", f"pizza {'olives ' * (number % 5)}{number}", tags=tags)
    await em.memories.index.warm()
    scoped = [em, em.scoped(user_id="u1"), em.scoped(user_id="u2")]
    for tag, least in (("t0", 1), ("t1", 5), ("t2", 6)):
        for one, count in zip(scoped, (40, 10, 10), strict=True):
            hits = await one.memories.search("pizza olives", 100, tags=[tag], min_importance=least)
            assert bool(hits) == (least <= 5)
            assert all(tag in hit.item.tags for hit in hits)
            assert len(await one.memories.search("pizza olives", 100, tags=["all", tag], match_tags="any")) == count
    for one, filters in ((em, {}), (em, {"user_id": "u1"}), (scoped[1], {}), (em, {"tags": ["t0"]})):
        whole = [hit.item.id for hit in await one.memories.search("pizza olives", 100, **filters)]
        paged, after = [], None
        while after is not None or not paged:
            page = await one.memories.search("pizza olives", 3, after, **filters)
            paged += [hit.item.id for hit in page]
            after = page.next_cursor
        assert paged == whole
        assert all(hit.snippet.spans for hit in page)


async def test_memories_of_all_identities_of_a_person_are_found(em: EntityManager) -> None:
    users = [await em.users.create({"username": name}) for name in ("ada", "eve")]
    for number in range(12):
        await em.memories.remember(f"web:{number % 4}", f"pizza {number}")
    await em.memories.index.warm()
    # Whoever asks first does not decide whose rows others see.
    assert len(await em.memories.search("pizza", user_id="web:0")) == 3
    assert len(await em.memories.search("pizza", user_id="active")) == 0
    for user, names in zip(users, ((0, 1), (2, 3)), strict=True):
        for name in names:
            await em.identities.update(f"web:{name}", {"user_id": user.id})
    for name, others in (("web:1", {"web:0", "web:1"}), ("web:2", {"web:2", "web:3"}), ("web:0", {"web:0", "web:1"})):
        hits = await em.memories.search("pizza", 100, user_id=name)
        assert {hit.item.user_id for hit in hits} == others
        assert len(hits) == 6
    assert len(await em.memories.search("pizza", 100)) == 12
    assert await em.memories.search("pizza", user_id=None) == []


async def test_vectors_of_what_many_words_found_decide_between_these(database: DatabaseManager) -> None:
    em = EntityManager(database, embedder=HashingEmbedder(32))
    rows = [{"content": f"pizza {word} of number {at}", "user_id": "u"} for at, word in enumerate(WORDS * 10)]
    await em.memories.create_many(rows)
    await em.memories.index.warm()
    hits = await em.memories.search("pizza number 7", mode="hybrid", limit=100)
    assert [len(hit.found_by) for hit in hits] == [2] * RERANKED + [1] * (100 - RERANKED)
    page = await em.memories.search("pizza number 7", mode="hybrid")
    second = await em.memories.search("pizza number 7", after=page.next_cursor, mode="hybrid")
    assert [hit.item.id for hit in [*page, *second]] == [hit.item.id for hit in hits[:20]]
    assert hits[0].item.content.endswith(" 7")
    assert em.memories.index.vectors.size_bytes == 0
    # Where vectors count as much as words do, all of them are asked.
    hits = await em.memories.search("pizza number 7", limit=100, weights={"text": 1, "vector": 1})
    assert em.memories.index.vectors.size_bytes > 0
    page = await em.memories.search("pizza number 7", limit=100, weights={"text": 0, "vector": 1})
    assert {hit.found_by for hit in page} == {("vector",)}


async def test_a_transaction_finds_what_it_wrote_and_nobody_else_does(
    database: DatabaseManager, em: EntityManager
) -> None:
    await em.memories.remember("u", "before")
    await em.memories.index.warm()

    async def fail() -> None:
        async with database.transaction():
            await em.memories.remember("u", "inside")
            assert len(await em.memories.search("inside before")) == 2
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert [hit.item.content for hit in await em.memories.search("inside before")] == ["before"]


async def test_words_are_read_when_searches_have_waited_long_enough(
    migrated_url: str, em: EntityManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await em.memories.remember("u", "pizza")
    await em.memories.search("pizza")
    await em.memories.search("pizza")
    assert em.memories.index.used_bytes == 0
    monkeypatch.setattr(word_search, "SECONDS_OF_ROW", 1e-9)
    await em.memories.search("pizza")
    assert em.memories.index.used_bytes == 0
    monkeypatch.setattr(word_search, "LEAST_ROWS", 1)
    await em.memories.search("pizza")
    assert em.memories.index.used_bytes > 0
    async with DatabaseManager(migrated_url, auto_migrate=False) as db:
        db.settings = db.settings.model_copy(update={"search_memory_mib": 0})
        without = EntityManager(db)
        await without.memories.index.warm()
        assert len(await without.memories.search("pizza")) == 1
        assert without.memories.index.used_bytes == 0
