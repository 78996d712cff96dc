"""Processes and their runs: defaults, triggers, states and counters."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import ForeignKeyError, NotFoundError, TransitionError, ValidationError
from agent_system.managers.processes.process_states import TRANSITIONS
from agent_system.types import ProcessInstanceStatus as Status
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Process, ProcessInstance

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def make(em: EntityManager, name: str = "deploy", **data: Any) -> Process:
    return await em.processes.create({"name": name, **data})


async def counters(em: EntityManager, process: Process) -> tuple[int, int, int, float]:
    row = await em.processes.require(process.id)
    return row.usage_count, row.success_count, row.failure_count, row.total_execution_seconds


def names(rows: list[Process]) -> list[str]:
    return [row.name for row in rows]


async def test_processes_are_found_by_what_they_are(em: EntityManager) -> None:
    await make(em, "b", process_type="build", triggers=["push", "tag"], required_tools=["git"])
    await make(em, "a", process_type="build", triggers=["push"], required_documents=["rules"], rollback_steps=["undo"])
    await make(em, "c", triggers=["pushed"], rollback_steps=[{"name": "undo"}])
    await make(em, "d", process_type="build", triggers=["push"], status="archived", rollback_steps=["undo"])
    processes = em.processes
    assert names(await processes.find_by_type("build")) == ["a", "b"]
    assert names(await processes.find_by_trigger("push")) == ["a", "b"]
    assert names(await processes.find_by_required_tool("git")) == ["b"]
    assert names(await processes.find_by_required_document("rules")) == ["a"]
    assert names(await processes.find_rollback_capable()) == ["a", "c"]
    found = await processes.get_by_name(" B ")
    assert found is not None
    assert found.name == "b"
    assert await processes.get_by_name("e") is None


async def test_of_processes_of_one_name_the_newest_in_use_is_meant(em: EntityManager) -> None:
    first, second = await make(em), await make(em, "Deploy")
    found = await em.processes.get_by_name("deploy")
    assert found is not None
    assert found.id == second.id
    await em.processes.update(second.id, {"status": "archived"})
    found = await em.processes.get_by_name("deploy")
    assert found is not None
    assert found.id == first.id


async def test_triggers(em: EntityManager) -> None:
    process = await make(em, triggers=["push"])
    assert (await em.processes.add_trigger(process.id, "tag", "push")).triggers == ["push", "tag"]
    assert (await em.processes.remove_trigger(process.id, "push", "x")).triggers == ["tag"]
    await asyncio.gather(*(em.processes.add_trigger(process.id, f"t{n}") for n in range(10)))
    assert len((await em.processes.require(process.id)).triggers) == 11


async def test_a_type_has_at_most_one_default(em: EntityManager) -> None:
    async def default(process_type: str = "general") -> str | None:
        found = await em.processes.get_default(process_type)
        return None if found is None else found.name

    first, second = await make(em, "first"), await make(em, "second", is_default=True)
    other = await make(em, "other", process_type="build", is_default=True)
    assert (await default(), await default("build"), await default("x")) == ("second", "other", None)
    await make(em, "third", is_default=True)
    assert await default() == "third"
    await em.processes.set_default(first.id)
    assert await default() == "first"
    same = await em.processes.set_default(first.id)
    assert same.version == 2
    await em.processes.update(second.id, {"is_default": True})
    assert await default() == "second"
    await em.processes.update(other.id, {"process_type": "general"})
    assert (await default(), await default("build")) == ("other", None)
    assert await em.processes.count(is_default=True) == 1
    with pytest.raises(NotFoundError):
        await em.processes.set_default(uuid4())


async def test_racing_defaults_leave_one(em: EntityManager) -> None:
    rows = [await make(em, f"p{n}") for n in range(6)]
    await asyncio.gather(*(em.processes.set_default(row.id) for row in rows))
    await asyncio.gather(*(make(em, f"q{n}", is_default=True) for n in range(6)))
    assert await em.processes.count(is_default=True) == 1


async def test_a_run_counts_in_its_process(database: DatabaseManager) -> None:
    clock = Clock(NOON)
    em = EntityManager(database, clock=clock)
    process = await make(em)
    task = uuid4()
    run = await em.process_instances.start(process.id, {"branch": "main"}, task)
    assert (run.status, run.parameters, run.task_id, run.started_at) == (
        Status.RUNNING, {"branch": "main"}, task, run.created_at
    )  # fmt: skip
    assert await counters(em, process) == (1, 0, 0, 0.0)
    clock.now = run.created_at + timedelta(seconds=2.5)
    done = await em.process_instances.complete(run.id, {"files": 3})
    assert (done.status, done.result, done.completed_at, done.current_step_id) == (
        Status.COMPLETED, {"files": 3}, clock.now, None
    )  # fmt: skip
    assert await counters(em, process) == (1, 1, 0, 2.5)
    failing = await em.process_instances.start(process.id)
    clock.now = failing.created_at + timedelta(seconds=1)
    failed = await em.process_instances.fail(failing.id, "no disk")
    assert (failed.status, failed.error) == (Status.FAILED, "no disk")
    cancelled = await em.process_instances.start(process.id)
    await em.process_instances.cancel(cancelled.id, "not needed")
    assert (await counters(em, process))[:3] == (3, 1, 1)
    # Counting changes neither the version, for whoever expects one, nor the trail.
    assert (await em.processes.require(process.id)).version == 1
    assert [event.event_type for event in await em.events.find()] == ["process.created"]


async def test_racing_runs_are_all_counted(em: EntityManager) -> None:
    process = await make(em)
    runs = await asyncio.gather(*(em.process_instances.start(process.id) for _ in range(20)))
    await asyncio.gather(*(em.process_instances.complete(run.id) for run in runs))
    assert (await counters(em, process))[:3] == (20, 20, 0)


async def test_a_run_needs_its_process(em: EntityManager) -> None:
    with pytest.raises(ForeignKeyError) as caught:
        await em.process_instances.start(uuid4())
    assert caught.value.fields == ("process_id",)
    process = await make(em)
    run = await em.process_instances.start(process.id)
    with pytest.raises(ValidationError, match="process_id"):
        await em.process_instances.update(run.id, {"process_id": process.id})
    with pytest.raises(ValidationError, match="usage_count"):
        await em.processes.update(process.id, {"usage_count": 9})


async def test_steps_remember_what_they_found(em: EntityManager) -> None:
    process = await make(em)
    run = await em.process_instances.start(process.id)
    run = await em.process_instances.advance(run.id, "build", {"log": "b.txt", "deep": {"a": 1, "b": 2}})
    run = await em.process_instances.advance(run.id, "test", {"log": None, "deep": {"b": None, "c": [3]}})
    assert (run.current_step_id, run.state) == ("test", {"deep": {"a": 1, "c": [3]}})
    waiting = await em.process_instances.wait(run.id)
    assert waiting.status is Status.WAITING
    assert (await em.process_instances.advance(run.id, "deploy")).status is Status.RUNNING
    changes = (em.process_instances.advance(run.id, "deploy", {f"k{n}": n}) for n in range(8))
    await asyncio.gather(*changes)
    assert len((await em.process_instances.require(run.id)).state) == 9
    assert [row.id for row in await em.process_instances.find_under_way(process.id)] == [run.id]
    await em.process_instances.complete(run.id)
    assert await em.process_instances.find_under_way() == []
    with pytest.raises(TransitionError):
        await em.process_instances.advance(run.id, "again")
    with pytest.raises(NotFoundError):
        await em.process_instances.advance(uuid4(), "again")


async def test_a_run_is_undone(em: EntityManager) -> None:
    process = await make(em, rollback_steps=["drop", "restore"])
    run = await em.process_instances.start(process.id)
    await em.process_instances.complete(run.id)
    undoing = await em.process_instances.roll_back(run.id)
    assert (undoing.status, undoing.completed_at) == (Status.ROLLING_BACK, None)
    step = await em.process_instances.advance(run.id, "drop")
    assert (step.status, step.current_step_id) == (Status.ROLLING_BACK, "drop")
    undone = await em.process_instances.finish_roll_back(run.id)
    assert undone.status is Status.ROLLED_BACK
    assert undone.completed_at is not None
    # A run counts when it ends, and undoing it takes nothing back.
    assert (await counters(em, process))[:3] == (1, 1, 0)
    with pytest.raises(TransitionError):
        await em.process_instances.roll_back(run.id)


async def test_what_cannot_be_undone_is_not_begun(em: EntityManager) -> None:
    run = await em.process_instances.start((await make(em)).id)
    with pytest.raises(ValidationError, match="rollback"):
        await em.process_instances.roll_back(run.id)
    assert (await em.process_instances.require(run.id)).status is Status.RUNNING


async def test_a_failed_undoing_counts_no_second_failure(em: EntityManager) -> None:
    process = await make(em, rollback_steps=["drop"])
    run = await em.process_instances.start(process.id)
    await em.process_instances.fail(run.id, "first")
    await em.process_instances.roll_back(run.id)
    failed = await em.process_instances.fail(run.id, "cannot drop")
    assert failed.error == "cannot drop"
    assert (await counters(em, process))[:3] == (1, 0, 1)


async def test_only_allowed_transitions_happen(em: EntityManager) -> None:
    process = await make(em, rollback_steps=["undo"])

    async def run_in(status: Status) -> ProcessInstance:
        return await em.process_instances.create({"process_id": process.id, "status": status})

    for before, allowed in TRANSITIONS.items():
        for after in Status:
            run = await run_in(before)
            if after in allowed or after is before:
                assert (await em.process_instances.update(run.id, {"status": after})).status is after
                continue
            with pytest.raises(TransitionError) as caught:
                await em.process_instances.update(run.id, {"status": after, "error": "lost"})
            assert caught.value.entity_id == run.id
            assert (await em.process_instances.require(run.id)).model_dump() == run.model_dump()


async def test_the_end_of_a_run_comes_once(em: EntityManager) -> None:
    process = await make(em)
    run = await em.process_instances.start(process.id)
    outcomes = await asyncio.gather(
        *(em.process_instances.complete(run.id, {"n": n}) for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, TransitionError) for outcome in outcomes) == 4
    assert (await counters(em, process))[:3] == (1, 1, 0)


async def test_a_run_that_is_over_when_it_is_written_counts(em: EntityManager) -> None:
    process = await make(em)
    await em.process_instances.create_many(
        [
            {
                "process_id": process.id,
                "status": "completed",
                "started_at": NOON,
                "completed_at": NOON + timedelta(seconds=4),
            },
            {"process_id": process.id, "status": "failed"},
            {"process_id": process.id, "status": "pending"},
        ]
    )
    assert await counters(em, process) == (3, 1, 1, 4.0)
    pending = await em.process_instances.find_one(status="pending")
    assert pending is not None
    assert pending.started_at is None
