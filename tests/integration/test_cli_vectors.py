"""`agent-system vectors` as a shell sees it."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from agent_system.cli.main import run
from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.search.embedding.hashing import HashingEmbedder


async def fill(url: str) -> None:
    async with DatabaseManager(url, auto_migrate=False) as db:
        em = EntityManager(db, embedder=HashingEmbedder(32))
        await em.memories.create_many([{"content": "pizza"}, {"content": "olives"}])


def test_vectors_are_counted_and_indexed_where_the_engine_can(
    migrated_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(fill(migrated_url))
    monkeypatch.setenv("AGENT_SYSTEM_EXACT_VECTORS", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["agent-system", "--url", migrated_url, "vectors", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            run()
        assert not exited.value.code
        return capsys.readouterr().out

    names = json.loads(call("index", "--json"))["indexes"]
    # SQLite keeps none.
    assert names in ([], ["idx_embeddings_hnsw_memory_1"])
    shown = json.loads(call("show", "--json"))["models"][0]
    assert (shown["dimensions"], shown["vectors"]["memories"]) == (32, 2)
    assert shown["ways"]["memories"] == ("index" if names else "signs")
    assert "memories" in call("show")
    assert all(name in call("drop") for name in names)
    assert call("drop") == "no index\n"
