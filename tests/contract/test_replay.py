"""Histories that are sent whole: what is new is written, once, whoever sends them and however often."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import ConflictError, NotFoundError, ValidationError
from tests.integration.engine.processes import Child
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from agent_system.models import Conversation, Message

PROGRAM = Path(__file__).parent / "programs" / "replays.py"


@pytest.fixture
async def conversation(em: EntityManager) -> Conversation:
    return await em.conversations.create({"title": "talk"})


def said(text: str, **data: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **data}


def texts(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def stored(em: EntityManager, conversation: Conversation) -> list[str]:
    return texts(await em.messages.history(conversation.id))


async def test_only_the_new_end_is_written(em: EntityManager, conversation: Conversation) -> None:
    history = [said(text) for text in "abcde"]
    assert texts(await em.messages.append_history(conversation.id, history[:3])) == ["a", "b", "c"]
    assert await em.messages.append_history(conversation.id, history[:3]) == []
    assert await em.messages.append_history(conversation.id, history[:1]) == []
    with recorded_statements() as statements:
        assert texts(await em.messages.append_history(conversation.id, history)) == ["d", "e"]
    assert len(statements) <= 6
    assert await stored(em, conversation) == list("abcde")
    # A part whose beginning is not sent.
    part = [*history[3:], said("f")]
    assert texts(await em.messages.append_history(conversation.id, part, start=3)) == ["f"]
    assert (await em.conversations.require(conversation.id)).message_count == 6


async def test_repeated_words_are_different_messages(em: EntityManager, conversation: Conversation) -> None:
    await em.messages.append_history(conversation.id, [said("ok"), said("ok")])
    assert texts(await em.messages.append_history(conversation.id, [said("ok")] * 3)) == ["ok"]
    assert await stored(em, conversation) == ["ok"] * 3


async def test_a_message_is_known_by_all_that_it_says(em: EntityManager, conversation: Conversation) -> None:
    call = {"role": "assistant", "tool_calls": ({"id": "a", "function": {"b": 1, "a": "\0"}},)}
    parts = {"role": "user", "parts": [{"type": "text", "text": "\ud800"}]}
    result = {"role": "tool", "tool_call_id": "a", "content": "1"}
    history = [call, result, parts]
    await em.messages.append_history(conversation.id, history)
    turned = {"role": "assistant", "tool_calls": [{"function": {"a": "\0", "b": 1}, "id": "a"}]}
    assert await em.messages.append_history(conversation.id, [turned, {**result, "meta": {"x": 1}}, parts]) == []
    for position, change in enumerate(
        ({"tool_calls": [{"id": "b"}]}, {"tool_call_id": "b"}, {"parts": None, "content": "x"})
    ):
        other = [*history[:position], {**history[position], **change}, said("never")]
        with pytest.raises(ConflictError, match=f"its message {position} is not") as caught:
            await em.messages.append_history(conversation.id, other)
        assert caught.value.entity == "Message"
    assert (await em.conversations.require(conversation.id)).message_count == 3


async def test_a_uid_tells_who_a_message_is(em: EntityManager, conversation: Conversation) -> None:
    uids = [uuid4() for _ in range(4)]
    history = [said(str(n), uid=uid) for n, uid in enumerate(uids)]
    await em.messages.append_history(conversation.id, history[:2])
    await em.messages.append(conversation.id, said("somebody else"))
    edited = [said("0, edited", uid=str(uids[0])), *history[1:]]
    assert texts(await em.messages.append_history(conversation.id, edited)) == ["2", "3"]
    assert await stored(em, conversation) == ["0", "1", "somebody else", "2", "3"]
    # Those without one follow the one that is known.
    mixed = [history[1], said("somebody else"), history[2], said("4")]
    with pytest.raises(ConflictError, match="its message 3"):
        await em.messages.append_history(conversation.id, mixed)
    assert texts(await em.messages.append_history(conversation.id, [history[3], said("4")])) == ["4"]
    other = await em.conversations.create({"title": "other"})
    with pytest.raises(ConflictError, match="another conversation"):
        await em.messages.append_history(other.id, history)
    assert await stored(em, other) == []


async def test_results_that_were_made_up_are_passed_over(em: EntityManager, conversation: Conversation) -> None:
    history = [{"role": "assistant", "tool_calls": [{"id": "a"}]}, said("hello?")]
    await em.messages.append_history(conversation.id, history[:1])
    await em.messages.repair(conversation.id)
    assert texts(await em.messages.append_history(conversation.id, history)) == ["hello?"]
    assert await em.messages.append_history(conversation.id, history) == []


async def test_a_history_is_refused_whole(em: EntityManager, conversation: Conversation) -> None:
    await em.messages.append_history(conversation.id, [said("a")])
    wrong: Any = [said("a"), said("b"), {"role": "robot"}]
    with pytest.raises(ValidationError, match="role"):
        await em.messages.append_history(conversation.id, wrong)
    with pytest.raises(ValidationError, match="start"):
        await em.messages.append_history(conversation.id, [], start=-1)
    with pytest.raises(NotFoundError):
        await em.messages.append_history(uuid4(), [said("a")])
    with pytest.raises(NotFoundError):
        await em.messages.append_history(conversation.id, [said("a")], head="nowhere")
    assert await em.messages.append_history(conversation.id, []) == []
    assert await stored(em, conversation) == ["a"]


async def test_a_branch_has_its_own_history(em: EntityManager, conversation: Conversation) -> None:
    first, *_ = await em.messages.append_history(conversation.id, [said("a"), said("b")])
    await em.conversations.set_head(conversation.id, "idea", first.id)
    idea = [said("a"), said("b2"), said("c2")]
    assert texts(await em.messages.append_history(conversation.id, idea, head="idea")) == ["b2", "c2"]
    assert await em.messages.append_history(conversation.id, idea, head="idea") == []
    fork = await em.conversations.fork(conversation.id)
    assert texts(await em.messages.append_history(fork.id, [said("a"), said("b"), said("c3")])) == ["c3"]


async def test_racing_replays_write_each_message_once(em: EntityManager, conversation: Conversation) -> None:
    history = [said(str(n)) for n in range(8)]
    results = await asyncio.gather(
        *(em.messages.append_history(conversation.id, history[: 1 + n % 8]) for n in range(64))
    )
    assert await stored(em, conversation) == [str(n) for n in range(8)]
    assert sum(map(len, results)) == 8


async def test_racing_appends_of_one_uid_write_one_message(em: EntityManager, conversation: Conversation) -> None:
    uids = [uuid4() for _ in range(4)]
    rows = await asyncio.gather(
        *(em.messages.append(conversation.id, said(str(n % 4), uid=uids[n % 4])) for n in range(64))
    )
    assert len({row.id for row in rows}) == 4
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.revision, len(await stored(em, conversation))) == (4, 4, 4)


async def test_processes_that_retry_the_same_appends_write_them_once(
    em: EntityManager, conversation: Conversation, migrated_url: str
) -> None:
    uids = [str(uuid4()) for _ in range(20)]
    children = [await Child.start(str(PROGRAM), migrated_url, conversation.id, *uids, options=()) for _ in range(2)]
    for child in children:
        await child.hear()
    ids = await asyncio.gather(*(child.tell(go=True) for child in children))
    for child in children:
        await child.finish()
    assert ids[0] == ids[1]
    messages = await em.messages.history(conversation.id)
    assert sorted(str(message.uid) for message in messages if message.content == "uid") == sorted(uids)
    assert texts([message for message in messages if message.content != "uid"]) == [str(n) for n in range(10)]
    assert (await em.conversations.require(conversation.id)).message_count == 30
