"""Lists of conversations and pages of messages: without the rest, in both directions, however many there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import CursorError, NotFoundError, ValidationError
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from uuid import UUID

    from agent_system.entity_manager import EntityManager
    from agent_system.models import Message

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def said(text: str, **data: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **data}


def texts(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def paged(em: EntityManager, limit: int, **values: Any) -> list[str]:
    """All pages of a list, one after the other."""
    titles: list[str] = []
    after: str | None = None
    while True:
        page = await em.conversations.recent(limit, after, **values)
        titles += [row.title for row in page.items]
        after = page.next_cursor
        if after is None:
            return titles


async def test_conversations_are_listed_by_whose_they_are(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    agents = [await em.agents.create({"name": name}) for name in "ab"]
    project = await em.projects.create({"name": "p"})
    for n in range(9):
        row = await em.conversations.create(
            {
                "title": str(n),
                "user_id": user.id if n % 2 else None,
                "agent_id": agents[n % 2].id,
                "project_id": project.id if n % 3 == 0 else None,
                "created_at": NOON,
            }
        )
        # Some have the same moment, some have no messages.
        if n != 4:
            await em.messages.append(row.id, said("x", created_at=NOON + timedelta(minutes=n // 2 + 1)))
        if n == 5:
            await em.conversations.archive(row.id)
    for limit in (1, 2, 50):
        assert await paged(em, limit) == ["8", "7", "6", "3", "2", "1", "0", "4"]
        assert await paged(em, limit, user_id=user.id) == ["7", "3", "1"]
        assert await paged(em, limit, agent_id=agents[0].id) == ["8", "6", "2", "0", "4"]
        assert await paged(em, limit, project_id=project.id) == ["6", "3", "0"]
        assert await paged(em, limit, user_id=None) == ["8", "6", "2", "0", "4"]
        assert await paged(em, limit, status="archived") == ["5"]
        assert await paged(em, limit, include_archived=True, user_id=user.id) == ["7", "5", "3", "1"]


async def test_a_list_goes_on_where_it_was_whatever_has_been_said_since(em: EntityManager) -> None:
    rows = [await em.conversations.create({"title": str(n)}) for n in range(4)]
    for n, row in enumerate(rows):
        await em.messages.append(row.id, said("x", created_at=NOON + timedelta(days=4000, minutes=n)))
    page = await em.conversations.recent(2)
    assert [row.title for row in page.items] == ["3", "2"]
    await em.messages.append(rows[0].id, said("x", created_at=NOON + timedelta(days=4001)))
    await em.conversations.create({"title": "new"})
    rest = await em.conversations.recent(2, page.next_cursor)
    assert [row.title for row in rest.items] == ["1", "new"]
    with pytest.raises(CursorError):
        await em.conversations.recent(2, page.next_cursor, title="another filter")
    with pytest.raises(ValidationError, match="nonsense"):
        await em.conversations.recent(nonsense=1)


async def test_a_conversation_is_renamed(em: EntityManager) -> None:
    row = await em.conversations.create({"title": "old"})
    renamed = await em.conversations.rename(row.id, "new\ud800")
    assert (renamed.title, renamed.version, renamed.revision) == ("new\ud800", 2, 0)
    with pytest.raises(NotFoundError):
        await em.conversations.rename(uuid4(), "new")
    wrong: Any = None
    with pytest.raises(ValidationError, match="title"):
        await em.conversations.rename(row.id, wrong)


@pytest.mark.parametrize("count", [1, 300])
async def test_a_conversation_falls_with_all_that_is_in_it(em: EntityManager, count: int) -> None:
    row = await em.conversations.create({"title": "talk"})
    kept = await em.conversations.create({"title": "kept"})
    messages = await em.messages.append_many(row.id, [said(str(n)) for n in range(count)])
    await em.messages.append(kept.id, said("kept", response_id=messages[0].id))
    await em.conversations.set_head(row.id, "main")
    await em.message_feedback.give(messages[0].id, "positive", user_id="a")
    with recorded_statements() as statements:
        assert await em.conversations.delete(row.id)
    assert len(statements) == 1
    assert (await em.messages.count(), await em.message_feedback.count()) == (1, 0)
    assert not await em.conversations.delete(row.id)


async def test_owners_and_agents_of_conversations_can_be_deleted(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "a"})
    theirs = await em.conversations.create({"title": "theirs", "user_id": user.id, "agent_id": agent.id})
    shared = await em.conversations.create({"title": "shared", "agent_id": agent.id})
    for row in (theirs, shared):
        await em.messages.append(row.id, said("x", agent_id=agent.id))
    await em.agents.delete(agent.id)
    assert (await em.conversations.require(shared.id)).agent_id is None
    await em.users.delete(user.id)
    assert await em.conversations.get_by_id(theirs.id) is None
    assert [row.conversation_id for row in await em.messages.find()] == [shared.id]


# Pages of messages.


async def test_a_conversation_is_paged_up_and_down(em: EntityManager) -> None:
    row = await em.conversations.create({"title": "talk"})
    messages = await em.messages.append_many(row.id, [said(text) for text in "abcdefg"])
    last = await em.messages.page(row.id, limit=3)
    assert (texts(last.items), last.older, last.newer) == (["e", "f", "g"], messages[4].id, None)
    middle = await em.messages.page(row.id, before=last.older, limit=3)
    assert (texts(middle.items), middle.older, middle.newer) == (["b", "c", "d"], messages[1].id, messages[3].id)
    first = await em.messages.page(row.id, before=middle.older, limit=3)
    assert (texts(first.items), first.older, first.newer) == (["a"], None, messages[0].id)
    down = await em.messages.page(row.id, after=first.newer, limit=3)
    assert (texts(down.items), down.older, down.newer) == (["b", "c", "d"], messages[1].id, messages[3].id)
    end = await em.messages.page(row.id, after=down.newer, limit=3)
    assert (texts(end.items), end.older, end.newer) == (["e", "f", "g"], messages[4].id, None)
    await em.messages.append(row.id, said("h"))
    news = await em.messages.page(row.id, after=end.items[-1].id)
    assert texts(news.items) == ["h"]
    beyond = await em.messages.page(row.id, after=news.items[-1].id)
    assert (beyond.items, beyond.older, beyond.newer) == ([], None, None)
    for arguments in ({"limit": 0}, {"before": 1, "after": 2}):
        with pytest.raises(ValidationError):
            await em.messages.page(row.id, **arguments)
    assert (await em.messages.page(uuid4())).items == []


async def test_a_page_of_another_branch_is_read_by_its_head(em: EntityManager) -> None:
    row = await em.conversations.create({"title": "talk"})
    messages = await em.messages.append_many(row.id, [said(text) for text in "abcd"])
    await em.conversations.set_head(row.id, "idea", messages[1].id)
    # A head that stands in the middle of a line.
    page = await em.messages.page(row.id, limit=1, head="idea")
    assert (texts(page.items), page.older) == (["b"], messages[1].id)
    await em.messages.append(row.id, said("c2"), head="idea")
    page = await em.messages.page(row.id, limit=2, head="idea")
    assert (texts(page.items), page.older) == (["b", "c2"], messages[1].id)
    assert texts((await em.messages.page(row.id, after=messages[0].id, head="idea")).items) == ["b", "c2"]
    with pytest.raises(NotFoundError):
        await em.messages.page(row.id, head="nowhere")


async def test_another_conversation_cannot_be_read_through_a_place_in_it(em: EntityManager) -> None:
    mine, theirs = [await em.conversations.create({"title": title}) for title in ("mine", "theirs")]
    secret = await em.messages.append_many(theirs.id, [said("secret"), said("more")])
    await em.messages.append_many(mine.id, [said("a"), said("b")])
    await em.conversations.move_head(mine.id, (await em.messages.last(mine.id))[0].id)
    for read in (em.messages.before, em.messages.after):
        assert "secret" not in texts(await read(mine.id, secret[1].id))
        assert "more" not in texts(await read(mine.id, secret[0].id))


async def test_messages_of_one_moment_keep_their_order(em: EntityManager) -> None:
    row = await em.conversations.create({"title": "talk"})
    for n in range(20):
        moment = NOON - timedelta(seconds=n % 3)
        await em.messages.append(row.id, said(str(n), created_at=moment, channel_id="c", guild_id="g"))
    assert texts(await em.messages.history(row.id)) == [str(n) for n in range(20)]
    assert texts(await em.messages.history(row.id, 2)) == ["18", "19"]
    expected = sorted(range(20), key=lambda n: (-(n % 3), n))
    assert texts(await em.messages.last_in_channel("c")) == list(map(str, expected))
    assert texts(await em.messages.last_in_guild("g", 3)) == list(map(str, expected[-3:]))
    with pytest.raises(ValidationError, match="limit"):
        await em.messages.history(row.id, 0)


# Channels and guilds.


async def test_a_channel_is_paged_from_its_newest_message(em: EntityManager) -> None:
    for n in range(5):
        await em.messages.create(said(str(n), channel_id="c", guild_id="g", created_at=NOON + timedelta(minutes=n)))
    for read, key in ((em.messages.recent_in_channel, "c"), (em.messages.recent_in_guild, "g")):
        first = await read(key, 3)
        rest = await read(key, 3, first.next_cursor)
        assert (texts(first.items), texts(rest.items)) == (["4", "3", "2"], ["1", "0"])
        assert rest.next_cursor is None


async def test_messages_are_counted_in_half_open_ranges(em: EntityManager) -> None:
    for n in range(6):
        moment = NOON + timedelta(minutes=n)
        await em.messages.create(
            said(str(n), channel_id=f"c{n % 2}", guild_id="g", created_at=moment, user_id=f"u{n % 3}")
        )
    later, end = NOON + timedelta(minutes=1), NOON + timedelta(minutes=5)
    count = em.messages.count_since
    assert await count(later, channel_id="c1") == 3
    assert await count(later, end, channel_id="c1") == 2
    assert await count(NOON, end, guild_id="g") == 5
    assert await count(NOON, guild_id="g", channel_id="c0", user_id="u0") == 1
    wrong: tuple[dict[str, UUID | Any], ...] = ({}, {"user_id": "u0"})
    for arguments in wrong:
        with pytest.raises(ValidationError, match="channel"):
            await count(NOON, **arguments)
    with pytest.raises(ValidationError, match="until"):
        await count(NOON, datetime(2026, 5, 1), channel_id="c")  # noqa: DTZ001 (that is what is refused)
