"""Many tasks at once: stopping, retrying, what a dead program leaves behind, what got stale, what is old."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.errors import ValidationError
from agent_system.managers.tasks.upkeep import is_running
from agent_system.types import TaskStatus, ToolCallState
from tests.clock import Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager
    from agent_system.models import Task

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def make(em: EntityManager, *statuses: str, **values: Any) -> list[Task]:
    return [await em.tasks.create({"instruction": status, "status": status, **values}) for status in statuses]


async def statuses_of(em: EntityManager) -> dict[str, str]:
    return {task.instruction: task.status.value for task in await em.tasks.find()}


async def test_all_that_has_not_ended_is_stopped_and_retried(em: EntityManager) -> None:
    await make(em, "created", "running", "on_hold", "completed", "failed", "cancelled")
    stopped = await em.tasks.stop_all(reason="shutdown")
    assert {task.instruction for task in stopped} == {"created", "running", "on_hold"}
    assert {task.completed_at for task in stopped} == {NOON}
    assert [await em.tasks.require(task.id) for task in stopped] == stopped
    log = (await em.tasks.activities(stopped[0].id)).items
    assert [line.message for line in log] == ["→ stopped: shutdown"]
    retried = await em.tasks.retry_all_stopped()
    assert {(task.status, task.attempt, task.completed_at) for task in retried} == {(TaskStatus.PENDING, 2, None)}
    assert [await em.tasks.require(task.id) for task in retried] == retried
    assert await em.events.count(event_type="task.status_changed") == 6
    only = await em.tasks.stop_all({"instruction": "created"}, statuses=["pending"])
    assert [task.instruction for task in only] == ["created"]
    assert await em.tasks.stop_all(statuses=["completed"]) == []


async def test_stopping_many_takes_as_many_statements_as_stopping_one(em: EntityManager) -> None:
    counts = []
    for many in (1, 20):
        await make(em, *["pending"] * many)
        for verb in (em.tasks.stop_all, em.tasks.retry_all_stopped):
            with recorded_statements() as statements:
                await verb()
            counts.append(len(statements))
    assert counts[:2] == counts[2:]


async def test_a_retry_is_the_next_attempt(em: EntityManager) -> None:
    (task,) = await make(em, "running")
    assert task.attempt == 1
    await em.tasks.set_error(task.id, "broken")
    assert (await em.tasks.retry(task.id)).attempt == 2
    await em.tasks.stop(task.id)
    assert (await em.tasks.resume(task.id)).attempt == 2


async def test_what_a_restart_interrupts_is_listed_until_it_is_taken_up(em: EntityManager, clock: Clock) -> None:
    first, second = await make(em, "running", "running")
    (untouched,) = await make(em, "pending")
    await em.tool_usage.start("c1", "Bash", task_id=first.id)
    await em.tool_usage.start("c2", "Bash", task_id=untouched.id)
    clock.now += timedelta(minutes=1)
    recovered = await em.tasks.recover_interrupted()
    assert {(task.id, task.status, task.interrupted_at) for task in recovered} == {
        (task.id, TaskStatus.STOPPED, clock.now) for task in (first, second)
    }  # fmt: skip
    assert [task.id for task in (await em.tasks.interrupted()).items] == [second.id, first.id]
    states = {call.call_id: call.state for call in await em.tool_usage.find()}
    assert states == {"c1": ToolCallState.INTERRUPTED, "c2": ToolCallState.RUNNING}
    resumed = await em.tasks.resume(first.id)
    assert (resumed.interrupted_at, resumed.attempt) == (None, 1)
    retried = await em.tasks.retry_all_stopped()
    assert [(task.id, task.interrupted_at, task.attempt) for task in retried] == [(second.id, None, 2)]
    assert (await em.tasks.interrupted()).items == []
    assert await em.tasks.recover_interrupted() == []


async def test_tasks_of_dead_processes_are_stopped(em: EntityManager) -> None:
    dead, alive, unknown = await make(em, "running", "running", "running")
    await em.tasks.update(dead.id, {"pid": 2**22 + 1})
    await em.tasks.update(alive.id, {"pid": os.getpid()})
    (stopped,) = await em.tasks.recover_dead()
    assert (stopped.id, stopped.pid, stopped.status) == (dead.id, None, TaskStatus.STOPPED)
    assert stopped.interrupted_at is not None
    assert await em.tasks.recover_dead() == []
    (other,) = await em.tasks.recover_dead(is_alive=lambda pid: pid != os.getpid())
    assert other.id == alive.id
    assert (await em.tasks.require(unknown.id)).status is TaskStatus.RUNNING


def test_processes_are_told_by_their_ids() -> None:
    assert is_running(os.getpid())
    assert is_running(1)
    assert not any(is_running(pid) for pid in (0, -1, 2**22 + 1, 2**40))


async def test_what_nobody_began_fails_with_what_depends_on_it(em: EntityManager, clock: Clock) -> None:
    (stale, dependent, running) = await make(em, "pending", "waiting", "running")
    await em.tasks.add_dependency(dependent.id, stale.id)
    clock.now += timedelta(minutes=50)
    stale = await em.tasks.update(stale.id, {"priority": 0})
    clock.now += timedelta(minutes=59)
    assert await em.tasks.fail_stale_pending() == []
    clock.now += timedelta(minutes=2)
    (failed,) = await em.tasks.fail_stale_pending()
    assert (failed.id, failed.status) == (stale.id, TaskStatus.FAILED)
    assert "no agent has begun it" in (failed.error or "")
    assert (await em.tasks.require(dependent.id)).status is TaskStatus.FAILED
    assert (await em.tasks.require(running.id)).status is TaskStatus.RUNNING


async def test_running_tasks_that_nobody_hears_of_fail(em: EntityManager, clock: Clock) -> None:
    silent, talking, calling, recent = await make(em, *["running"] * 4)
    for task in (silent, talking, calling, recent):
        await em.tasks.update(task.id, {"priority": 1})
    clock.now += timedelta(hours=2)
    await em.tasks.update(recent.id, {"priority": 2})
    await em.tool_usage.start("c", "Bash", task_id=calling.id)
    await em.tasks._activities.create({"task_id": talking.id, "message": "still here", "created_at": clock.now})
    (failed,) = await em.tasks.fail_stuck(timedelta(hours=1))
    assert (failed.id, failed.status, failed.error) == (
        silent.id, TaskStatus.FAILED, "nothing was heard of it for 1:00:00",
    )  # fmt: skip
    assert await em.tasks.fail_stuck(timedelta(hours=1)) == []


async def test_old_failed_tasks_are_deleted_with_their_parts(em: EntityManager, clock: Clock) -> None:
    (old, completed) = await make(em, "running", "running")
    part = await em.tasks.add_subtask(old.id, {"instruction": "part"})
    await em.documents.register("a.md", task_id=old.id)
    await em.tasks.set_error(old.id, "x")
    await em.tasks.set_result(completed.id, "y")
    clock.now += timedelta(hours=23)
    assert await em.tasks.clear_old_failed() == 0
    clock.now += timedelta(hours=2)
    assert await em.tasks.clear_old_failed() == 1
    assert await em.tasks.get_many([old.id, part.id]) == {}
    assert await em.events.count(event_type="task.deleted") == 2
    assert await em.tasks.clear_old() == 0
    clock.now += timedelta(days=7)
    assert await em.tasks.clear_old() == 1
    assert await em.tasks.count() == 0
    assert (await em.documents.find())[0].task_id is None


async def test_lists_of_a_monitor(em: EntityManager) -> None:
    await make(em, "running", "completed", "failed", "pending")
    shown = {
        name: sorted(task.instruction for task in (await em.tasks.page(name)).items)
        for name in ("running", "not_completed", "completed", "all")
    }
    assert shown == {
        "running": ["running"],
        "not_completed": ["failed", "pending", "running"],
        "completed": ["completed"],
        "all": ["completed", "failed", "pending", "running"],
    }
    first = await em.tasks.page(limit=3)
    rest = await em.tasks.page(limit=3, after=first.next_cursor)
    assert (len(first.items), len(rest.items)) == (3, 1)
    with pytest.raises(ValidationError, match="shown"):
        await em.tasks.page("some")  # type: ignore[arg-type]


async def test_a_tree_as_nested_objects_by_one_statement(em: EntityManager) -> None:
    key = em.tasks.next_tree_id()
    root = await em.tasks.create({"id": key, "instruction": "root", "session_uuid": "s"})
    assert root.tree_id == key
    child = await em.tasks.add_subtask(root.id, {"instruction": "child"})
    await em.tasks.add_subtask(child.id, {"instruction": "grandchild"})
    await em.tasks.add_subtask(root.id, {"instruction": "second"})
    with recorded_statements() as statements:
        tree = await em.tasks.nested(root.id)
    assert len(statements) == 1
    assert (tree["id"], tree["depth"], tree["status"]) == (str(root.id), 0, "pending")
    assert [one["instruction"] for one in tree["children"]] == ["child", "second"]
    assert [one["instruction"] for one in tree["children"][0]["children"]] == ["grandchild"]
    assert await em.tasks.find_by_session("s") == [root]
