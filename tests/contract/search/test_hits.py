"""Hits: in a stable order, by pages, with what they were found by, and only those that were asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import CursorError, ValidationError
from agent_system.search import text_search
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(params=["one by one", "by the index"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look through few rows, or ask the index."""
    if request.param == "by the index":
        monkeypatch.setattr(text_search, "FEW_ROWS", 0)


@pytest.mark.usefixtures("ways")
async def test_rare_words_and_more_of_them_come_first(em: EntityManager) -> None:
    for content in (
        "pizza for lunch today",
        "pizza for dinner today",
        "pizza with olives for lunch",
        "bread with olives for lunch",
        "pizza pizza pizza today",
        "lunch",
        "tea",
    ):
        await em.memories.remember("u", content)
    hits = await em.memories.search("pizza olives", user_id="u")
    assert hits[0].item.content == "pizza with olives for lunch"
    assert hits[1].item.content == "bread with olives for lunch"
    assert hits[2].item.content == "pizza pizza pizza today"
    assert all(hit.parts == {"text": hit.score} for hit in hits)
    assert "lunch" not in [hit.item.content for hit in hits]


@pytest.mark.usefixtures("ways")
async def test_pages_follow_each_other(em: EntityManager) -> None:
    for number in range(25):
        await em.memories.remember("u", f"pizza number {number} {'olives ' * (number % 4)}")
    everything = [hit.item.id for hit in await em.memories.search("pizza olives", 100, user_id="u")]
    assert len(everything) == 25
    paged: list[int] = []
    after: str | None = None
    while True:
        page = await em.memories.search("pizza olives", 4, after, user_id="u")
        paged += [hit.item.id for hit in page]
        after = page.next_cursor
        if after is None:
            break
    assert paged == everything
    first = await em.memories.search("pizza olives", 4, user_id="u")
    for other in ({"text": "olives"}, {"user_id": "v"}, {"tags": ["x"]}):
        asked: dict[str, Any] = {"text": "pizza olives", "user_id": "u", **other}
        with pytest.raises(CursorError):
            await em.memories.search(limit=4, after=first.next_cursor, **asked)
    with pytest.raises(CursorError):
        await em.memories.search("pizza olives", after="nonsense", user_id="u")


async def test_wrong_arguments_are_errors(em: EntityManager) -> None:
    for arguments in ({"limit": 0}, {"mode": "psychic"}, {"mood": "good"}, {"text": 7}):
        given: dict[str, Any] = {"text": "x", **arguments}
        for manager in (em.memories, em.messages, em.context_documents):
            with pytest.raises(ValidationError) as caught:
                await manager.search(**given)  # type: ignore[attr-defined]
            assert caught.value.field == next(iter(arguments))


async def test_words_of_other_people_do_not_shift_ranks(em: EntityManager) -> None:
    for content in ("common rare", "common", "common common", "rare"):
        await em.memories.remember("u", content)
    before = [(hit.item.id, hit.score) for hit in await em.memories.search("common rare", user_id="u")]
    await em.memories.create_many({"user_id": "v", "content": f"rare {number}"} for number in range(400))
    after = [(hit.item.id, hit.score) for hit in await em.memories.search("common rare", user_id="u")]
    assert before == after


