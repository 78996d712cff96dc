"""Export: one JSON document with all that is somebody's, and nothing of anybody else."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from agent_system.errors import NotFoundError
from agent_system.managers.privacy.registry import PRIVACY
from agent_system.managers.privacy.rules import Action
from tests.contract.test_erase import personal_columns, plant_all
from tests.planted import ADA, mark

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

# What is only another form of something that is told.
NOT_TOLD = {"memories.content_hash", "memories.scope_key", "embeddings.text_hash"}


async def document_of(em: EntityManager, user_id: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads("".join([piece async for piece in em.users.export(user_id)]))
    return told


async def test_all_that_is_erased_is_told(database: DatabaseManager, em: EntityManager) -> None:
    await plant_all(database)
    told = await document_of(em, ADA)
    assert (told["format"], told["version"], told["user_id"]) == ("agent_system.export", 1, str(ADA))
    text = json.dumps(told["tables"])
    wanted = {one for one in personal_columns() - NOT_TOLD if not one.endswith(("_key", "extra_terms"))}
    assert [one for one in sorted(wanted) if mark(*one.split(".")) not in text] == []
    kept = {name for name, rule in PRIVACY.items() if rule.action is Action.KEEP}
    assert not kept & told["tables"].keys()


async def test_nothing_of_anybody_else_is_told(em: EntityManager) -> None:
    ada, bob = [await em.users.create({"username": name}) for name in ("ada", "bob")]
    his = em.scoped(user_id=bob.id)
    conversation = await his.conversations.create({"title": "secret"})
    await his.messages.append(conversation.id, {"role": "user", "content": "secret"})
    await em.messages.append(conversation.id, {"role": "user", "content": "her words", "user_id": str(ada.id)})
    told = await document_of(em, ada.id)
    assert {*told["tables"]} == {"users", "user_identities", "messages"}
    assert [row["content"] for row in told["tables"]["messages"]] == ["her words"]
    assert "secret" not in json.dumps(told)


async def test_no_hash_is_told(em: EntityManager) -> None:
    user = await em.users.register("ada", "Ada@example.org", "long enough", preferences={"theme": "dark"})
    (row,) = (await document_of(em, user.id))["tables"]["users"]
    assert (row["username"], row["email"], row["preferences"]) == ("ada", "Ada@example.org", {"theme": "dark"})
    assert "password_hash" not in row
    assert user.password_hash is not None


async def test_nobody_has_nothing(em: EntityManager) -> None:
    with pytest.raises(NotFoundError):
        await document_of(em, uuid7())
    ada, bob = [await em.users.create({"username": name}) for name in ("ada", "bob")]
    his = em.scoped(user_id=bob.id)
    with pytest.raises(NotFoundError):
        await document_of(his, ada.id)
    assert (await document_of(his, bob.id))["user_id"] == str(bob.id)


async def test_many_rows_come_in_pieces(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    mine = em.scoped(user_id=user.id)
    text = "x" * 2_000
    await mine.messages.create_many({"role": "user", "content": text} for _ in range(3_000))
    # So that what is measured is what the rows take, and not the statements.
    await document_of(em, user.id)
    tracemalloc.start()
    size = longest = 0
    async for piece in em.users.export(user.id):
        size += len(piece)
        longest = max(longest, len(piece))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 6_000_000
    assert longest < 10_000
    assert most < size / 2
    assert len((await document_of(em, user.id))["tables"]["messages"]) == 3_000
