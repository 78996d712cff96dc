"""Remembering: validated, owned, once, and counted without losing anything."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import (
    CheckError,
    ConflictError,
    DuplicateKeyError,
    ForeignKeyError,
    NotFoundError,
    ValidationError,
)
from agent_system.types import MemoryKind, MemoryStatus
from tests.contract.memories.sql import run

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager
    from tests.clock import Clock

# What people run into: SQL, NUL, half a surrogate pair, scripts without blanks.
TEXTS = ["'; DROP TABLE memories; --", "a\0b", "half \ud83d", "我喜欢吃比萨", "😀" * 50, " x ", "é" * 10_000]


async def test_a_memory_is_stored_before_the_caller_is_told(database: DatabaseManager, em: EntityManager) -> None:
    """Seed 003's system answered "remembered" while its connection was not ready, and stored nothing."""
    memory = await em.memories.remember(
        "discord:1", "Likes pizza", tags=["food", " food ", "", "it"], importance=7, context="dinner", metadata={"a": 1}
    )
    assert await run(database, "SELECT content, importance FROM memories") == [("Likes pizza", 7)]
    assert (memory.tags, memory.context, memory.meta, memory.kind) == (["food", "it"], "dinner", {"a": 1}, "long_term")
    found = await em.memories.require(memory.id)
    assert found.model_dump() == memory.model_dump()
    identity = await em.identities.require("discord:1")
    assert identity.user_id is None