@pytest.mark.usefixtures("ways")
async def test_memories_are_filtered(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a"})
    user = await em.users.create({"username": "ada"})
    await em.identities.create({"id": "discord:1", "display_name": "a", "user_id": user.id})
    await em.memories.remember("discord:1", "pizza one", tags=["a", "b"], importance=9, timestamp=MOMENT)
    await em.memories.remember(user.id, "pizza two", tags=["a"], importance=2, guild_id="g", agent_id=agent.id)
    await em.memories.remember("v", "pizza three", category="food", kind="short_term")
    away = await em.memories.remember("v", "pizza away")
    await em.memories.archive(away.id)
    await em.memories.remember("v", "pizza gone", expires_at=MOMENT)

    async def found(**filters: Any) -> set[str]:
        return {hit.item.content.split()[1] for hit in await em.memories.search("pizza", **filters)}

    assert await found() == {"one", "two", "three"}
    assert await found(user_id=user.id) == await found(user_id="discord:1") == {"one", "two"}
    assert await found(user_id="v") == {"three"}
    assert await found(user_id="v", status=None, include_expired=True) == {"three", "away", "gone"}
    assert await found(tags=["a", "b"]) == {"one"}
    assert await found(tags=["a", "b"], match_tags="any", user_id=user.id) == {"one", "two"}
    assert await found(min_importance=3, user_id=user.id) == {"one"}
    assert await found(since=MOMENT, until=MOMENT + timedelta(seconds=1)) == {"one"}
    assert await found(guild_id="g") == await found(agent_id=agent.id) == {"two"}
    assert await found(category="food") == await found(kind="short_term") == {"three"}


async def test_messages_are_filtered(em: EntityManager) -> None:
    conversation = await em.conversations.create({})
    await em.messages.append(conversation.id, {"role": "user", "content": "pizza one", "user_id": "u"})
    await em.messages.append(conversation.id, {"role": "assistant", "content": "pizza two"})
    await em.messages.create({"role": "user", "content": "pizza three", "channel_id": "c", "guild_id": "g"})

    async def found(**filters: Any) -> set[str]:
        return {hit.item.content.split()[1] for hit in await em.messages.search("pizza", **filters)}

    assert await found() == {"one", "two", "three"}
    assert await found(conversation_id=conversation.id) == {"one", "two"}
    assert await found(role="assistant") == {"two"}
    assert await found(user_id="u") == {"one"}
    assert await found(channel_id="c") == await found(guild_id="g") == {"three"}
    assert await found(until=MOMENT) == set()


async def test_documents_are_filtered_and_their_names_count_more(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    await em.context_documents.create({"name": "one", "content": "about pizza " * 5, "tags": ["a", "b"]})
    await em.context_documents.create({"name": "pizza", "content": "about something else", "category": "food"})
    await em.context_documents.create({"name": "two", "content": "pizza of Ada's", "user_id": user.id, "tags": ["a"]})
    away = await em.context_documents.create({"name": "away", "content": "pizza"})
    await em.context_documents.archive(away.id)

    async def found(**filters: Any) -> list[str]:
        return [hit.item.name for hit in await em.context_documents.search("pizza", **filters)]

    assert (await found())[0] == "pizza"
    assert set(await found()) == {"one", "pizza", "two"}
    assert await found(status="archived") == ["away"]
    assert await found(user_id=user.id) == ["two"]
    assert await found(category="food") == ["pizza"]
    assert await found(tags=["a", "b"]) == ["one"]
    assert set(await found(tags=["a", "b"], match_tags="any")) == {"one", "two"}
    # Names that begin so are found by the star.
    assert [hit.item.name for hit in await em.context_documents.search("piz*", category="food")] == ["pizza"]


async def test_snippets_show_why(em: EntityManager) -> None:
    await em.memories.remember("u", "nothing here " * 50 + "but Pizza and OLIVES are, " + "and nothing there " * 50)
    await em.memories.remember("u", "我喜欢吃比萨", tags=["Café"])
    (hit,) = await em.memories.search("pizza oliv*", user_id="u")
    assert "**Pizza** and **OLIVES**" in str(hit.snippet)
    assert hit.snippet.text.startswith("…")
    assert hit.snippet.text.endswith("…")
    assert len(hit.snippet.text) <= 202
    assert "<b>Pizza</b>" in hit.snippet.marked("<b>", "</b>")
    (hit,) = await em.memories.search("比萨", user_id="u")
    assert str(hit.snippet) == "我喜欢吃**比萨**"
    (hit,) = await em.memories.search("cafe", user_id="u")
    assert str(hit.snippet) == "**Café**"
    assert hit.item.content == "我喜欢吃比萨"


async def test_a_search_takes_a_handful_of_statements(em: EntityManager) -> None:
    await em.memories.create_many({"user_id": "u", "content": f"pizza {number}"} for number in range(50))
    with recorded_statements() as statements:
        assert len(await em.memories.search("pizza olives", user_id="u")) == 10
    # Who it is, the rows, and those of the page.
    assert len(statements) == 3
    with recorded_statements() as statements:
        assert len(await em.memories.search("pizza olives")) == 10
    # How many rows there are, how many have the words, which match, their texts, and the page.
    assert len(statements) <= 6
