"""What waits for what: rings are refused, failures reach the dependents, and what is ready is found."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import NotFoundError, TransitionError, ValidationError
from agent_system.managers.tasks.activities import ActivityLog
from agent_system.types import DependencyPolicy, TaskStatus
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import EntityManager
    from agent_system.models import Task


async def make_tasks(em: EntityManager, *instructions: str, **data: Any) -> list[Task]:
    return [await em.tasks.create({"instruction": instruction, **data}) for instruction in instructions]


async def make_chain(em: EntityManager, *instructions: str, on_failure: str = "fail") -> list[Task]:
    """Make tasks of which each waits for the one before."""
    tasks = await make_tasks(em, *instructions)
    for earlier, later in pairwise(tasks):
        await em.tasks.add_dependency(later.id, earlier.id, on_failure)
    return tasks


def instructions(tasks: list[Task]) -> list[str]:
    return [task.instruction for task in tasks]


async def statuses(em: EntityManager, tasks: list[Task]) -> list[str]:
    found = await em.tasks.get_many(task.id for task in tasks)
    return [str(task.status) for task in found.values()]


async def finish(em: EntityManager, task: Task) -> None:
    await em.tasks.set_status(task.id, "running")
    await em.tasks.set_result(task.id, "done")


async def test_edges_both_ways(em: EntityManager) -> None:
    a, b, c = await make_tasks(em, "a", "b", "c")
    edge = await em.tasks.add_dependency(c.id, a.id)
    assert (edge.task_id, edge.depends_on_id, edge.on_failure) == (c.id, a.id, DependencyPolicy.FAIL)
    await em.tasks.add_dependency(c.id, str(b.id), "ignore")
    assert instructions(await em.tasks.dependencies_of(c.id)) == ["a", "b"]
    assert instructions(await em.tasks.dependents_of(a.id)) == ["c"]
    assert await em.tasks.dependencies_of(a.id) == []
    assert await em.tasks.remove_dependency(c.id, a.id)
    assert not await em.tasks.remove_dependency(c.id, a.id)
    assert not await em.tasks.remove_dependency("nonsense", a.id)
    assert instructions(await em.tasks.dependencies_of(c.id)) == ["b"]
    events = await em.events.find(entity_id=str(c.id))
    assert [event.event_type.removeprefix("task.") for event in events] == [
        "created", "dependency_added", "dependency_added", "dependency_removed",
    ]  # fmt: skip
    assert events[2].data == {"depends_on_id": str(b.id), "on_failure": "ignore"}


async def test_an_edge_that_is_there_gets_the_new_policy(em: EntityManager) -> None:
    a, b = await make_tasks(em, "a", "b")
    first = await em.tasks.add_dependency(b.id, a.id)
    again = await em.tasks.add_dependency(b.id, a.id, "block")
    assert (again.on_failure, again.created_at) == (DependencyPolicy.BLOCK, first.created_at)
    assert len(await em.tasks.dependencies_of(b.id)) == 1


async def test_rings_are_refused(em: EntityManager) -> None:
    tasks = await make_chain(em, "a", "b", "c", "d")
    for later in tasks[1:]:
        with pytest.raises(ValidationError, match="depends on it already") as caught:
            await em.tasks.add_dependency(tasks[0].id, later.id)
        assert caught.value.field == "depends_on_id"
    with pytest.raises(ValidationError, match="itself"):
        await em.tasks.add_dependency(tasks[0].id, tasks[0].id)
    assert await em.tasks.dependencies_of(tasks[0].id) == []
    await em.tasks.add_dependency(tasks[3].id, tasks[0].id)


async def test_edges_need_two_tasks_and_a_known_policy(em: EntityManager) -> None:
    (task,) = await make_tasks(em, "a")
    for pair in ((task.id, uuid4()), (uuid4(), task.id)):
        with pytest.raises(NotFoundError):
            await em.tasks.add_dependency(*pair)
    with pytest.raises(ValidationError, match="on_failure"):
        await em.tasks.add_dependency(task.id, uuid4(), "panic")
    with pytest.raises(ValidationError, match="task_id"):
        await em.tasks.add_dependency("nonsense", task.id)


async def test_edges_added_at_once_never_close_a_ring(em: EntityManager) -> None:
    tasks = await make_tasks(em, *"abcdef")
    ring = [*zip(tasks, [*tasks[1:], tasks[0]], strict=True)]
    outcomes = await asyncio.gather(
        *[em.tasks.add_dependency(task.id, other.id) for task, other in ring], return_exceptions=True
    )
    assert sum(isinstance(outcome, ValidationError) for outcome in outcomes) == 1
    for _ in range(3):
        both = await make_tasks(em, "x", "y")
        outcomes = await asyncio.gather(
            em.tasks.add_dependency(both[0].id, both[1].id),
            em.tasks.add_dependency(both[1].id, both[0].id),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, ValidationError) for outcome in outcomes) == 1


async def test_ready_is_what_waits_for_nothing_by_priority_and_age(em: EntityManager) -> None:
    low, _late, high, waiting = await make_tasks(em, "low", "late", "high", "waiting")
    await em.tasks.update(high.id, {"priority": 5})
    await em.tasks.update(waiting.id, {"priority": 9})
    await em.tasks.add_dependency(waiting.id, low.id)
    await make_tasks(em, "running", status="running")
    await make_tasks(em, "held", status="on_hold")
    await make_tasks(em, "created", status="created")
    with recorded_statements() as statements:
        assert instructions(await em.tasks.find_ready()) == ["high", "low", "late", "created"]
    assert len(statements) == 1
    assert instructions(await em.tasks.find_ready(limit=1)) == ["high"]
    assert instructions(await em.tasks.find_ready({"status": "created"})) == ["created"]
    await finish(em, low)
    assert instructions(await em.tasks.find_ready()) == ["waiting", "high", "late", "created"]


async def test_waiting_tells_what_for_by_one_statement(em: EntityManager) -> None:
    a, b, c, d = await make_tasks(em, *"abcd")
    for other in (a, b):
        await em.tasks.add_dependency(c.id, other.id)
    await em.tasks.add_dependency(d.id, c.id)
    await em.tasks.update(d.id, {"priority": 1})
    with recorded_statements() as statements:
        waiting = await em.tasks.find_waiting()
    assert len(statements) == 1
    assert [(entry.task.instruction, instructions(entry.waits_for)) for entry in waiting] == [
        ("d", ["c"]), ("c", ["a", "b"]),
    ]  # fmt: skip
    assert waiting[1].task == await em.tasks.require(c.id)
    assert waiting[1].waits_for == [a, b]
    await finish(em, a)
    waiting = await em.tasks.find_waiting(limit=2)
    assert [instructions(entry.waits_for) for entry in waiting] == [["c"], ["b"]]
    assert len(await em.tasks.find_waiting(limit=1)) == 1
    assert await em.tasks.find_waiting({"title": "none"}) == []


async def test_a_failure_fails_all_that_depends_on_it(em: EntityManager) -> None:
    tasks = await make_chain(em, "a", "b", "c", "d")
    (beside,) = await make_tasks(em, "beside")
    await em.tasks.set_error(tasks[0].id, "no disk")
    assert await statuses(em, [*tasks, beside]) == ["failed"] * 4 + ["pending"]
    last = await em.tasks.require(tasks[3].id)
    assert last.error == f"task {tasks[0].id}, which it depends on, failed"
    assert last.completed_at is not None
    (line,) = (await em.tasks.activities(last.id)).items
    assert line.data["because_of"] == str(tasks[0].id)
    events = await em.events.find(event_type="task.status_changed")
    assert [event.entity_id for event in events] == [str(task.id) for task in tasks]


async def test_a_failure_takes_the_same_statements_however_many_depend_on_it(em: EntityManager) -> None:
    counts = []
    for number in (1, 30):
        (first,) = await make_tasks(em, "first")
        for task in await make_tasks(em, *["dependent"] * number):
            await em.tasks.add_dependency(task.id, first.id)
        with recorded_statements() as statements:
            await em.tasks.set_error(first.id, "broken")
        counts.append(len(statements))
    assert counts[0] == counts[1]
    assert (await em.tasks.statistics()).by_status[TaskStatus.FAILED] == 33


async def test_policies_block_and_ignore(em: EntityManager) -> None:
    blocked = await make_chain(em, "a", "b", on_failure="block")
    careless = await make_chain(em, "c", "d", on_failure="ignore")
    for chain in (blocked, careless):
        await em.tasks.set_error(chain[0].id, "broken")
    assert await statuses(em, [blocked[1], careless[1]]) == ["pending", "pending"]
    assert instructions(await em.tasks.find_ready()) == ["d"]
    assert [entry.task.instruction for entry in await em.tasks.find_waiting()] == ["b"]
    await em.tasks.retry(blocked[0].id)
    await finish(em, blocked[0])
    assert instructions(await em.tasks.find_ready()) == ["b", "d"]


async def test_a_blocking_edge_ends_the_spread_of_a_failure(em: EntityManager) -> None:
    a, b, c = await make_tasks(em, *"abc")
    await em.tasks.add_dependency(b.id, a.id, "block")
    await em.tasks.add_dependency(c.id, b.id)
    await em.tasks.set_error(a.id, "broken")
    assert await statuses(em, [a, b, c]) == ["failed", "pending", "pending"]


async def test_what_has_ended_or_runs_is_left_alone(em: EntityManager) -> None:
    (first,) = await make_tasks(em, "first")
    others = [
        (await make_tasks(em, status, status=status))[0]
        for status in ("completed", "stopped", "running", "queued", "waiting", "on_hold", "created")
    ]
    for other in others:
        await em.tasks.add_dependency(other.id, first.id)
    await em.tasks.update(first.id, {"status": "failed"})
    assert await statuses(em, others) == ["completed", "stopped", "running", *["failed"] * 4]


async def test_cancelling_counts_as_failing_and_stopping_does_not(em: EntityManager) -> None:
    cancelled, stopped = await make_chain(em, "a", "b"), await make_chain(em, "c", "d")
    await em.tasks.cancel(cancelled[0].id)
    await em.tasks.stop(stopped[0].id)
    assert await statuses(em, [cancelled[1], stopped[1]]) == ["failed", "pending"]
    assert "was cancelled" in str((await em.tasks.require(cancelled[1].id)).error)


async def test_depending_on_what_has_failed_fails_at_once(em: EntityManager) -> None:
    failed, late, blocked, after = await make_tasks(em, "failed", "late", "blocked", "after")
    await em.tasks.add_dependency(after.id, late.id)
    await em.tasks.set_error(failed.id, "broken")
    await em.tasks.add_dependency(late.id, failed.id)
    await em.tasks.add_dependency(blocked.id, failed.id, "block")
    assert await statuses(em, [late, after, blocked]) == ["failed", "failed", "pending"]


async def test_an_error_that_is_there_is_kept(em: EntityManager) -> None:
    first, second = await make_chain(em, "a", "b")
    await em.tasks.update(second.id, {"error": "of its own"})
    await em.tasks.set_error(first.id, "broken")
    assert (await em.tasks.require(second.id)).error == "of its own"


async def test_a_refused_failure_fails_nobody(em: EntityManager) -> None:
    first, second = await make_chain(em, "a", "b")
    await finish(em, first)
    with pytest.raises(TransitionError):
        await em.tasks.set_error(first.id, "too late")
    assert await statuses(em, [first, second]) == ["completed", "pending"]


async def test_failures_and_new_edges_at_once_leave_nobody_behind(em: EntityManager) -> None:
    for _ in range(5):
        first, second = await make_tasks(em, "a", "b")
        await asyncio.gather(em.tasks.set_error(first.id, "broken"), em.tasks.add_dependency(second.id, first.id))
        assert await statuses(em, [first, second]) == ["failed", "failed"]


async def test_a_failure_that_cannot_be_written_whole_leaves_nothing(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = await make_chain(em, "a", "b", "c")
    before = await em.events.count()

    def refuse(*_arguments: Any) -> None:
        message = "no room in the log"
        raise RuntimeError(message)

    monkeypatch.setattr(ActivityLog, "record_many", refuse)
    with pytest.raises(RuntimeError, match="no room"):
        await em.tasks.set_error(first.id, "broken")
    assert await statuses(em, [first, second, third]) == ["pending"] * 3
    assert (await em.tasks.activities(first.id)).items == []
    assert await em.events.count() == before


async def test_edges_go_with_their_tasks(em: EntityManager) -> None:
    first, second = await make_chain(em, "a", "b")
    assert await em.tasks.delete(first.id)
    assert instructions(await em.tasks.find_ready()) == ["b"]
    assert await em.tasks.dependencies_of(second.id) == []
