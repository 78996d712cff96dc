"""Vectors stand beside the texts that they were made of, come with them or later, and go without them."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import EmbeddingError, ValidationError
from agent_system.search.embedding.hashing import HashingEmbedder
from tests.contract.memories.sql import run
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.embeddings.embeddings import Backfill

ONE, OTHER = HashingEmbedder(16), HashingEmbedder(32)


class Failing:
    """Answers so many times, and then no more."""

    name = ONE.name
    dimensions = ONE.dimensions

    def __init__(self, times: int = 0) -> None:
        self.times = times

    async def embed(self, texts: Sequence[str]) -> Any:
        self.times -= 1
        if self.times < 0:
            raise EmbeddingError("the service is out")
        return await ONE.embed(texts)


@pytest.fixture
def em(database: DatabaseManager) -> EntityManager:
    return EntityManager(database, embedder=ONE)


async def fill(em: EntityManager) -> None:
    """One text of each kind, each in its own way."""
    user = await em.users.create({"username": "ada"})
    await em.memories.remember(user.id, "pizza")
    await em.memories.create_many([{"content": "olives", "user_id": "eve"}, {"content": "", "user_id": "eve"}])
    conversation = await em.conversations.create({"user_id": user.id})
    await em.messages.append(conversation.id, {"role": "user", "content": "hello"})
    async with em.messages.stream(conversation.id) as stream:
        await stream.write("good ")
        await stream.write("day")
    await em.context_documents.create({"name": "guide", "content": "how to", "user_id": user.id})


async def counts(em: EntityManager) -> list[dict[str, int]]:
    return [dict(each.vectors) for each in await em.embeddings.coverage()]


ALL = {"memories": 2, "messages": 2, "context_documents": 1}
NONE = dict.fromkeys(ALL, 0)


async def test_what_many_remember_at_once_is_written_together_with_its_vectors(
    em: EntityManager, engine_name: str
) -> None:
    await em.memories.remember("u1", "text 1", tags=["old"])
    with recorded_statements() as statements:
        new = await asyncio.gather(*(em.memories.remember(f"u{n % 7}", f"text {n}") for n in range(2, 34)))
    writes = [text for text in statements if text.startswith("INSERT INTO") and "user_identities" not in text]
    # On SQLite one for all rows and one for their vectors.
    assert len(writes) == (2 if engine_name == "sqlite" else 64)
    # With one that is known already among them.
    rows = await asyncio.gather(*(em.memories.remember(f"u{n % 7}", f"text {n}", tags=["new"]) for n in range(40)))
    assert [row.content for row in rows] == [f"text {n}" for n in range(40)]
    assert (rows[1].tags, [row.id for row in rows[2:34]]) == (["old", "new"], [row.id for row in new])
    assert await em.memories.count() == 40
    assert (await counts(em))[0]["memories"] == 40
    for row in rows[::13]:
        (hit, *_) = await em.memories.search(row.content, user_id=row.user_id, mode="vector")
        assert hit.item.id == row.id


async def test_of_a_model_that_was_seen_nothing_is_asked_and_one_that_was_deleted_is_made_again(
    database: DatabaseManager, em: EntityManager
) -> None:
    for content in ("pizza", "olives"):
        with recorded_statements() as statements:
            await em.memories.remember("eve", content)
    assert len(statements) == 2
    await run(database, "DELETE FROM embedding_models")
    await em.memories.remember("eve", "pasta")
    await run(database, "DELETE FROM embedding_models")
    await em.memories.create({"content": "wine"})
    await run(database, "DELETE FROM embedding_models")
    await asyncio.gather(*(em.memories.remember("eve", f"dish {number}") for number in range(3)))
    async with database.transaction():
        await run(database, "DELETE FROM embedding_models")
        await em.memories.remember("eve", "ice")

    assert [each["memories"] for each in await counts(em)] == [1]
    assert [hit.item.content for hit in await em.memories.search("ice", mode="vector")] == ["ice"]
    assert await em.memories.count() == 8


async def test_a_model_whose_transaction_was_rolled_back_is_made_again(
    database: DatabaseManager, em: EntityManager
) -> None:
    async def remember_in_vain() -> None:
        async with database.transaction():
            await em.memories.remember("eve", "pizza")
            raise KeyError

    with pytest.raises(KeyError):
        await remember_in_vain()
    await em.memories.remember("eve", "pizza")
    assert [each["memories"] for each in await counts(em)] == [1]


async def test_vectors_come_with_their_texts(database: DatabaseManager, em: EntityManager) -> None:
    await fill(em)
    assert await counts(em) == [ALL]
    assert await em.embeddings.count_missing() == 0
    ((vector,),) = await run(
        database,
        "SELECT vector FROM embeddings JOIN memories ON memories.id = memory_id WHERE memories.content = 'pizza'",
    )
    assert list(struct.unpack("<16f", vector)) == pytest.approx((await ONE.embed(["pizza"]))[0].tolist())
    (first, *_) = await em.embeddings.coverage()
    assert (first.model, first.dimensions) == ("agent_system/hashing-16", 16)


async def test_a_text_that_is_rolled_back_leaves_no_vector(database: DatabaseManager, em: EntityManager) -> None:

    async def fail() -> None:
        async with database.transaction():
            await em.memories.remember("u", "in vain")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await run(database, "SELECT id FROM embeddings") == []
    with pytest.raises(ValidationError):
        await em.memories.remember("u", "x", importance=11)
    assert await run(database, "SELECT id FROM embeddings") == []


async def test_a_changed_text_loses_its_vector_whoever_changes_it(database: DatabaseManager, em: EntityManager) -> None:
    await fill(em)
    for table in ALL:
        await run(database, f"UPDATE {table} SET content = 'other' WHERE content IN ('pizza', 'hello', 'how to')")
    assert await counts(em) == [{"memories": 1, "messages": 1, "context_documents": 0}]
    assert await em.embeddings.backfill() == 3
    assert await counts(em) == [ALL]
    # Through the layer it gets the new one at once, and what is no change of the text changes nothing.
    (memory,) = (await em.memories.search("olives", mode="text")).items
    await em.memories.update(memory.id, {"content": "capers"})
    await em.memories.update(memory.id, {"pinned": True})
    assert await counts(em) == [ALL]
    assert (await em.memories.search("capers", mode="vector"))[0].score == pytest.approx(1.0)


async def test_models_stand_side_by_side_and_are_cleared_apart(em: EntityManager) -> None:
    await fill(em)
    assert await em.embeddings.backfill(OTHER) == 5
    assert await counts(em) == [ALL, ALL]
    assert len(await em.memories.search("pizza", mode="vector", embedder=OTHER)) == 2
    assert await em.embeddings.clear(user_id="eve") == 2
    assert await em.embeddings.clear(model=ONE) == 4
    assert await counts(em) == [NONE, {**ALL, "memories": 1}]
    assert await em.embeddings.clear(model="agent_system/hashing-32") == 4
    assert await em.embeddings.backfill() == 5
    assert await em.embeddings.clear() == 5
    assert await em.memories.count() == 3


async def test_backfill_goes_on_where_it_was(em: EntityManager) -> None:
    em.memories.embedder = None
    await em.memories.create_many([{"content": f"text {number}", "user_id": "u"} for number in range(7)])
    told: list[Backfill] = []
    with pytest.raises(EmbeddingError, match="out"):
        await em.embeddings.backfill(Failing(2), batch=2, progress=told.append)
    assert [(each.table, each.done, each.total) for each in told] == [("memories", 2, 7), ("memories", 4, 7)]
    assert await em.embeddings.count_missing() == 3
    assert await em.embeddings.backfill(batch=2) == 3
    assert await em.embeddings.backfill() == 0
    assert await counts(em) == [{**NONE, "memories": 7}]


async def test_an_embedder_that_fails_loses_no_text(em: EntityManager) -> None:
    em.memories.embedder = Failing()
    memory = await em.memories.remember("u", "pizza")
    assert await em.memories.get_by_id(memory.id)
    assert await em.embeddings.count_missing(ONE) == 1
    assert [hit.found_by for hit in await em.memories.search("pizza")] == [("text",)]
    assert await em.embeddings.backfill(ONE) == 1
    with pytest.raises(EmbeddingError):
        await em.memories.search("pizza", mode="hybrid")
    with pytest.raises(EmbeddingError):
        await em.memories.search("pizza", mode="vector")


async def test_a_text_that_changes_while_it_is_embedded_gets_no_vector_of_what_it_was(
    database: DatabaseManager, em: EntityManager
) -> None:
    em.memories.embedder = None
    await em.memories.remember("u", "before")

    class Slow(Failing):
        async def embed(self, texts: Sequence[str]) -> Any:
            await run(database, "UPDATE memories SET content = 'after'")
            return await ONE.embed(texts)

    assert await em.embeddings.backfill(Slow(), tables=["memories"]) == 0
    assert await em.embeddings.backfill() == 1
    assert (await em.memories.search("after", mode="vector", embedder=ONE))[0].score == pytest.approx(1.0)


async def test_vectors_that_no_trigger_saw_grow_old_are_dropped(database: DatabaseManager, em: EntityManager) -> None:
    await fill(em)
    await run(database, "UPDATE embeddings SET text_hash = 'of another text' WHERE memory_id IS NOT NULL")
    assert await em.embeddings.drop_stale() == 2
    assert await em.embeddings.drop_stale() == 0
    assert await em.embeddings.backfill() == 2


async def test_vectors_follow_their_owner(database: DatabaseManager, em: EntityManager) -> None:
    await fill(em)
    memory = (await em.memories.search("olives", mode="text"))[0].item
    await em.memories.update(memory.id, {"user_id": "mallory"})
    rows = await run(database, "SELECT user_id FROM embeddings WHERE memory_id = :id", id=memory.id)
    assert [row[0] for row in rows] == ["mallory"]
    ada = await em.users.find_one(username="ada")
    assert ada is not None
    await em.users.erase(ada.id)
    assert await counts(em) == [{"memories": 1, "messages": 0, "context_documents": 0}]


async def test_a_scope_has_its_own_vectors(em: EntityManager) -> None:
    await fill(em)
    scoped = em.scoped(user_id="eve")
    assert await scoped.embeddings.clear() == 1
    assert await scoped.embeddings.count_missing() == 1
    assert await scoped.embeddings.backfill() == 1
    assert await counts(em) == [ALL]
    assert [hit.item.content for hit in await scoped.memories.search("pizza olives", mode="vector")] == ["olives"]


async def test_what_cannot_be_asked_is_refused(database: DatabaseManager, em: EntityManager) -> None:
    plain = EntityManager(database)
    for mode in ("vector", "hybrid"):
        with pytest.raises(ValidationError, match="embedder"):
            await plain.memories.search("x", mode=mode)
    with pytest.raises(ValidationError, match="embedder"):
        await plain.embeddings.backfill()
    with pytest.raises(ValidationError, match="batch"):
        await em.embeddings.backfill(batch=0)
    with pytest.raises(ValidationError, match="links"):
        await em.embeddings.backfill(tables=["links"])
    for weights in ({"text": -1.0}, {"words": 1.0}, {"vector": "much"}):
        with pytest.raises(ValidationError, match="weights"):
            await em.memories.search("x", weights=weights)
