"""Messages: appends in order and once, history by pages, authors that nobody knew."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import ConflictError, ForeignKeyError, NotFoundError, ValidationError
from agent_system.models import Message
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from uuid import UUID

    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager
    from agent_system.models import Conversation

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def conversation(em: EntityManager) -> Conversation:
    return await em.conversations.create({"title": "talk"})


def said(text: str, **data: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **data}


def texts(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def say(em: EntityManager, conversation_id: UUID, *words: str) -> list[Message]:
    return await em.messages.append_many(conversation_id, [said(word) for word in words])


async def test_a_message_follows_the_one_before_it(em: EntityManager, conversation: Conversation) -> None:
    first = await em.messages.append(conversation.id, said("one"))
    second = await em.messages.create(said("two", conversation_id=conversation.id))
    third, fourth = await em.messages.append_many(conversation.id, [said("three"), said("four")])
    (fifth,) = await em.messages.create_many([said("five", conversation_id=conversation.id)])
    sixth = await em.messages.upsert(said("six", conversation_id=conversation.id), on=("content",))
    rows = [first, second, third, fourth, fifth, sixth]
    assert [row.parent_id for row in rows] == [None, *(row.id for row in rows[:-1])]
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    assert [row.model_dump() for row in await em.messages.last(conversation.id)] == [row.model_dump() for row in rows]
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.head_message_id, row.is_forked) == (6, sixth.id, False)


async def test_an_instance_can_be_appended(em: EntityManager, conversation: Conversation) -> None:
    given = Message(role="user", content="hello")
    stored = await em.messages.append(conversation.id, given)
    assert (stored.uid, stored.content, stored.conversation_id) == (given.uid, "hello", conversation.id)
    assert given.conversation_id is None
    assert (await em.messages.append(conversation.id, given)).id == stored.id


async def test_concurrent_appends_make_one_line(em: EntityManager, conversation: Conversation) -> None:
    await asyncio.gather(*(em.messages.append(conversation.id, said(str(n))) for n in range(30)))
    rows = await em.messages.last(conversation.id, 100)
    assert sorted(int(row.content) for row in rows) == list(range(30))
    assert [row.parent_id for row in rows] == [None, *(row.id for row in rows[:-1])]
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.revision, row.head_message_id) == (30, 30, rows[-1].id)


async def test_an_append_is_repeated_without_effect(em: EntityManager, conversation: Conversation) -> None:
    uid = uuid4()
    first = await em.messages.append(conversation.id, said("one", uid=uid))
    await em.messages.append(conversation.id, said("two"))
    for again in (
        await em.messages.append(conversation.id, said("another text", uid=uid)),
        await em.messages.create(said("one", uid=uid, conversation_id=conversation.id)),
        (await em.messages.append_many(conversation.id, [said("one", uid=uid)]))[0],
        await em.messages.get_by_uid(uid),
    ):
        assert again is not None
        assert again.model_dump() == first.model_dump()
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.revision) == (2, 2)


async def test_a_replayed_history_adds_what_is_new(em: EntityManager, conversation: Conversation) -> None:
    uids = [uuid4() for _ in range(4)]
    replay = [said(str(n), uid=uid) for n, uid in enumerate(uids)]
    first = await em.messages.append_many(conversation.id, replay[:2])
    rows = await em.messages.append_many(conversation.id, [*replay, replay[3]])
    assert [row.uid for row in rows] == [*uids, uids[3]]
    assert [row.id for row in rows[:2]] == [row.id for row in first]
    assert rows[3].id == rows[4].id
    assert texts(await em.messages.last(conversation.id)) == ["0", "1", "2", "3"]
    assert (await em.conversations.require(conversation.id)).message_count == 4


async def test_racing_repetitions_write_one_message(em: EntityManager, conversation: Conversation) -> None:
    uid = uuid4()
    rows = await asyncio.gather(*(em.messages.append(conversation.id, said("one", uid=uid)) for _ in range(8)))
    assert len({row.id for row in rows}) == 1
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.revision, row.head_message_id) == (1, 1, rows[0].id)
    loose = await asyncio.gather(*(em.messages.create(said("alone", uid=uuid4())) for _ in range(3)))
    again = await asyncio.gather(*(em.messages.create(said("alone", uid=loose[0].uid)) for _ in range(4)))
    assert {row.id for row in again} == {loose[0].id}


async def test_a_uid_belongs_to_one_conversation(em: EntityManager, conversation: Conversation) -> None:
    message = await em.messages.append(conversation.id, said("one"))
    other = await em.conversations.create({"title": "other"})
    for attempt in (
        em.messages.append(other.id, said("one", uid=message.uid)),
        em.messages.create(said("one", uid=message.uid)),
    ):
        with pytest.raises(ConflictError):
            await attempt
    assert (await em.conversations.require(other.id)).message_count == 0


async def test_an_append_expects_a_revision(em: EntityManager, conversation: Conversation) -> None:
    first = await em.messages.append(conversation.id, said("one"), expected_revision=0)
    with pytest.raises(ConflictError) as caught:
        await em.messages.append(conversation.id, said("two"), expected_revision=0)
    assert (caught.value.expected_version, caught.value.actual_version) == (0, 1)
    with pytest.raises(ConflictError):
        await em.messages.append_and_read(conversation.id, said("two"), expected_revision=2)
    # A repetition finds its message whatever has happened since.
    again = await em.messages.append(conversation.id, said("one", uid=first.uid), expected_revision=0)
    assert again.id == first.id
    await em.messages.append(conversation.id, said("two"), expected_revision=1)
    assert texts(await em.messages.last(conversation.id)) == ["one", "two"]
    outcomes = await asyncio.gather(
        *(em.messages.append(conversation.id, said(str(n)), expected_revision=2) for n in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 5


async def test_a_conversation_has_to_exist(em: EntityManager) -> None:
    missing = uuid4()
    for attempt in (
        em.messages.append(missing, said("one")),
        em.messages.append_many(missing, [said("one")]),
        em.messages.append_and_read(missing, said("one")),
        em.messages.append(missing, said("one"), expected_revision=3),
    ):
        with pytest.raises(NotFoundError) as not_found:
            await attempt
        assert (not_found.value.entity, not_found.value.entity_id) == ("Conversation", missing)
    for creation in (
        em.messages.create(said("one", conversation_id=missing)),
        em.messages.create_many([said("alone"), said("one", conversation_id=missing)]),
    ):
        with pytest.raises(ForeignKeyError) as caught:
            await creation
        assert caught.value.fields == ("conversation_id",)
    assert await em.messages.count() == 0
    assert await em.messages.last(missing) == []


async def test_a_refused_message_leaves_the_conversation_alone(em: EntityManager, conversation: Conversation) -> None:
    await say(em, conversation.id, "one")
    with pytest.raises(ForeignKeyError) as caught:
        await em.messages.append(conversation.id, said("two", task_id=uuid4()))
    assert caught.value.fields == ("task_id",)
    with pytest.raises(ForeignKeyError):
        await em.messages.append_many(conversation.id, [said("two"), said("three", response_id=10**9)])
    with pytest.raises(ValidationError, match="role"):
        await em.messages.append(conversation.id, {"role": "robot"})
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.revision) == (1, 1)
    assert texts(await em.messages.last(conversation.id)) == ["one"]


async def test_an_author_who_was_not_seen_before_gets_an_identity(
    em: EntityManager, conversation: Conversation
) -> None:
    await em.identities.create({"id": "known", "display_name": "Known"})
    await em.messages.append_many(conversation.id, [said("a", user_id="discord:1"), said("b", user_id="known")])
    await em.messages.create(said("c", user_id="discord:1"))
    await asyncio.gather(*(em.messages.create(said("d", user_id="discord:2")) for _ in range(8)))
    rows = await em.identities.find()
    assert {row.id: row.display_name for row in rows} == {
        "discord:1": "discord:1",
        "discord:2": "discord:2",
        "known": "Known",
    }
    with pytest.raises(ForeignKeyError):
        await em.messages.create(said("e", user_id="discord:3", agent_id=uuid4()))
    assert await em.identities.get_by_id("discord:3") is None
    assert len(await em.messages.find(user_id="discord:1")) == 2
    await em.identities.delete("discord:1")
    assert await em.messages.count(user_id=None) == 2


async def test_history_is_paged_both_ways(em: EntityManager, conversation: Conversation) -> None:
    rows = await say(em, conversation.id, *"abcdefghij")
    other = await em.conversations.create({"title": "other"})
    await say(em, other.id, "x", "y")
    assert texts(await em.messages.last(conversation.id, 3)) == ["h", "i", "j"]
    assert texts(await em.messages.last(conversation.id, 99)) == list("abcdefghij")
    assert texts(await em.messages.before(conversation.id, rows[4].id, 3)) == ["b", "c", "d"]
    assert texts(await em.messages.before(conversation.id, rows[1].id, 3)) == ["a"]
    assert texts(await em.messages.before(conversation.id, rows[0].id)) == []
    assert texts(await em.messages.after(conversation.id, rows[4].id, 3)) == ["f", "g", "h"]
    assert texts(await em.messages.after(conversation.id, rows[8].id, 3)) == ["j"]
    assert texts(await em.messages.after(conversation.id, rows[9].id)) == []
    for attempt in (
        em.messages.last(conversation.id, 0),
        em.messages.before(conversation.id, 1, 0),
        em.messages.append_and_read(conversation.id, said("k"), 0),
    ):
        with pytest.raises(ValidationError, match="n must be"):
            await attempt


async def test_a_forked_history_is_paged_along_its_branch(em: EntityManager, conversation: Conversation) -> None:
    trunk = await say(em, conversation.id, *"abcdef")
    branch_point = trunk[2]
    fork = await em.messages.append(conversation.id, said("D", parent_id=branch_point.id))
    row = await em.conversations.require(conversation.id)
    assert (row.is_forked, row.head_message_id, row.message_count) == (True, fork.id, 7)
    await say(em, conversation.id, "E", "F")
    assert texts(await em.messages.last(conversation.id)) == ["a", "b", "c", "D", "E", "F"]
    assert texts(await em.messages.last(conversation.id, 4)) == ["c", "D", "E", "F"]
    assert texts(await em.messages.before(conversation.id, fork.id, 2)) == ["b", "c"]
    assert texts(await em.messages.before(conversation.id, trunk[0].id)) == []
    assert texts(await em.messages.after(conversation.id, trunk[1].id, 2)) == ["c", "D"]
    assert texts(await em.messages.after(conversation.id, fork.id)) == ["E", "F"]
    assert texts(await em.messages.append_and_read(conversation.id, said("G"), 3)) == ["E", "F", "G"]


async def test_a_parent_is_of_the_same_conversation(em: EntityManager, conversation: Conversation) -> None:
    other = await em.conversations.create({"title": "other"})
    (foreign,) = await say(em, other.id, "x")
    with pytest.raises(ValidationError, match="another conversation"):
        await em.messages.append(conversation.id, said("a", parent_id=foreign.id))
    with pytest.raises(ForeignKeyError) as caught:
        await em.messages.append(conversation.id, said("a", parent_id=10**9))
    assert caught.value.fields == ("parent_id",)
    message = await em.messages.append(conversation.id, said("a"))
    await em.messages.append(conversation.id, said("b", parent_id=message.id))
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.is_forked) == (2, False), "the head itself as the parent is no fork"


async def test_a_turn_is_one_unit(database: DatabaseManager, em: EntityManager, conversation: Conversation) -> None:
    await say(em, conversation.id, *"abc")
    with recorded_statements() as statements:
        rows = await em.messages.append_and_read(conversation.id, said("d"), 3)
    assert texts(rows) == ["b", "c", "d"]
    assert len(statements) == 4, "the lock, the message, the conversation, the history"
    async with database.transaction():
        rows = await em.messages.append_and_read(conversation.id, said("e", uid=rows[-1].uid), 2)
        assert texts(rows) == ["c", "d"]
        await em.messages.append(conversation.id, said("e"))
        assert texts(await em.messages.last(conversation.id, 2)) == ["d", "e"]


@pytest.mark.parametrize("count", [1, 20])
async def test_statements_do_not_grow_with_the_history(
    em: EntityManager, conversation: Conversation, count: int
) -> None:
    await say(em, conversation.id, *map(str, range(count)))
    with recorded_statements() as statements:
        await em.messages.append(conversation.id, said("a"))
        await em.messages.last(conversation.id, 50)
    assert len(statements) == 4


async def test_the_following_messages_close_up_when_one_is_deleted(
    em: EntityManager, conversation: Conversation
) -> None:
    rows = [
        await em.messages.append(conversation.id, said(text, created_at=NOON + timedelta(minutes=n)))
        for n, text in enumerate("abcd")
    ]
    await em.conversations.set_head(conversation.id, "here", rows[1].id)
    fork = await em.conversations.create(
        {"title": "fork", "parent_conversation_id": conversation.id, "fork_message_id": rows[1].id}
    )
    assert await em.messages.delete(rows[1].id)
    assert not await em.messages.delete(rows[1].id)
    assert [row.parent_id for row in await em.messages.last(conversation.id)] == [None, rows[0].id, rows[2].id]
    assert [head.message_id for head in await em.conversations.heads(conversation.id)] == [rows[0].id]
    assert texts(await em.messages.last(fork.id)) == ["a"]
    await em.messages.delete(rows[3].id)
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.head_message_id) == (2, rows[2].id)
    assert row.last_message_at == rows[2].created_at
    await em.messages.append(conversation.id, said("e"))
    assert texts(await em.messages.last(conversation.id)) == ["a", "c", "e"]
    await em.messages.delete(rows[0].id)
    assert texts(await em.messages.last(conversation.id)) == ["c", "e"]
    assert not (await em.conversations.require(conversation.id)).is_forked


async def test_the_only_message_can_be_deleted(em: EntityManager, conversation: Conversation) -> None:
    (message,) = await say(em, conversation.id, "a")
    await em.messages.delete(message.id)
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.head_message_id, row.last_message_at) == (0, None, row.created_at)
    await say(em, conversation.id, "b")
    assert texts(await em.messages.last(conversation.id)) == ["b"]


async def test_racing_deletions_count_once(em: EntityManager, conversation: Conversation) -> None:
    rows = await say(em, conversation.id, "a", "b", "c")
    deleted = await asyncio.gather(*(em.messages.delete(rows[1].id) for _ in range(4)))
    assert sorted(deleted) == [False, False, False, True]
    assert (await em.conversations.require(conversation.id)).message_count == 2


async def test_channels_and_guilds_have_their_newest_messages(em: EntityManager) -> None:
    for n in range(6):
        moment = NOON + timedelta(minutes=n // 2)
        await em.messages.create(
            said(str(n), channel_id=f"c{n % 2}", guild_id="g", created_at=moment, user_id=f"u{n % 3}")
        )
    await em.messages.create(said("elsewhere", created_at=NOON))
    assert texts(await em.messages.last_in_channel("c0", 2)) == ["2", "4"]
    assert texts(await em.messages.last_in_guild("g", 3)) == ["3", "4", "5"]
    assert texts(await em.messages.last_in_channel("c9")) == []
    assert await em.messages.count_in_channel("c0", NOON + timedelta(minutes=1)) == 2
    assert await em.messages.count_in_guild("g", NOON) == 6
    naive: Any = datetime(2026, 5, 1, 12)  # noqa: DTZ001 (that is what is refused)
    with pytest.raises(ValidationError, match="since"):
        await em.messages.count_in_guild("g", naive)


@pytest.mark.parametrize("field", ["uid", "conversation_id", "parent_id", "streaming_state"])
async def test_the_place_of_a_message_is_fixed(em: EntityManager, conversation: Conversation, field: str) -> None:
    message = await em.messages.append(conversation.id, said("a"))
    with pytest.raises(ValidationError, match=f"{field}: cannot be changed"):
        await em.messages.update(message.id, {field: None})
    updated = await em.messages.update(message.id, {"content": "b"})
    assert (updated.content, updated.conversation_id) == ("b", conversation.id)
