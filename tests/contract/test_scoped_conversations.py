"""The verbs of conversations in a scope: they work on what is its own, and nothing else is there for them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.entity_manager import EntityManager
    from agent_system.models import Message


@pytest.fixture
async def mine(em: EntityManager) -> Any:
    return em.scoped(user_id=(await em.users.create({"username": "ada"})).id)


@pytest.fixture
async def theirs(em: EntityManager) -> Any:
    return em.scoped(user_id=(await em.users.create({"username": "grace"})).id)


def said(text: str, **data: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **data}


def texts(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def test_everything_works_in_a_scope(mine: Any) -> None:
    talk = await mine.conversations.create({"title": "talk"})
    first, _ = await mine.messages.append_history(talk.id, [said("a"), said("b")])
    await mine.conversations.set_head(talk.id, "main")
    fork = await mine.conversations.fork(talk.id, first.id)
    async with mine.messages.stream(fork.id, flush_characters=1) as stream:
        assert await stream.write("str")
        assert await stream.write("eam")
    assert texts(await mine.messages.history(fork.id)) == ["a", "stream"]
    assert texts((await mine.messages.page(fork.id, limit=1)).items) == ["stream"]
    found = await mine.conversations.compare(talk.id, other_id=fork.id)
    assert (texts(found.left), texts(found.right)) == (["b"], ["stream"])
    await mine.conversations.move_head(talk.id, first.id)
    await mine.messages.append(talk.id, {"role": "assistant", "tool_calls": [{"id": "c"}]})
    assert len((await mine.messages.repair(talk.id)).answered) == 1
    assert len(await mine.messages.history(talk.id, for_model=True)) == 3
    await mine.conversations.switch(talk.id, "main")
    assert texts(await mine.messages.last(talk.id)) == ["a", "b"]
    assert [row.id for row in (await mine.conversations.recent()).items] == [talk.id, fork.id]
    await mine.message_feedback.give(first.id, "positive")
    assert (await mine.message_feedback.summary(conversation_id=talk.id)).positive == 1
    question = await mine.messages.create({"role": "agent", "content": "?", "requires_response": True})
    assert texts(await mine.messages.unread()) == texts(await mine.messages.pending_responses()) == ["?"]
    answer = await mine.messages.respond(question.id, "!")
    assert (await mine.messages.responses([question.id]))[question.id].id == answer.id
    begun = await mine.messages.begin(talk.id)
    assert await mine.messages.append_chunk(begun.id, "x")
    assert [row.id for row in await mine.messages.recover_streams(timedelta(0))] == [begun.id]


async def test_nothing_of_others_is_there(mine: Any, theirs: Any) -> None:
    talk = await theirs.conversations.create({"title": "secret"})
    message = await theirs.messages.append(talk.id, said("secret"))
    streamed = await theirs.messages.begin(talk.id)
    asked = await theirs.messages.create({"role": "agent", "content": "secret?", "requires_response": True})
    await theirs.conversations.set_head(talk.id, "main", message.id)
    await theirs.message_feedback.give(message.id, "negative")
    own = await mine.conversations.create({"title": "mine"})
    await mine.messages.append(own.id, said("mine"))
    refused: list[Callable[[], Awaitable[Any]]] = [
        lambda: mine.messages.append(talk.id, said("x")),
        lambda: mine.messages.append_history(talk.id, [said("x")]),
        lambda: mine.messages.begin(talk.id),
        lambda: mine.messages.append_chunk(streamed.id, "x"),
        lambda: mine.messages.finish(streamed.id),
        lambda: mine.messages.stop(streamed.id),
        lambda: mine.messages.respond(asked.id, "x"),
        lambda: mine.messages.repair(talk.id),
        lambda: mine.messages.history(talk.id, head="main"),
        lambda: mine.conversations.fork(talk.id),
        lambda: mine.conversations.fork(own.id, message.id),
        lambda: mine.conversations.compare(own.id, other_id=talk.id),
        lambda: mine.conversations.compare(own.id, message.id),
        lambda: mine.conversations.rename(talk.id, "x"),
        lambda: mine.conversations.switch(talk.id, "main"),
        lambda: mine.message_feedback.give(message.id, "positive"),
    ]
    for verb in refused:
        with pytest.raises(NotFoundError):
            await verb()
    assert await mine.messages.history(talk.id) == await mine.messages.last(talk.id) == []
    assert texts(await mine.messages.before(own.id, message.id)) in ([], ["mine"])
    assert (await mine.messages.page(talk.id)).items == []
    assert await mine.messages.mark_read([asked.id]) == 0
    assert await mine.messages.unread() == await mine.messages.pending_responses() == []
    assert await mine.messages.recover_streams(timedelta(0)) == []
    assert await mine.conversations.heads(talk.id) == []
    assert not await mine.conversations.delete_head(talk.id, "main")
    assert not await mine.conversations.delete(talk.id)
    assert (await mine.message_feedback.summary()).total == 0
    assert not await mine.message_feedback.withdraw(message.id)
    assert [row.title for row in (await mine.conversations.recent()).items] == ["mine"]
    assert texts(await theirs.messages.last(talk.id)) == ["secret", ""]
    assert (await theirs.messages.require(streamed.id)).streaming_state == "streaming"
