"""What is looked for is among the ten best: on both engines alike, and by words and vectors no less than by words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.search.embedding.hashing import HashingEmbedder
from scripts.benchmarks.search_corpus import corpus

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from scripts.benchmarks.search_corpus import Corpus

ROWS, QUESTIONS = 600, 25
# One question more or less; `scripts/bench search --url` asks more of them.
APART = 1 / QUESTIONS
WORSE = 0.01


@pytest.fixture(scope="module")
def texts() -> Corpus:
    return corpus(ROWS, 10, QUESTIONS)


async def recall(em: EntityManager, texts: Corpus, **how: Any) -> float:
    found = 0
    for question in texts.questions:
        hits = await em.memories.search(question.text, **how)
        found += texts.texts[question.answer] in {hit.item.content for hit in hits}
    return found / len(texts.questions)


async def test_the_known_item_is_found(database: DatabaseManager, texts: Corpus) -> None:
    em = EntityManager(database, embedder=HashingEmbedder())
    pairs = zip(texts.texts, texts.users, strict=True)
    await em.memories.create_many([{"content": content, "user_id": user} for content, user in pairs])
    by_database = await recall(em, texts, mode="text")
    await em.memories.index.warm()
    in_memory = await recall(em, texts, mode="text")
    assert em.memories.index.used_bytes > 0
    assert in_memory >= 0.9
    assert abs(by_database - in_memory) <= APART
    assert await recall(em, texts, mode="hybrid") >= in_memory - WORSE
