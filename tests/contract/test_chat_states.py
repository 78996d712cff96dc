"""How far chats have been read, when the agent was there, and what it missed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import ValidationError
from agent_system.types import JobStatus
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock.ahead()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


@pytest.mark.parametrize("chat", [0, 5, -1_002_003_004_005])
async def test_reading_goes_forward(em: EntityManager, chat: int) -> None:
    first = await em.chat_states.see(chat, 10, MOMENT)
    assert (first.chat_id, first.last_seen_message_id, first.last_seen_at) == (chat, 10, MOMENT)
    await em.chat_states.see(chat, 12, MOMENT + timedelta(minutes=2), messages=2)
    late = await em.chat_states.see(chat, 11, MOMENT + timedelta(minutes=1))
    assert (late.last_seen_message_id, late.last_seen_at) == (12, MOMENT + timedelta(minutes=2))
    assert late.total_messages_scanned == 4
    assert await em.chat_states.get_by_chat(chat) == late
    assert await em.chat_states.count() == 1


async def test_coming_and_leaving_is_kept_beside_what_was_read(em: EntityManager, clock: Clock) -> None:
    await em.chat_states.see(1, 10, MOMENT)
    await em.chat_states.mark_online(1, MOMENT)
    await em.chat_states.mark_online(1, MOMENT - timedelta(hours=1))
    await em.chat_states.mark_offline(1)
    state = await em.chat_states.mark_scan_completed(1, MOMENT)
    assert (state.bot_last_online_at, state.bot_last_offline_at, state.scan_completed_at) == (MOMENT, clock.now, MOMENT)
    assert (state.last_seen_message_id, state.total_messages_scanned) == (10, 1)
    fresh = await em.chat_states.mark_offline(2)
    assert (fresh.last_seen_message_id, fresh.last_seen_at, fresh.total_messages_scanned) == (None, None, 0)


async def test_bad_values_are_refused(em: EntityManager) -> None:
    for call in (
        em.chat_states.see(1, 10, datetime(2026, 1, 1)),  # noqa: DTZ001
        em.chat_states.see(2**63, 10),
        em.chat_states.see(1, 2**63),
        em.chat_states.see(1, 10, messages=-1),
        em.chat_states.mark_online(2**63),
        em.chat_states.queue_missed(1, 10, "hi", sent_at=datetime(2026, 1, 1)),  # noqa: DTZ001
    ):
        with pytest.raises(ValidationError):
            await call
    assert (await em.chat_states.count(), await em.queue.count()) == (0, 0)


async def test_64_who_read_one_chat_lose_nothing(em: EntityManager) -> None:
    await asyncio.gather(*(em.chat_states.see(0, (n * 37) % 64, MOMENT + timedelta(seconds=n)) for n in range(64)))
    state = await em.chat_states.get_by_chat(0)
    assert state is not None
    assert (state.last_seen_message_id, state.total_messages_scanned) == (63, 64)
    assert await em.chat_states.count() == 1


async def test_missed_messages_wait_as_jobs(em: EntityManager) -> None:
    first = await em.chat_states.queue_missed(0, 7, "are you\0 there?", sender="ada", sent_at=MOMENT, priority=8)
    await em.chat_states.queue_missed(1, 7, "hello")
    assert (first.task_type, first.chat_id, first.priority) == ("missed_message", 0, 8)
    assert first.payload == {
        "chat_id": 0,
        "message_id": 7,
        "text": "are you\0 there?",
        "sender": "ada",
        "sent_at": MOMENT.isoformat(),
    }
    assert [job.chat_id for job in (await em.chat_states.pending_missed()).items] == [0, 1]
    # Chat 0 is a chat, not all of them.
    assert [job.id for job in (await em.chat_states.pending_missed(0)).items] == [first.id]
    (job,) = await em.queue.claim(types=["missed_message"])
    assert job.id == first.id
    await em.queue.complete(job)
    assert (await em.chat_states.pending_missed(0)).items == []


async def test_what_is_due_is_found_however_its_time_was_written(em: EntityManager, clock: Clock) -> None:
    # Seed 000's code compared texts of two forms: nothing that was due on the same day was found.
    for zone in (0, 5, -8):
        due = (clock.now - timedelta(seconds=1)).astimezone(tz=None if zone == 0 else UTC)
        await em.chat_states.queue_missed(1, zone, "due", scheduled_for=due)
    assert len(await em.queue.claim(10, types=["missed_message"])) == 3


async def test_a_message_that_64_find_is_queued_once(em: EntityManager) -> None:
    jobs = await asyncio.gather(*(em.chat_states.queue_missed(3, 9, "hi") for _ in range(64)))
    assert len({job.id for job in jobs}) == 1
    assert await em.queue.count(status=JobStatus.PENDING) == 1
