"""Feedback: one opinion of each person about a message, and what they add up to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.conversations.feedback import FeedbackSummary
from agent_system.types import FeedbackRating
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from agent_system.models import Message

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def message(em: EntityManager) -> Message:
    return await em.messages.create({"role": "assistant", "content": "hello"})


async def test_a_person_has_one_opinion(em: EntityManager, message: Message) -> None:
    first = await em.message_feedback.give(message.id, "negative", user_id="discord:1", comment="too\0 long")
    assert (first.rating, first.comment) == (FeedbackRating.NEGATIVE, "too\0 long")
    again = await em.message_feedback.give(message.id, FeedbackRating.POSITIVE, user_id="discord:1")
    assert (again.id, again.rating, again.comment, again.created_at) == (first.id, "positive", None, first.created_at)
    await em.message_feedback.give(message.id, "neutral", user_id="discord:2")
    await em.message_feedback.give(message.id, "neutral")
    await em.message_feedback.give(message.id, "negative")
    found = await em.message_feedback.of(message.id)
    assert [(row.user_id, row.rating) for row in found] == [
        ("discord:1", "positive"),
        ("discord:2", "neutral"),
        (None, "negative"),
    ]
    assert await em.identities.get_by_id("discord:1") is not None


async def test_racing_opinions_are_one_row_each(em: EntityManager, message: Message) -> None:
    ratings = [*FeedbackRating]
    people = [None, "a", "b", "c"]
    await asyncio.gather(
        *(em.message_feedback.give(message.id, ratings[n % 3], user_id=people[n % 4]) for n in range(64))
    )
    assert {row.user_id for row in await em.message_feedback.of(message.id)} == {*people}
    assert await em.message_feedback.count() == 4
    # What is read by nobody else's write in between is what was written last.
    assert (await em.message_feedback.give(message.id, "neutral", user_id="a")).rating == "neutral"


async def test_bad_feedback_changes_nothing(em: EntityManager, message: Message) -> None:
    with pytest.raises(NotFoundError):
        await em.message_feedback.give(10**9, "negative", user_id="nobody")
    unknown: Any = {"rating": "great"}, {"rating": "negative", "comment": 7}, {"rating": "negative", "user_id": 7}
    for data in unknown:
        with pytest.raises(ValidationError, match=list(data)[-1]):
            await em.message_feedback.give(message.id, **data)
    assert await em.message_feedback.count() == 0
    assert await em.identities.get_by_id("nobody") is None


async def test_an_opinion_is_withdrawn_and_goes_with_its_message_and_its_person(
    em: EntityManager, message: Message
) -> None:
    for person in ("a", "b", None):
        await em.message_feedback.give(message.id, "negative", user_id=person)
    assert await em.message_feedback.withdraw(message.id, "a")
    assert not await em.message_feedback.withdraw(message.id, "a")
    await em.identities.delete("b")
    assert [row.user_id for row in await em.message_feedback.of(message.id)] == [None]
    await em.messages.delete(message.id)
    assert await em.message_feedback.count() == 0


async def test_feedback_is_summed_up(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a"})
    conversation = await em.conversations.create({"title": "talk"})
    rows = await em.messages.append_many(
        conversation.id, [{"role": "assistant", "agent_id": agent.id, "model": f"m{n % 2}"} for n in range(4)]
    )
    alone = await em.messages.create({"role": "assistant", "model": "m1"})
    for n, row in enumerate([*rows, alone]):
        await em.message_feedback.create(
            {
                "message_id": row.id,
                "user_id": f"u{n}",
                "rating": [*FeedbackRating][n % 3],
                "created_at": NOON + timedelta(minutes=n),
            }
        )
    await em.message_feedback.give(rows[0].id, "positive", user_id="other")
    with recorded_statements() as statements:
        everything = await em.message_feedback.summary()
    assert (everything, everything.total, len(statements)) == (FeedbackSummary(negative=2, neutral=2, positive=2), 6, 1)
    of = em.message_feedback.summary
    assert await of(message_id=rows[0].id) == FeedbackSummary(negative=1, positive=1)
    assert await of(conversation_id=conversation.id, agent_id=agent.id) == FeedbackSummary(
        negative=2, neutral=1, positive=2
    )
    assert await of(model="m1") == FeedbackSummary(negative=1, neutral=2)
    later = {"since": NOON + timedelta(minutes=1), "until": NOON + timedelta(minutes=3)}
    assert await of(**later) == FeedbackSummary(neutral=1, positive=1)
    assert await of(message_id=10**9) == FeedbackSummary()
    naive: Any = datetime(2026, 5, 1)  # noqa: DTZ001 (that is what is refused)
    with pytest.raises(ValidationError, match="since"):
        await of(since=naive)
