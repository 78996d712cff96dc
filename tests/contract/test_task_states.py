"""The states of tasks: the table of transitions, and what a change of state writes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system import EntityManager
from agent_system.errors import NotFoundError, TransitionError, ValidationError
from agent_system.managers.core.audit import audit_context
from agent_system.managers.tasks.states import ENDED, TRANSITIONS
from agent_system.types import TaskStatus
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system import DatabaseManager
    from agent_system.models import Task

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def make_task(em: EntityManager, **data: Any) -> Task:
    return await em.tasks.create({"instruction": "i", **data})


async def messages(em: EntityManager, task: Task) -> list[str]:
    return [line.message for line in (await em.tasks.activities(task.id)).items]


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(TaskStatus)
    assert not any(status in following for status, following in TRANSITIONS.items())
    assert TRANSITIONS[TaskStatus.COMPLETED] == TRANSITIONS[TaskStatus.CANCELLED] == frozenset()
    for status in set(TaskStatus) - ENDED:
        assert {TaskStatus.FAILED, TaskStatus.STOPPED, TaskStatus.CANCELLED} <= TRANSITIONS[status]
    completing = {status for status, following in TRANSITIONS.items() if TaskStatus.COMPLETED in following}
    assert completing == {TaskStatus.RUNNING, TaskStatus.WAITING}


@pytest.mark.parametrize("status", TaskStatus)
async def test_update_obeys_the_table(em: EntityManager, status: TaskStatus) -> None:
    for wanted in TaskStatus:
        task = await make_task(em, status=status)
        if wanted is status or wanted in TRANSITIONS[status]:
            changed = await em.tasks.update(task.id, {"status": wanted.value})
            assert changed.status is wanted
            assert (changed.completed_at is not None) == (wanted in ENDED and wanted is not status)
        else:
            with pytest.raises(TransitionError) as caught:
                await em.tasks.update(task.id, {"status": wanted.value})
            assert (caught.value.current, caught.value.wanted) == (status.value, wanted.value)
            assert set(caught.value.allowed) == TRANSITIONS[status]
            assert all(name in str(caught.value) for name in caught.value.allowed)
            assert await em.tasks.require(task.id) == task


async def test_a_life(database: DatabaseManager) -> None:
    em = EntityManager(database, clock=Clock(NOW, tick=timedelta(seconds=1)))
    task = await make_task(em)
    running = await em.tasks.update(task.id, {"status": "running", "pid": 7})
    assert running.started_at is not None
    assert (running.completed_at, running.pid) == (None, 7)
    held = await em.tasks.hold(task.id, "lunch")
    assert (held.status, held.pid, held.started_at) == (TaskStatus.ON_HOLD, None, running.started_at)
    assert (await em.tasks.resume(task.id)).status is TaskStatus.PENDING
    again = await em.tasks.set_status(task.id, TaskStatus.RUNNING)
    assert again.started_at == running.started_at
    done = await em.tasks.set_result(task.id, "a result", "short")
    assert (done.status, done.result, done.summary) == (TaskStatus.COMPLETED, "a result", "short")
    assert done.completed_at is not None
    assert done.completed_at > running.started_at
    assert await messages(em, task) == [
        "pending → running", "running → on_hold: lunch", "on_hold → pending", "pending → running",
        "running → completed",
    ]  # fmt: skip
    events = await em.events.find(entity_id=str(task.id))
    assert [event.event_type for event in events] == ["task.created", *["task.status_changed"] * 5]
    assert (events[-1].before["status"], events[-1].after["status"]) == ("running", "completed")


async def test_results_and_errors_survive_every_change_of_state(em: EntityManager) -> None:
    task = await make_task(em, status="running", result="half", error="a warning")
    for status in ("waiting", "running", "stopped", "pending", "running", "completed"):
        changed = await em.tasks.set_status(task.id, status)
        assert (changed.result, changed.error) == ("half", "a warning")


async def test_an_error_fails_a_task_and_a_retry_keeps_it_on_record(em: EntityManager) -> None:
    task = await make_task(em, status="running", started_at=NOW)
    failed = await em.tasks.set_error(task.id, "no disk")
    assert (failed.status, failed.error) == (TaskStatus.FAILED, "no disk")
    assert failed.completed_at is not None
    again = await em.tasks.retry(task.id, "disk added")
    assert (again.status, again.error, again.completed_at) == (TaskStatus.PENDING, None, None)
    assert again.started_at == NOW
    lines = (await em.tasks.activities(task.id)).items
    assert lines[0].message == "running → failed: no disk"
    assert lines[1].data == {"from": "failed", "to": "pending", "reason": "disk added", "error": "no disk"}


async def test_only_what_was_set_aside_can_be_taken_up(em: EntityManager) -> None:
    for status in TaskStatus:
        for verb, states in ((em.tasks.resume, {"on_hold", "stopped"}), (em.tasks.retry, {"failed", "stopped"})):
            task = await make_task(em, status=status)
            if status in states:
                assert (await verb(task.id)).status is TaskStatus.PENDING
            else:
                with pytest.raises(TransitionError, match=str(status)):
                    await verb(task.id)


async def test_stopping_and_cancelling(em: EntityManager) -> None:
    stopped = await em.tasks.stop((await make_task(em, status="running")).id, "enough")
    assert stopped.status is TaskStatus.STOPPED
    cancelled = await em.tasks.cancel(stopped.id)
    assert cancelled.status is TaskStatus.CANCELLED
    assert await messages(em, stopped) == ["running → stopped: enough", "stopped → cancelled"]
    with pytest.raises(TransitionError, match="cancelled is final"):
        await em.tasks.set_status(cancelled.id, "pending")


async def test_the_state_that_it_is_in_changes_nothing(em: EntityManager) -> None:
    task = await make_task(em, status="completed", completed_at=NOW)
    same = await em.tasks.set_status(task.id, "completed")
    assert (same.status, same.completed_at) == (TaskStatus.COMPLETED, NOW)
    assert await messages(em, task) == []


async def test_a_task_made_running_has_begun(em: EntityManager) -> None:
    task = await make_task(em, status="running")
    assert task.started_at == task.created_at


async def test_missing_tasks_and_unknown_states(em: EntityManager) -> None:
    for missing in (uuid4(), "nonsense"):
        for verb in (em.tasks.stop, em.tasks.cancel, em.tasks.hold, em.tasks.resume, em.tasks.retry):
            with pytest.raises(NotFoundError):
                await verb(missing)
        with pytest.raises(NotFoundError):
            await em.tasks.set_result(missing, "r")
    task = await make_task(em)
    with pytest.raises(ValidationError, match="status"):
        await em.tasks.set_status(task.id, "sleeping")
    with pytest.raises(ValidationError, match="result"):
        await em.tasks.set_result(task.id, {"a": 1})


async def test_one_of_many_takers_of_a_task_gets_it(em: EntityManager) -> None:
    task = await make_task(em, status="running")
    ends = [em.tasks.set_result(task.id, "done"), em.tasks.set_error(task.id, "broken"), em.tasks.cancel(task.id)]
    outcomes = await asyncio.gather(*ends, return_exceptions=True)
    assert sum(isinstance(outcome, TransitionError) for outcome in outcomes) == 2
    assert len(await messages(em, task)) == 1


async def test_an_upsert_obeys_the_table_too(em: EntityManager) -> None:
    task = await make_task(em, status="completed", session_uuid="s")
    with pytest.raises(TransitionError):
        await em.tasks.upsert({"session_uuid": "s", "instruction": "i", "status": "running"}, on=("session_uuid",))
    assert await em.tasks.require(task.id) == task


async def test_a_refused_change_leaves_nothing(em: EntityManager) -> None:
    task = await make_task(em, status="completed")
    with pytest.raises(TransitionError):
        await em.tasks.update(task.id, {"status": "running", "title": "t", "result": "other"})
    assert await em.tasks.require(task.id) == task
    assert await messages(em, task) == []
    assert await em.events.count() == 1


async def test_what_was_running_is_stopped_at_the_next_start(em: EntityManager) -> None:
    running = [await make_task(em, status="running", pid=number) for number in range(3)]
    others = [await make_task(em, status=status) for status in ("pending", "completed")]
    mine = await make_task(em, status="running", session_uuid="mine", error="old")
    assert [task.id for task in await em.tasks.recover_interrupted({"session_uuid": "mine"})] == [mine.id]
    with audit_context(actor="runtime"):
        stopped = await em.tasks.recover_interrupted()
    assert [task.id for task in stopped] == [task.id for task in running]
    for task in stopped:
        assert (task.status, task.pid, task.version) == (TaskStatus.STOPPED, None, 2)
        assert await em.tasks.require(task.id) == task
        (line,) = (await em.tasks.activities(task.id)).items
        assert (line.activity_type, line.actor) == ("status", "runtime")
        assert "interrupted" in line.message
        (_, event) = await em.events.find(entity_id=str(task.id))
        assert (event.event_type, event.actor) == ("task.status_changed", "runtime")
        assert (event.before["status"], event.after["status"]) == ("running", "stopped")
    assert await em.tasks.recover_interrupted() == []
    assert [await em.tasks.require(task.id) for task in others] == others
    assert (await em.tasks.require(mine.id)).error == "old"
