"""What agents were doing when: the history, who does what now, and a summary."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agent_system import EntityManager
from agent_system.errors import ForeignKeyError, ValidationError
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def em(database: DatabaseManager) -> EntityManager:
    return EntityManager(database, clock=lambda: NOON)


async def test_an_entry_knows_what_its_task_knows(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "coder"})
    owned = {"user_id": user.id, "agent_id": agent.id}
    task = await em.tasks.create({"instruction": "i", "session_uuid": "s", **owned})
    by_task = await em.agent_status.record("started", task_id=task.id, message="began", meta={"n": 1})
    by_session = await em.agent_status.record("tool_call", session_uuid="s")
    for entry in (by_task, by_session):
        assert (entry.task_id, entry.user_id, entry.agent_id, entry.timestamp) == (task.id, user.id, agent.id, NOON)
    assert await em.agent_status.require(by_task.id) == by_task
    await em.tasks.delete(task.id)
    late = await em.agent_status.record("completed", task_id=task.id)
    assert (late.task_id, late.meta) == (None, {"task_id": str(task.id)})
    with pytest.raises(ForeignKeyError, match="agent_id"):
        await em.agent_status.record("x", agent_id=uuid4())
    with pytest.raises(ValidationError, match="status"):
        await em.agent_status.record(None)  # type: ignore[arg-type]


async def test_history_comes_newest_first_in_pages(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    for number in range(5):
        await em.agent_status.record(f"s{number}", task_id=task.id, timestamp=NOON + timedelta(seconds=number % 3))
    first = await em.agent_status.history({"task_id": task.id}, limit=3)
    rest = await em.agent_status.history({"task_id": task.id}, limit=3, after=first.next_cursor)
    assert [entry.status for entry in first.items + rest.items] == ["s2", "s4", "s1", "s3", "s0"]


async def test_the_newest_entry_of_each_agent(em: EntityManager) -> None:
    agents = [await em.agents.create({"name": f"a{n}"}) for n in range(3)]
    for agent, status, seconds in ((0, "old", 0), (0, "new", 5), (1, "same", 3), (1, "later row", 3), (2, "other", 0)):
        await em.agent_status.record(status, agent_id=agents[agent].id, timestamp=NOON + timedelta(seconds=seconds))
    await em.agent_status.record("of nobody")
    with recorded_statements() as statements:
        current = await em.agent_status.current()
        some = await em.agent_status.current([agents[0].id, uuid4()])
    assert len(statements) == 2
    assert {key: entry.status for key, entry in current.items()} == {
        agents[0].id: "new", agents[1].id: "later row", agents[2].id: "other",
    }  # fmt: skip
    assert list(some) == [agents[0].id]


async def test_a_summary_counts_and_shows_the_latest(em: EntityManager) -> None:
    for number, status in enumerate(["tool_call"] * 3 + ["started"]):
        await em.agent_status.record(status, timestamp=NOON + timedelta(minutes=number))
    with recorded_statements() as statements:
        summary = await em.agent_status.summary(latest=2)
    assert len(statements) == 2
    assert (summary.by_status, summary.total) == ({"tool_call": 3, "started": 1}, 4)
    assert [entry.status for entry in summary.latest] == ["started", "tool_call"]
    window = await em.agent_status.summary(since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=3))
    assert window.by_status == {"tool_call": 2}
    assert (await em.agent_status.summary({"status": "none"})).latest == []


async def test_old_entries_are_cleaned_up(em: EntityManager) -> None:
    for days in (0, 29, 31, 90):
        await em.agent_status.record(f"{days}", timestamp=NOON - timedelta(days=days))
    assert await em.agent_status.cleanup() == 2
    assert await em.agent_status.cleanup(timedelta(days=1)) == 1
    assert [entry.status for entry in await em.agent_status.find()] == ["0"]
