"""Conversations: lists that load no messages, archives, heads and revisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import ConflictError, NotFoundError, ValidationError
from agent_system.types import ConversationStatus
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from uuid import UUID

    from agent_system.entity_manager import EntityManager
    from agent_system.models import Conversation, Message

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def make(em: EntityManager, title: str = "talk", **data: Any) -> Conversation:
    return await em.conversations.create({"title": title, **data})


async def say(em: EntityManager, conversation_id: UUID, text: str, **data: Any) -> Message:
    return await em.messages.append(conversation_id, {"role": "user", "content": text, **data})


async def texts(em: EntityManager, conversation_id: UUID, n: int = 50) -> list[str]:
    return [message.content for message in await em.messages.last(conversation_id, n)]


async def test_a_row_knows_its_messages(em: EntityManager) -> None:
    conversation = await make(em)
    assert (conversation.message_count, conversation.revision, conversation.head_message_id) == (0, 0, None)
    await say(em, conversation.id, "one", created_at=NOON + timedelta(hours=1))
    second = await say(em, conversation.id, "two", created_at=NOON)
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.revision, row.head_message_id) == (2, 2, second.id)
    assert row.last_message_at == NOON + timedelta(hours=1)
    assert not row.is_forked
    # Appends are no changes for whoever renames the conversation.
    assert (row.version, (await em.conversations.update(row.id, {"title": "x"}, expected_version=1)).version) == (1, 2)


@pytest.mark.parametrize(
    "field", ["message_count", "revision", "head_message_id", "last_message_at", "is_forked", "archived_at"]
)
async def test_what_the_layer_counts_cannot_be_set(em: EntityManager, field: str) -> None:
    conversation = await make(em)
    with pytest.raises(ValidationError, match=field):
        await em.conversations.update(conversation.id, {field: None})
    with pytest.raises(ValidationError, match=field):
        await make(em, **{field: None})


async def test_recent_conversations_come_without_their_messages(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a"})
    rows = [await make(em, f"c{n}", agent_id=agent.id) for n in range(4)]
    await make(em, "other")
    for minutes, n in ((1, 2), (2, 0), (3, 3)):
        for offset in (0, 1):
            moment = NOON + timedelta(minutes=minutes, seconds=offset)
            await say(em, rows[n].id, "hello", created_at=moment)
    await em.conversations.archive(rows[3].id)
    with recorded_statements() as statements:
        page = await em.conversations.recent(2, agent_id=agent.id)
    # The one without messages is as recent as its making.
    assert [row.title for row in page.items] == ["c1", "c0"]
    assert [row.message_count for row in page.items] == [0, 2]
    assert len(statements) == 1
    assert "messages" not in statements[0].replace("message_count", "").replace("last_message", "")
    page = await em.conversations.recent(2, page.next_cursor, agent_id=agent.id)
    assert ([row.title for row in page.items], page.next_cursor) == (["c2"], None)
    everything = await em.conversations.recent(include_archived=True, agent_id=agent.id)
    assert [row.title for row in everything.items] == ["c1", "c3", "c0", "c2"]


async def test_messages_come_with_conversations_in_one_more_statement(em: EntityManager) -> None:
    rows = [await make(em, f"c{n}") for n in range(3)]
    for row in rows:
        await em.messages.append_many(row.id, [{"role": "user", "content": str(n)} for n in range(3)])
    with recorded_statements() as statements:
        page = await em.conversations.list(include=("messages", "heads", "agent"))
    assert len(statements) == 3
    assert [[message.content for message in row.messages] for row in page.items] == [["0", "1", "2"]] * 3
    assert [(row.heads, row.agent) for row in page.items] == [([], None)] * 3


async def test_an_archived_conversation_comes_back_whole(em: EntityManager) -> None:
    conversation = await make(em)
    await say(em, conversation.id, "one")
    archived = await em.conversations.archive(conversation.id)
    assert archived.status is ConversationStatus.ARCHIVED
    assert archived.archived_at is not None
    assert (await em.conversations.archive(conversation.id)).archived_at == archived.archived_at
    await say(em, conversation.id, "two")
    restored = await em.conversations.restore(conversation.id)
    assert (restored.status, restored.archived_at) == (ConversationStatus.ACTIVE, None)
    assert await texts(em, conversation.id) == ["one", "two"]
    again = await em.conversations.update(conversation.id, {"status": "archived"})
    assert again.archived_at is not None
    assert (await make(em, status="archived")).archived_at is not None
    with pytest.raises(NotFoundError):
        await em.conversations.archive(uuid4())


async def test_messages_go_with_their_conversation(em: EntityManager) -> None:
    conversation = await make(em)
    message = await say(em, conversation.id, "one")
    await em.conversations.set_head(conversation.id, "main")
    assert await em.conversations.delete(conversation.id)
    assert await em.messages.get_by_id(message.id) is None
    assert await em.conversations.heads(conversation.id) == []


async def test_a_moved_head_begins_another_branch(em: EntityManager) -> None:
    conversation = await make(em)
    first, second = [await say(em, conversation.id, text) for text in ("one", "two")]
    await em.conversations.set_head(conversation.id, "main")
    moved = await em.conversations.move_head(conversation.id, first.id, expected_revision=2)
    assert (moved.head_message_id, moved.revision, moved.is_forked) == (first.id, 3, True)
    assert await texts(em, conversation.id) == ["one"]
    other = await say(em, conversation.id, "other")
    assert other.parent_id == first.id
    assert await texts(em, conversation.id) == ["one", "other"]
    await em.conversations.set_head(conversation.id, "other")
    assert [(head.name, head.message_id) for head in await em.conversations.heads(conversation.id)] == [
        ("main", second.id),
        ("other", other.id),
    ]
    await em.conversations.switch(conversation.id, "main")
    assert await texts(em, conversation.id) == ["one", "two"]
    await say(em, conversation.id, "three")
    assert await texts(em, conversation.id) == ["one", "two", "three"]
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.revision) == (4, 6)


async def test_a_head_that_stays_is_no_move(em: EntityManager) -> None:
    conversation = await make(em)
    message = await say(em, conversation.id, "one")
    same = await em.conversations.move_head(conversation.id, message.id)
    assert (same.revision, same.is_forked) == (1, False)


async def test_heads_are_compared_and_swapped(em: EntityManager) -> None:
    conversation = await make(em)
    first, _ = [await say(em, conversation.id, text) for text in ("one", "two")]
    await em.conversations.set_head(conversation.id, "main", first.id)
    for attempt in (
        em.conversations.move_head(conversation.id, first.id, expected_revision=1),
        em.conversations.switch(conversation.id, "main", expected_revision=1),
    ):
        with pytest.raises(ConflictError) as caught:
            await attempt
        assert (caught.value.expected_version, caught.value.actual_version) == (1, 2)
    assert (await em.conversations.require(conversation.id)).revision == 2


async def test_a_named_head_moves_and_is_forgotten(em: EntityManager) -> None:
    conversation, other = await make(em), await make(em)
    with pytest.raises(ValidationError, match="no message"):
        await em.conversations.set_head(conversation.id, "main")
    first, second = [await say(em, conversation.id, text) for text in ("one", "two")]
    foreign = await say(em, other.id, "elsewhere")
    head = await em.conversations.set_head(conversation.id, "main", first.id)
    assert (head.name, head.message_id) == ("main", first.id)
    assert (await em.conversations.set_head(conversation.id, "main")).message_id == second.id
    assert await em.conversations.delete_head(conversation.id, "main")
    assert not await em.conversations.delete_head(conversation.id, "main")
    for attempt in (
        em.conversations.switch(conversation.id, "main"),
        em.conversations.set_head(conversation.id, "main", foreign.id),
        em.conversations.move_head(conversation.id, foreign.id),
        em.conversations.move_head(conversation.id, 10**9),
        em.conversations.move_head(uuid4(), first.id),
        em.conversations.set_head(uuid4(), "main"),
    ):
        with pytest.raises(NotFoundError):
            await attempt


async def test_a_fork_goes_on_where_it_left_its_parent(em: EntityManager) -> None:
    parent = await make(em)
    first, _ = [await say(em, parent.id, text) for text in ("one", "two")]
    fork = await make(em, "fork", parent_conversation_id=parent.id, fork_message_id=first.id)
    assert fork.head_message_id == first.id
    assert await texts(em, fork.id) == ["one"]
    message = await say(em, fork.id, "2b")
    assert message.parent_id == first.id
    await say(em, fork.id, "3b")
    assert await texts(em, fork.id) == ["one", "2b", "3b"]
    assert await texts(em, fork.id, 2) == ["2b", "3b"]
    assert [each.content for each in await em.messages.before(fork.id, message.id)] == ["one"]
    assert [each.content for each in await em.messages.after(fork.id, first.id)] == ["2b", "3b"]
    assert await texts(em, parent.id) == ["one", "two"]
    row = await em.conversations.require(fork.id)
    assert (row.message_count, row.is_forked) == (2, False)


async def test_a_fork_outlives_its_parent(em: EntityManager) -> None:
    parent = await make(em)
    message = await say(em, parent.id, "one")
    grown, empty = [
        await make(em, name, parent_conversation_id=parent.id, fork_message_id=message.id)
        for name in ("grown", "empty")
    ]
    await say(em, grown.id, "two")
    await em.conversations.delete(parent.id)
    assert await texts(em, grown.id) == ["two"]
    assert await texts(em, empty.id) == []
    for fork, expected in ((grown, ["two", "three"]), (empty, ["three"])):
        await say(em, fork.id, "three")
        assert await texts(em, fork.id) == expected