@pytest.mark.parametrize("content", TEXTS)
async def test_any_text_is_remembered_as_it_is(em: EntityManager, content: str) -> None:
    memory = await em.memories.remember(content[:50], content, tags=[content[:20].strip() or "x"], context=content)
    found = await em.memories.require(memory.id)
    assert (found.content, found.context, found.user_id) == (content, content, content[:50])
    assert await em.memories.recent(user_id=content[:50], tags=found.tags) == [found]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"importance": 0}, "importance"),
        ({"importance": 11}, "importance"),
        ({"importance": "5"}, "importance"),
        ({"tags": "food"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"kind": "eternal"}, "kind"),
        ({"mood": "good"}, "mood"),
        ({"content_hash": "x"}, "content_hash"),
        ({"agent_id": "x"}, "agent_id"),
    ],
    ids=str,
)
async def test_what_is_wrong_is_refused_and_nothing_written(
    em: EntityManager, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.memories.remember("u", "x", **values)
    assert caught.value.field == field
    assert (await em.memories.count(), await em.identities.count()) == (0, 0)


async def test_an_owner_is_an_identity_or_a_user(em: EntityManager) -> None:
    with pytest.raises(ValidationError, match="user_id"):
        await em.memories.remember(7, "x")  # type: ignore[arg-type]
    user = await em.users.create({"username": "ada"})
    assert (await em.memories.remember(user.id, "x")).user_id == str(user.id)
    assert (await em.memories.remember(None, "x")).user_id is None
    with pytest.raises(ForeignKeyError) as caught:
        await em.memories.remember("u", "x", agent_id=uuid4())
    assert caught.value.field == "agent_id"
    assert not await em.identities.exists(id="u")


async def test_the_database_itself_refuses_an_importance_out_of_range(database: DatabaseManager) -> None:
    with pytest.raises(CheckError, match="importance"):
        await run(database, "INSERT INTO memories (content, importance) VALUES ('x', 11)")


async def test_said_again_it_is_the_same_memory_and_loses_nothing(em: EntityManager, clock: Clock) -> None:
    soon, late = clock() + timedelta(days=1), clock() + timedelta(days=9)
    first = await em.memories.remember("u", "Likes  tea", tags=["a"], importance=8, expires_at=soon, metadata={"x": 1})
    again = await em.memories.remember(
        "u", "Likes tea ", tags=["b", "a"], importance=3, expires_at=late, context="lunch", metadata={"x": 2, "y": 3}
    )
    assert again.id == first.id
    assert (again.content, again.tags, again.importance) == ("Likes  tea", ["a", "b"], 8)
    assert (again.expires_at, again.context, again.meta) == (late, "lunch", {"x": 1, "y": 3})
    assert (await em.memories.remember("u", "Likes tea")).expires_at is None
    assert await em.memories.count() == 1


async def test_of_another_scope_or_kind_it_is_another_memory(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a"})
    scopes: list[dict[str, Any]] = [
        {}, {"guild_id": "g"}, {"guild_id": ""}, {"channel_id": "g"}, {"agent_id": agent.id},
        {"kind": "short_term", "session_uuid": "1"}, {"kind": "short_term", "session_uuid": "2"}, {"kind": "passive"},
    ]  # fmt: skip
    for user_id in ("u", "v", "", None):
        ids = {(await em.memories.remember(user_id, "x", **scope)).id for scope in scopes}
        assert len(ids) == len(scopes)
        assert {(await em.memories.remember(user_id, "x", **scope)).id for scope in scopes} == ids
    # Where it was said does not make it another one.
    conversation = await em.conversations.create({"title": "c"})
    await em.memories.remember("u", "x", conversation_id=conversation.id, session_uuid="3")
    assert await em.memories.count() == 4 * len(scopes)


@pytest.mark.parametrize("owner", ["u", None])
async def test_many_who_remember_the_same_at_once_write_one_memory(em: EntityManager, owner: str | None) -> None:
    rows = await asyncio.gather(*(em.memories.remember(owner, "same", tags=[f"t{n}"]) for n in range(64)))
    assert len({row.id for row in rows}) == 1
    memory = await em.memories.require(rows[0].id)
    assert sorted(memory.tags) == sorted(f"t{n}" for n in range(64))
    assert await em.memories.count() == 1


async def test_created_twice_is_an_error_that_names_the_rule(em: EntityManager) -> None:
    await em.memories.create({"user_id": "u", "content": "x"})
    with pytest.raises(DuplicateKeyError, match="says the same"):
        await em.memories.create({"user_id": "u", "content": "x"})
    assert await em.memories.count() == 1


async def test_the_rule_follows_changes(em: EntityManager) -> None:
    one = await em.memories.remember("u", "one")
    two = await em.memories.remember("u", "two")
    with pytest.raises(DuplicateKeyError):
        await em.memories.update(two.id, {"content": "one"})
    await em.memories.archive(one.id)
    assert (await em.memories.update(two.id, {"content": "one"})).content == "one"
    with pytest.raises(DuplicateKeyError):
        await em.memories.restore(one.id)
    moved = await em.memories.update(two.id, {"user_id": "new"})
    assert await em.identities.exists(id="new")
    assert (await em.memories.restore(one.id)).status == MemoryStatus.ACTIVE
    assert (await em.memories.remember("new", "one")).id == moved.id


async def test_recalls_of_many_at_once_are_all_counted(em: EntityManager, clock: Clock) -> None:
    ids = [(await em.memories.remember("u", f"memory {n}")).id for n in range(4)]
    before = await em.memories.require(ids[0])
    clock.move(days=1)
    counts = await asyncio.gather(*(em.memories.recalled([*ids, ids[0], 10**9]) for _ in range(64)))
    assert counts == [4] * 64
    rows = await em.memories.get_many(ids)
    assert [row.recall_count for row in rows.values()] == [64] * 4
    after = rows[ids[0]]
    assert after.last_recalled_at is not None
    assert after.last_recalled_at > before.timestamp
    # Being recalled is no change.
    assert (after.updated_at, after.version) == (before.updated_at, before.version)
    assert await em.memories.recalled([]) == 0


async def test_tags_of_many_at_once_are_all_kept(em: EntityManager) -> None:
    """Seed 003's system updated tags by storing the memory again: tags got lost, or the memory was there twice."""
    memory = await em.memories.remember("u", "x", tags=["a"])
    await asyncio.gather(*(em.memories.add_tags(memory.id, f"t{n}", "a") for n in range(32)))
    tagged = await em.memories.require(memory.id)
    assert sorted(tagged.tags) == sorted(["a", *(f"t{n}" for n in range(32))])
    await asyncio.gather(*(em.memories.remove_tags(memory.id, f"t{n}", "never there") for n in range(31)))
    left = await em.memories.require(memory.id)
    assert sorted(left.tags) == ["a", "t31"]
    assert await em.memories.tag_counts(user_id="u") == {"a": 1, "t31": 1}
    assert await em.memories.count() == 1
    with pytest.raises(ValidationError, match="tags"):
        await em.memories.add_tags(memory.id, 7)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        await em.memories.add_tags(10**9, "x")


async def test_a_pinned_memory_does_not_expire(em: EntityManager, clock: Clock) -> None:
    memory = await em.memories.remember("u", "x", expires_at=clock() + timedelta(days=1))
    pinned = await em.memories.pin(memory.id)
    assert (pinned.pinned, pinned.expires_at) == (True, None)
    clock.move(days=2)
    assert await em.memories.sweep() == 0
    assert (await em.memories.unpin(memory.id)).pinned is False


async def test_an_update_expects_a_version(em: EntityManager) -> None:
    memory = await em.memories.remember("u", "x")
    changed = await em.memories.update(memory.id, {"importance": 9}, expected_version=1)
    assert (changed.importance, changed.version) == (9, 2)
    with pytest.raises(ConflictError):
        await em.memories.update(memory.id, {"importance": 1}, expected_version=1)


async def test_memories_go_with_whose_they_are(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "a"})
    conversation = await em.conversations.create({"title": "c"})
    theirs = await em.memories.remember(user.id, "theirs", tags=["t"])
    of_agent = await em.memories.remember(None, "the agent's", agent_id=agent.id)
    kept = await em.memories.remember("v", "kept", conversation_id=conversation.id)
    await em.users.delete(user.id)
    await em.agents.delete(agent.id)
    await em.conversations.delete(conversation.id)
    left = await em.memories.get_many([theirs.id, of_agent.id, kept.id])
    assert list(left) == [kept.id]
    assert left[kept.id].conversation_id is None
    assert await em.memories.tag_counts() == {}


async def test_kinds_of_memory_are_rows(em: EntityManager, clock: Clock) -> None:
    """Seed 004's short-term memory was a map in one process, gone with it."""
    memory = await em.memories.remember(
        "u", "said in passing", kind=MemoryKind.SHORT_TERM, session_uuid="s", expires_at=clock() + timedelta(hours=24)
    )
    assert await em.memories.candidates(session_uuid="s") == [memory]
    clock.move(hours=25)
    assert await em.memories.candidates(session_uuid="s") == []
