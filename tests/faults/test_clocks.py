"""The clock of the machine is set back and forward: order, versions and the queue do not follow it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from agent_system import EntityManager
from tests.clock import Clock

if TYPE_CHECKING:
    import pytest

    from agent_system.database.manager import DatabaseManager
    from tests.faults.report import Teller

JUMPS = (timedelta(days=-1), timedelta(hours=2), timedelta(days=-30), timedelta(days=400), timedelta(seconds=-1))


async def test_a_clock_that_jumps_changes_no_order_and_loses_no_row(database: DatabaseManager, tell: Teller) -> None:
    clock = Clock.ahead()
    em = EntityManager(database, clock=clock)
    conversation = await em.conversations.create({"title": "jumps"})
    agent = await em.agents.create({"name": "0"})
    said = []
    for number, jump in enumerate(JUMPS):
        clock.now += jump
        said.append((await em.messages.append(conversation.id, {"role": "user", "content": str(number)})).content)
        agent = await em.agents.update(agent.id, {"name": str(number)}, expected_version=agent.version)

    history = [message.content for message in await em.messages.last(conversation.id, len(JUMPS))]
    lost = set(said) - set(history)
    tell("clock set back and forward", trials=len(JUMPS), acknowledged=len(said), lost=len(lost))
    assert history == said
    assert (await em.agents.require(agent.id)).version == len(JUMPS) + 1


async def test_a_clock_that_jumps_neither_hides_a_job_nor_hands_it_out_twice(
    database: DatabaseManager, monkeypatch: pytest.MonkeyPatch, tell: Teller
) -> None:
    clock = Clock.ahead()
    em = EntityManager(database)
    # The date jumps; the machine's own count of time, by which leases run, goes on.
    monkeypatch.setattr(em.queue, "_clock", clock)
    claimed = []
    for number, jump in enumerate(JUMPS):
        await em.queue.enqueue("work", {"number": number})
        clock.now += jump
        claimed += [job.payload["number"] for job in await em.queue.claim(10)]

    lost = len(JUMPS) - len(set(claimed))
    tell("clock set between enqueue and claim", trials=len(JUMPS), acknowledged=len(JUMPS), lost=lost)
    assert claimed == list(range(len(JUMPS)))
