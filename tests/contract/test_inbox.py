"""Messages between agents and people: read once, answered once, the urgent ones first."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import ConflictError, NotFoundError, ValidationError
from agent_system.types import MESSAGE_PRIORITY_LEGACY
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Message

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def tell(em: EntityManager, text: str, **data: Any) -> Message:
    return await em.messages.create({"role": "agent", "content": text, "user_id": "ada", **data})


def texts(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def test_what_waits_for_an_answer_comes_by_urgency_and_age(em: EntityManager) -> None:
    for name in ("normal", "low", "urgent", "high", "normal", "urgent"):
        await tell(em, name, requires_response=True, priority=MESSAGE_PRIORITY_LEGACY[name])
    await tell(em, "tells only")
    pending = await em.messages.pending_responses()
    assert texts(pending) == ["urgent", "urgent", "high", "normal", "normal", "low"]
    assert [message.id for message in pending[:2]] == sorted(message.id or 0 for message in pending[:2])
    assert texts(await em.messages.pending_responses(limit=2)) == ["urgent", "urgent"]
    assert texts(await em.messages.pending_responses("ada", 1)) == ["urgent"]
    assert await em.messages.pending_responses("grace") == []
    with pytest.raises(ValidationError, match="limit"):
        await em.messages.pending_responses(limit=0)


async def test_what_an_agent_tells_is_unread_until_it_is_read(database: DatabaseManager) -> None:
    now = NOON
    em = EntityManager(database, clock=lambda: now)
    first, second, urgent = [await tell(em, text, priority=p) for text, p in (("a", 0), ("b", 0), ("c", 2))]
    await tell(em, "for another", user_id="grace")
    conversation = await em.conversations.create({"title": "talk"})
    await em.messages.append(conversation.id, {"role": "agent", "content": "said in a conversation"})
    await em.messages.create({"role": "user", "content": "said by a person", "user_id": "ada"})
    assert texts(await em.messages.unread("ada")) == ["c", "a", "b"]
    assert texts(await em.messages.unread(limit=9)) == ["c", "a", "b", "for another"]
    assert (await em.messages.count_unread(), await em.messages.count_unread("ada")) == (4, 3)
    with recorded_statements() as statements:
        assert await em.messages.mark_read([first.id or 0, second.id or 0, first.id or 0, 10**9]) == 2
    assert len(statements) == 1
    now = NOON + timedelta(hours=1)
    assert await em.messages.mark_read([first.id or 0, urgent.id or 0]) == 1
    rows = await em.messages.get_many([first.id, urgent.id])
    assert [row.read_at for row in rows.values()] == [NOON, now], "the first reading counts"
    assert await em.messages.unread("ada") == []
    assert await em.messages.mark_read([]) == 0


async def test_racing_readings_count_once(em: EntityManager) -> None:
    ids = [(await tell(em, str(n))).id or 0 for n in range(8)]
    counts = await asyncio.gather(*(em.messages.mark_read(ids) for _ in range(64)))
    assert (sum(counts), await em.messages.count_unread()) == (8, 0)


async def test_an_answer_is_linked_with_its_question(em: EntityManager) -> None:
    actions = ["yes", {"label": "no"}]
    question = await tell(em, "Go on?", requires_response=True, channel_id="c", suggested_actions=actions)
    answer = await em.messages.respond(question.id or 0, "yes")
    assert (answer.role, answer.content, answer.user_id, answer.channel_id) == ("user", "yes", "ada", "c")
    row = await em.messages.require(question.id)
    assert (row.response_id, row.suggested_actions) == (answer.id, actions)
    assert row.responded_at is not None
    assert row.read_at == row.responded_at
    assert await em.messages.pending_responses() == []
    assert await em.messages.unread() == []
    assert (await em.messages.responses([question.id or 0]))[question.id or 0].model_dump() == answer.model_dump()


async def test_an_answer_in_a_conversation_is_its_next_message(em: EntityManager) -> None:
    conversation = await em.conversations.create({"title": "talk"})
    question = await em.messages.append(conversation.id, {"role": "user", "content": "Why?", "user_id": "ada"})
    await em.messages.append(conversation.id, {"role": "user", "content": "Hm."})
    mail = {"subject": "Re: Why?", "to": ["ada@example.org"]}
    answer = await em.messages.respond(question.id or 0, {"content": "Because.", "email_metadata": mail})
    assert (answer.role, answer.conversation_id, answer.email_metadata) == ("assistant", conversation.id, mail)
    assert texts(await em.messages.last(conversation.id)) == ["Why?", "Hm.", "Because."]
    assert (await em.conversations.require(conversation.id)).message_count == 3


async def test_a_question_is_answered_once(em: EntityManager) -> None:
    question = await tell(em, "Go on?", requires_response=True)
    results = await asyncio.gather(
        *(em.messages.respond(question.id or 0, f"answer {n}") for n in range(64)), return_exceptions=True
    )
    answers = [result for result in results if not isinstance(result, BaseException)]
    assert len(answers) == 1
    assert all(isinstance(result, (ConflictError, type(answers[0]))) for result in results)
    assert await em.messages.count() == 2
    assert (await em.messages.require(question.id)).response_id == answers[0].id


async def test_an_answer_can_be_repeated_under_its_uid(em: EntityManager) -> None:
    question = await tell(em, "Go on?", requires_response=True)
    uid = uuid4()
    results = await asyncio.gather(
        *(em.messages.respond(question.id or 0, {"content": "yes", "uid": uid}) for _ in range(16))
    )
    assert len({result.id for result in results}) == 1
    assert await em.messages.count() == 2


async def test_a_bad_answer_changes_nothing(em: EntityManager) -> None:
    question = await tell(em, "Go on?", requires_response=True)
    with pytest.raises(NotFoundError):
        await em.messages.respond(10**9, "yes")
    with pytest.raises(ValidationError, match="priority"):
        await em.messages.respond(question.id or 0, {"priority": "high"})
    assert await em.messages.count() == 1
    assert texts(await em.messages.pending_responses()) == ["Go on?"]


async def test_answers_are_read_together(em: EntityManager) -> None:
    questions = [await tell(em, str(n)) for n in range(5)]
    for question in questions[:3]:
        await em.messages.respond(question.id or 0, f"answer to {question.content}")
    ids = [question.id or 0 for question in reversed(questions)]
    with recorded_statements() as statements:
        found = await em.messages.responses(ids)
    assert len(statements) == 1
    assert {key: message.content for key, message in found.items()} == {
        question.id: f"answer to {question.content}" for question in questions[:3]
    }
    assert list(found) == ids[2:]
    assert await em.messages.responses([]) == {}
