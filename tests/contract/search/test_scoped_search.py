"""A scoped facade finds its own rows and no others, by either way of looking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_system.errors import ScopeError
from agent_system.search import text_search

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager


@pytest.mark.parametrize("few_rows", [300, 0], ids=["one by one", "by the index"])
async def test_a_scope_searches_its_own_rows(em: EntityManager, few_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_search, "FEW_ROWS", few_rows)
    ada, eve = [await em.users.create({"username": name}) for name in ("ada", "eve")]
    for user in (ada, eve):
        await em.memories.remember(user.id, f"pizza of {user.username}")
        await em.messages.create({"role": "user", "content": f"pizza of {user.username}", "user_id": str(user.id)})
        await em.context_documents.create({"name": "pizza", "content": user.username, "user_id": user.id})
    scoped = em.scoped(user_id=ada.id)
    for manager in (scoped.memories, scoped.messages, scoped.context_documents):
        hits = await manager.search("pizza")
        assert len(hits) == 1
        assert "ada" in hits[0].item.content
        assert await manager.search("eve") == []
        assert await manager.search("izz AND ve") == []
        with pytest.raises(ScopeError):
            await manager.index.rebuild()
    assert await scoped.memories.search("pizza", user_id=eve.id) == []
