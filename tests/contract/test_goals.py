"""Goals: set, looked at by deadline, reached."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system.entity_manager import EntityManager
from agent_system.errors import NotFoundError, ValidationError
from agent_system.types import GoalStatus
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Goal

START = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def moments() -> list[datetime]:
    """What the clock says: the last of these."""
    return [START]


@pytest.fixture
def em(database: DatabaseManager, moments: list[datetime]) -> EntityManager:
    return EntityManager(database, clock=lambda: moments[-1])


async def make(em: EntityManager, objective: str, days: float | None = None, **fields: Any) -> Goal:
    deadline = None if days is None else START + timedelta(days=days)
    return await em.goals.set(fields.pop("user_id", "ada"), objective, deadline, **fields)


async def test_open_goals_come_by_deadline_then_urgency(em: EntityManager) -> None:
    await make(em, "some day")
    await make(em, "some day, urgent", priority=9)
    await make(em, "next week", 7)
    await make(em, "yesterday", -1)
    await make(em, "done", 1, status="completed")
    await make(em, "given up", 1, status="cancelled")
    await make(em, "blocked", 2, status="blocked")
    await make(em, "of another", 1, user_id="grace")
    expected = ["yesterday", "blocked", "next week", "some day, urgent", "some day"]
    assert [goal.objective for goal in await em.goals.check("ada")] == expected
    assert [goal.objective for goal in await em.goals.check("ada", limit=2)] == expected[:2]
    due = await em.goals.due(START + timedelta(days=1, microseconds=1))
    assert [goal.objective for goal in due] == ["yesterday", "of another"]
    assert await em.identities.get_by_id("ada") is not None


async def test_a_goal_is_dated_when_it_is_reached(em: EntityManager, moments: list[datetime]) -> None:
    goal = await make(em, "learn")
    assert (goal.status, goal.completed_at) == (GoalStatus.NOT_STARTED, None)
    moments.append(START + timedelta(hours=1))
    reached = await em.goals.complete(goal.id)
    assert (reached.status, reached.completed_at) == (GoalStatus.COMPLETED, moments[-1])
    moments.append(START + timedelta(hours=2))
    assert (await em.goals.complete(goal.id)).model_dump() == reached.model_dump()
    again = await em.goals.update(goal.id, {"status": "in_progress", "objective": "learn more"})
    assert (again.completed_at, again.updated_at) == (None, moments[-1])
    assert (await make(em, "was done", status="completed")).completed_at == moments[-1]
    with pytest.raises(NotFoundError):
        await em.goals.complete(999)
    with pytest.raises(ValidationError, match="status"):
        await em.goals.set_status(goal.id, "nearly")


async def test_what_was_done_lately_is_told(em: EntityManager, moments: list[datetime]) -> None:
    old, new = await make(em, "old"), await make(em, "new")
    moments.append(START + timedelta(days=10))
    await em.goals.complete(new.id)
    moments.append(START + timedelta(days=11))
    latest = await make(em, "latest")
    assert [goal.objective for goal in await em.goals.history("ada")] == ["latest", "new"]
    assert [goal.id for goal in await em.goals.history("ada", days=1)] == [latest.id, new.id]
    assert [goal.id for goal in await em.goals.history("ada", days=30)] == [latest.id, new.id, old.id]
    with pytest.raises(ValidationError, match="days"):
        await em.goals.history("ada", days=0)


async def test_goals_are_counted_by_status(em: EntityManager) -> None:
    for status, days in (("completed", -1), ("in_progress", -1), ("not_started", 1), ("cancelled", -1)):
        await make(em, status, days, status=status)
    with recorded_statements() as statements:
        summary = await em.goals.summary("ada")
    assert len(statements) <= 3
    assert (summary.total, summary.overdue, summary.by_status[GoalStatus.BLOCKED]) == (4, 1, 0)
    assert summary.completed_share == pytest.approx(1 / 3)
    assert (await em.goals.summary("nobody")).completed_share is None


async def test_progress_is_that_of_the_lists_that_lead_there(em: EntityManager) -> None:
    goal = await make(em, "trip")
    assert (await em.goals.progress(goal.id)).share is None
    await em.todos.create_list("train", "- [x] look\n- book", user_id="ada", goal_id=goal.id)
    await em.todos.create_list("bag", ["pack", {"content": "buy", "status": "cancelled"}], goal_id=goal.id)
    with recorded_statements() as statements:
        progress = await em.goals.progress(goal.id)
    assert (progress.items, progress.completed, len(statements)) == (3, 1, 1)
    await em.goals.delete(goal.id)
    assert (await em.todos.status("train", "ada")).goal_id is None


async def test_a_persons_goals_are_found_under_each_identity(em: EntityManager, database: DatabaseManager) -> None:
    user = await em.users.create({"username": "ada"})
    await make(em, "learn", user_id="discord:5")
    await database.write(
        lambda executor: executor.execute(
            text("UPDATE user_identities SET user_id = (SELECT id FROM users) WHERE id = 'discord:5'")
        )
    )
    assert [goal.objective for goal in await em.goals.check(user.id)] == ["learn"]
    assert [goal.objective for goal in await em.goals.check("discord:5")] == ["learn"]
    assert (await em.goals.summary(str(user.id))).total == 1


@pytest.mark.parametrize("wrong", [{"priority": 0}, {"priority": 11}, {"status": "open"}, {"objective": None}], ids=str)
async def test_what_cannot_be_is_refused(em: EntityManager, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await em.goals.create({"objective": "x", **wrong})
    with pytest.raises(ValidationError, match="deadline"):
        await em.goals.set("ada", "x", START.replace(tzinfo=None))
