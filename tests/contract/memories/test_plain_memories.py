"""The short way to a memory, for those of which little is said, writes and returns what the long way does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import ForeignKeyError, ScopeError, ValidationError
from agent_system.models.uuids import uuid7
from agent_system.types import MemoryKind
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Memory

OWNER = "discord:7"
MEMORIES: list[dict[str, Any]] = [
    {"user_id": OWNER, "content": "Likes pizza"},
    {"user_id": None, "content": "東京に行く\0\ud800é", "context": "at  lunch"},
    {"user_id": OWNER, "content": "a  b\n", "tags": [" food ", "food", "", "東京"], "importance": 7},
    {"user_id": OWNER, "content": "x", "metadata": {"pair": (1, 2.5), "n": [1, {}]}, "category": "work"},
    {"user_id": OWNER, "content": "y", "meta": {}, "tags": [], "pinned": True, "guild_id": "g", "channel_id": "\0"},
    {"user_id": "new", "content": "z", "kind": "short_term", "session_uuid": "s"},
    {"user_id": OWNER, "content": "z", "kind": MemoryKind.PASSIVE, "session_uuid": "s", "conversation_id": None},
]
# What nothing knows to say of a memory with these.
LONG: list[dict[str, Any]] = [
    {"timestamp": datetime(2020, 1, 1, tzinfo=UTC)},
    {"expires_at": datetime(2090, 1, 1, tzinfo=timezone(timedelta(hours=5)))},
    {"status": "archived"},
]
REFUSED: list[dict[str, Any]] = [
    {"content": None},
    {"content": b"x"},
    {"importance": 11},
    {"importance": "5"},
    {"tags": "food"},
    {"tags": [1]},
    {"metadata": [1]},
    {"metadata": {"n": float("nan")}},
    {"kind": "eternal"},
    {"scope_key": "mine"},
    {"nonsense": 1},
]


async def remember_the_long_way(em: EntityManager, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]) -> Memory:
    with monkeypatch.context() as patch:
        patch.setattr(em.memories._writer, "remember_plain", lambda _: None)
        return await em.memories.remember(**data)


def columns_of(memory: Memory) -> dict[str, Any]:
    # Moments are those of a clock that ticks.
    others = {"id", "timestamp", "created_at", "updated_at"}
    return {key: (type(value), value) for key, value in memory.model_dump().items() if key not in others}


@pytest.mark.parametrize("data", MEMORIES, ids=range(len(MEMORIES)))
async def test_what_is_written_and_returned_is_that_of_the_long_way(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]
) -> None:
    assert em.memories._writer.remember_plain(data) is not None
    before = repr(data)
    short = await em.memories.remember(**data)
    assert repr(data) == before
    stored = await em.memories.require(short.id)
    await em.memories.delete(short.id)
    long = await remember_the_long_way(em, monkeypatch, data)

    assert columns_of(short) == columns_of(stored) == columns_of(long)
    assert short.model_dump() == stored.model_dump()
    assert short.timestamp == short.created_at == short.updated_at


@pytest.mark.parametrize("data", MEMORIES, ids=range(len(MEMORIES)))
async def test_said_again_the_other_way_it_is_the_same_memory(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]
) -> None:
    first = await em.memories.remember(**data)
    assert (await remember_the_long_way(em, monkeypatch, data)).id == first.id
    again = await em.memories.remember(**data)
    assert again.model_dump() == (await em.memories.require(first.id)).model_dump()
    assert await em.memories.count() == 1


@pytest.mark.parametrize("more", LONG, ids=lambda more: next(iter(more)))
async def test_of_what_more_follows_goes_the_long_way(em: EntityManager, more: dict[str, Any]) -> None:
    data = {"user_id": OWNER, "content": "x", **more}
    assert em.memories._writer.remember_plain(data) is None
    memory = await em.memories.remember(**data)
    assert memory.model_dump() == (await em.memories.require(memory.id)).model_dump()


@pytest.mark.parametrize("wrong", REFUSED, ids=range(len(REFUSED)))
async def test_what_is_refused_is_refused_in_the_words_of_the_long_way(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    data = {"user_id": OWNER, "content": "x", **wrong}
    with pytest.raises(ValidationError) as short:
        await em.memories.remember(**data)
    with pytest.raises(ValidationError) as long:
        await remember_the_long_way(em, monkeypatch, data)
    assert (str(short.value), short.value.field) == (str(long.value), long.value.field)
    assert await em.memories.count() == 0


async def test_what_it_refers_to_must_be_there(em: EntityManager) -> None:
    with pytest.raises(ForeignKeyError) as caught:
        await em.memories.remember(OWNER, "x", agent_id=uuid7())
    assert "agent_id" in str(caught.value)
    assert (await em.memories.count(), await em.identities.count()) == (0, 0)


async def test_of_somebody_who_was_seen_what_it_refers_to_is_told_after_one_try(em: EntityManager) -> None:
    await em.memories.remember(OWNER, "x")
    with recorded_statements() as statements, pytest.raises(ForeignKeyError) as caught:
        await em.memories.remember(OWNER, "y", agent_id=uuid7())
    assert caught.value.fields == ("agent_id",)
    assert sum(text.startswith("INSERT") for text in statements) == 1


async def test_of_somebody_who_was_seen_nothing_is_asked(em: EntityManager) -> None:
    await em.memories.remember(OWNER, "x")
    with recorded_statements() as statements:
        await em.memories.remember(OWNER, "y")
    assert len(statements) == 1


async def test_somebody_who_was_deleted_is_made_again(database: DatabaseManager, em: EntityManager) -> None:
    await em.memories.remember(OWNER, "x")
    await em.identities.delete(OWNER)
    assert (await em.memories.remember(OWNER, "y")).user_id == OWNER
    await em.identities.delete(OWNER)
    others = [em.memories.remember(f"discord:{number}", "z") for number in range(5, 9)]
    assert [memory.user_id for memory in await asyncio.gather(*others)][2] == OWNER
    async with database.transaction():
        await em.identities.delete(OWNER)
        memory = await em.memories.remember(OWNER, "x")

    assert (await em.memories.require(memory.id)).user_id == OWNER
    assert await em.identities.get_by_id(OWNER) is not None


async def test_somebody_whose_transaction_was_rolled_back_is_made_again(
    database: DatabaseManager, em: EntityManager
) -> None:
    async def remember_in_vain() -> None:
        async with database.transaction():
            await em.memories.remember(OWNER, "x")
            raise KeyError

    with pytest.raises(KeyError):
        await remember_in_vain()
    assert await em.identities.get_by_id(OWNER) is None
    await em.memories.remember(OWNER, "x")
    assert await em.identities.get_by_id(OWNER) is not None


async def test_the_row_does_not_share_its_values_with_the_caller(em: EntityManager) -> None:
    tags, meta = ["food"], {"list": [1]}
    first = await em.memories.remember(OWNER, "x", tags=tags, meta=meta)
    tags.append("drink")
    meta["list"].append(2)
    assert (first.tags, first.meta) == (["food"], {"list": [1]})
    second = await em.memories.remember(OWNER, "y")
    second.tags.append("z")
    assert (await em.memories.remember(OWNER, "z")).tags == []


async def test_its_moment_is_that_of_the_clock_in_utc(database: DatabaseManager) -> None:
    zone = timezone(timedelta(hours=5))
    em = EntityManager(database, clock=lambda: datetime(2030, 1, 1, 12, tzinfo=zone))
    memory = await em.memories.remember(OWNER, "x")
    assert memory.timestamp == memory.created_at == datetime(2030, 1, 1, 7, tzinfo=UTC)
    assert memory.timestamp.tzinfo is UTC


async def test_what_it_is_found_by_is_written_with_it(em: EntityManager) -> None:
    memory = await em.memories.remember(OWNER, "Likes pizza", tags=["東京に行く"], context="Überfahrt")
    for text in ("pizza", "東京", "überfahrt"):
        assert [hit.item.id for hit in await em.memories.search(text)] == [memory.id]


async def test_a_scope_has_its_say(em: EntityManager) -> None:
    scoped = em.scoped(user_id=OWNER)
    assert (await scoped.memories.remember(OWNER, "mine")).user_id == OWNER
    with pytest.raises(ScopeError):
        await scoped.memories.remember("discord:8", "not mine")
