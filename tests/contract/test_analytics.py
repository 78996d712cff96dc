"""Chat analytics: reports over all messages, by one statement each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import ValidationError
from agent_system.types import MessageRole
from tests.clock import NOW
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system import EntityManager

HOUR = timedelta(hours=1)


@pytest.fixture
async def said(em: EntityManager) -> None:
    """Say something in a conversation and in a channel, by two people, two models and nobody."""
    conversation = await em.conversations.create({"title": "c"})
    await em.identities.create({"id": "ada", "display_name": "Ada"})
    texts: list[dict[str, Any]] = [
        {"user_id": "ada", "input_method": "text", "conversation_id": conversation.id},
        {"user_id": "ada", "input_method": "voice", "conversation_id": conversation.id, "has_image": True},
        {"role": "assistant", "conversation_id": conversation.id, "model": "gpt",
         "input_tokens": 10, "output_tokens": 4},
        {"role": "assistant", "channel_id": "c1", "guild_id": "g", "model": "claude", "input_tokens": 7,
         "output_tokens": 2, "cache_read_input_tokens": 5, "created_at": NOW + HOUR},
        {"user_id": "grace", "input_method": "text", "channel_id": "c1", "guild_id": "g", "created_at": NOW + HOUR},
        {"role": "assistant", "channel_id": "c2", "model": "gpt", "created_at": NOW + 24 * HOUR},
    ]  # fmt: skip
    for text in texts:
        await em.messages.create({"role": "user", "created_at": NOW, **text})


@pytest.mark.usefixtures("said")
async def test_activity_by_day_and_by_hour(em: EntityManager) -> None:
    days = await em.analytics.activity()
    assert [(each.starts_at, each.messages, each.users) for each in days] == [
        (datetime(2026, 3, 31, tzinfo=UTC), 3, 1),
        (datetime(2026, 4, 1, tzinfo=UTC), 3, 1),
    ]
    hours = await em.analytics.activity("hour", since=NOW, until=NOW + 24 * HOUR)
    assert [(each.starts_at, each.messages) for each in hours] == [
        (datetime(2026, 3, 31, 23, tzinfo=UTC), 3),
        (datetime(2026, 4, 1, 0, tzinfo=UTC), 2),
    ]
    assert await em.analytics.activity(since=NOW + 25 * HOUR) == []


@pytest.mark.usefixtures("said")
async def test_shares_of_input_methods_and_models(em: EntityManager) -> None:
    methods = await em.analytics.input_methods(role="user")
    assert [(each.name, each.messages, each.share) for each in methods] == [
        ("text", 2, pytest.approx(2 / 3)), ("voice", 1, pytest.approx(1 / 3)),
    ]  # fmt: skip
    assert [(each.name, each.messages) for each in await em.analytics.input_methods()] == [
        (None, 3), ("text", 2), ("voice", 1),
    ]  # fmt: skip
    models = await em.analytics.models()
    assert [(each.name, each.messages, each.share) for each in models] == [
        ("gpt", 2, pytest.approx(2 / 3)), ("claude", 1, pytest.approx(1 / 3)),
    ]  # fmt: skip
    assert [each.share for each in await em.analytics.models(guild_id="g")] == [1.0]
    assert await em.analytics.models(user_id="ada") == []


@pytest.mark.usefixtures("said")
async def test_people_who_said_something(em: EntityManager) -> None:
    people = await em.analytics.active_users()
    assert [(each.user_id, each.display_name, each.messages, each.last_message_at) for each in people] == [
        ("ada", "Ada", 2, NOW), ("grace", "grace", 1, NOW + HOUR),
    ]  # fmt: skip
    assert [each.user_id for each in await em.analytics.active_users(1)] == ["ada"]
    assert [each.user_id for each in await em.analytics.active_users(channel_id="c1")] == ["grace"]
    assert await em.analytics.active_users(until=NOW) == []


@pytest.mark.usefixtures("said")
async def test_tokens_by_role(em: EntityManager) -> None:
    assistant, user = await em.analytics.tokens_by_role()
    assert (assistant.role, assistant.messages) == (MessageRole.ASSISTANT, 3)
    assert (assistant.input_tokens, assistant.output_tokens, assistant.cache_read_input_tokens) == (17, 6, 5)
    assert (user.role, user.messages, user.input_tokens) == (MessageRole.USER, 3, 0)
    (only,) = await em.analytics.tokens_by_role(role=MessageRole.ASSISTANT, since=NOW + HOUR, until=NOW + 2 * HOUR)
    assert (only.messages, only.input_tokens, only.cache_creation_input_tokens) == (1, 7, 0)


@pytest.mark.usefixtures("said")
async def test_statistics(em: EntityManager) -> None:
    statistics = await em.analytics.statistics()
    assert (statistics.messages, statistics.users, statistics.conversations) == (6, 2, 1)
    assert (statistics.channels, statistics.with_image) == (2, 1)
    assert (statistics.input_tokens, statistics.output_tokens) == (17, 6)
    assert (statistics.first_message_at, statistics.last_message_at) == (NOW, NOW + 24 * HOUR)
    (conversation,) = await em.conversations.find()
    assert (await em.analytics.statistics(conversation_id=conversation.id)).messages == 3
    nothing = await em.analytics.statistics(user_id="nobody")
    assert (nothing.messages, nothing.input_tokens, nothing.first_message_at) == (0, 0, None)


@pytest.mark.usefixtures("said")
async def test_every_report_is_one_statement(em: EntityManager) -> None:
    analytics = em.analytics
    reports: list[Callable[[], Awaitable[object]]] = [
        analytics.activity,
        analytics.input_methods,
        analytics.models,
        analytics.active_users,
        analytics.tokens_by_role,
        analytics.statistics,
    ]
    for report in reports:
        with recorded_statements() as statements:
            await report()
        assert len(statements) == 1


async def test_what_cannot_be_asked_is_refused(em: EntityManager) -> None:
    for filters, field in (
        ({"since": datetime(2026, 1, 1)}, "since"),  # noqa: DTZ001 (refused)
        ({"user_id": 3}, "user_id"),
        ({"conversation_id": "nonsense"}, "conversation_id"),
        ({"colour": "red"}, "colour"),
    ):
        wanted: dict[str, Any] = filters
        with pytest.raises(ValidationError) as caught:
            await em.analytics.statistics(**wanted)
        assert caught.value.field == field
    with pytest.raises(ValidationError, match="bucket"):
        await em.analytics.activity("week")
