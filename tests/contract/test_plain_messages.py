"""The short way to a message outside of conversations writes and returns what the long way does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import ScopeError, ValidationError
from agent_system.managers.core import plain_rows
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

AUTHOR = "discord:7"
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": ""},
    {"role": "user", "content": "Likes pizza", "user_id": AUTHOR},
    {"content": "東京に行く\0\ud800é", "role": "assistant", "user_id": None},
    {"role": "tool", "content": "x", "tool_call_id": "1", "tool_calls": [{"name": "a", "pair": (1, 2.5)}], "parts": []},
    {"role": "user", "content": "x", "metadata": {"n": [1, {}]}, "channel_id": "c", "guild_id": "\0", "parts": None},
    {"role": "user", "content": "x", "meta": {}, "author_name": "Ada", "message_type": "dm"},
    {"role": "assistant", "content": "x", "model": "m", "provider": "p", "input_tokens": 2**40, "output_tokens": 0},
]
REFUSED: list[dict[str, Any]] = [
    {"role": "nobody", "content": "x"},
    {"role": "user", "content": None},
    {"role": "user", "content": b"x"},
    {"role": "user", "content": "x", "input_tokens": -1},
    {"role": "user", "content": "x", "input_tokens": "5"},
    {"role": "user", "content": "x", "metadata": [1]},
    {"role": "user", "content": "x", "metadata": {"n": float("nan")}},
    {"role": "user", "content": "x", "parts": object()},
    {"role": "user", "content": "x", "extra_terms": "y"},
    {"role": "user", "content": "x", "nonsense": 1},
    {"content": "x"},
]
# A key that says nothing leads to the long way.
LONG = {"email_metadata": None}


@pytest.fixture
def clock() -> Clock:
    return Clock.ahead()


@pytest.fixture
async def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    em = EntityManager(database, clock=clock)
    await em.messages.create({"role": "user", "content": "hello", "user_id": AUTHOR})
    return em


async def test_what_is_written_and_returned_is_that_of_the_long_way(em: EntityManager) -> None:
    plain = em.messages._writer._plain
    for data in MESSAGES:
        assert plain.prepare(data) is not None
        assert plain.prepare(data | LONG) is None
        before = repr(data)
        short = await em.messages.create(data)
        assert repr(data) == before
        long = await em.messages.create(data | LONG)
        assert short.__dict__.keys() == long.__dict__.keys()
        assert short.uid != long.uid
        for message in (short, long):
            stored = await em.messages.require(message.id)
            for key in set(em.messages.plans.columns) - {"id", "uid"}:
                wanted = getattr(long, key)
                assert (getattr(message, key), getattr(stored, key)) == (wanted, wanted), (data, key)
                assert type(getattr(message, key)) is type(getattr(stored, key)) is type(wanted), (data, key)


@pytest.mark.parametrize("data", REFUSED, ids=range(len(REFUSED)))
async def test_what_is_refused_is_refused_in_the_words_of_the_long_way(em: EntityManager, data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as short:
        await em.messages.create(data)
    with pytest.raises(ValidationError) as long:
        await em.messages.create(data | LONG)
    assert (str(short.value), short.value.field) == (str(long.value), long.value.field)
    assert await em.messages.count() == 1


async def test_any_mapping_does(em: EntityManager) -> None:
    message = await em.messages.create(MappingProxyType({"role": "user", "content": "x", "metadata": {"n": 1}}))
    assert (await em.messages.require(message.id)).meta == {"n": 1}


async def test_the_row_does_not_share_its_values_with_the_caller(em: EntityManager) -> None:
    given: dict[str, Any] = {"list": [1]}
    first = await em.messages.create({"role": "user", "content": "x", "metadata": given})
    given["list"].append(2)
    assert first.meta == {"list": [1]}
    second = await em.messages.create({"role": "user", "content": "x"})
    second.meta["n"] = 1
    assert (await em.messages.create({"role": "user", "content": "x"})).meta == {}


async def test_its_moment_is_that_of_the_clock_in_utc(database: DatabaseManager) -> None:
    zone = timezone(timedelta(hours=5))
    em = EntityManager(database, clock=lambda: datetime(2030, 1, 1, 12, tzinfo=zone))
    message = await em.messages.create({"role": "user", "content": "x"})
    assert message.created_at == message.updated_at == datetime(2030, 1, 1, 7, tzinfo=UTC)
    assert message.created_at.tzinfo is UTC
    assert (await em.messages.require(message.id)).created_at == message.created_at


async def test_what_it_is_found_by_is_written_with_it(em: EntityManager) -> None:
    message = await em.messages.create({"role": "user", "content": "東京に行く"})
    assert [hit.item.id for hit in await em.messages.search("東京")] == [message.id]


async def test_an_author_who_was_deleted_is_made_again(em: EntityManager) -> None:
    await em.identities.delete(AUTHOR)
    message = await em.messages.create({"role": "user", "content": "again", "user_id": AUTHOR})
    assert message.user_id == AUTHOR
    assert await em.identities.get_by_id(AUTHOR) is not None


async def test_callers_with_ever_different_keys_do_not_fill_the_memory(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_rows, "MOST_SHAPES", 3)
    for data in MESSAGES:
        assert (await em.messages.create(data)).content == data["content"]
    assert len(em.messages._writer._plain._rows._shapes) == 3


async def test_a_scope_has_its_say(em: EntityManager) -> None:
    scoped = em.scoped(user_id=AUTHOR)
    message = await scoped.messages.create({"role": "user", "content": "mine"})
    assert message.user_id == AUTHOR
    with pytest.raises(ScopeError):
        await scoped.messages.create({"role": "user", "content": "not mine", "user_id": "discord:8"})
