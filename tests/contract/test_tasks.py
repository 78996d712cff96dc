"""Tasks: the tree, the log, phases, and how many there are of which kind."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import ConflictError, ForeignKeyError, NotFoundError, ValidationError
from agent_system.managers.core.audit import audit_context
from agent_system.models import Task
from agent_system.types import TaskStatus
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager, EntityManager


async def make_task(em: EntityManager, instruction: str, **data: Any) -> Task:
    return await em.tasks.create({"instruction": instruction, **data})


def instructions(tasks: list[Task]) -> list[str]:
    return [task.instruction for task in tasks]


async def make_tree(em: EntityManager) -> dict[str, Task]:
    """Make a tree: root, under it a and b, under a: a1 and a2, under a1: deep; and a second root beside it."""
    tree: dict[str, Task] = {}
    for name, parent in {
        "root": None,
        "a": "root",
        "b": "root",
        "a1": "a",
        "a2": "a",
        "deep": "a1",
        "other": None,
    }.items():
        tree[name] = await make_task(em, name, parent_task_id=parent and tree[parent].id)
    return tree


async def test_a_new_task_is_pending_and_the_root_of_its_own_tree(em: EntityManager) -> None:
    task = await make_task(em, "i")
    assert (task.status, task.tree_id, task.parent_task_id) == (TaskStatus.PENDING, task.id, None)
    assert (task.started_at, task.completed_at) == (None, None)
    assert await em.tasks.require(task.id) == task


async def test_a_part_belongs_to_the_tree_of_its_parent(em: EntityManager) -> None:
    tree = await make_tree(em)
    assert {name for name, task in tree.items() if task.tree_id == tree["root"].id} == set(tree) - {"other"}
    by_instance = await em.tasks.create(Task(instruction="instance", parent_task_id=tree["deep"].id))
    assert by_instance.tree_id == tree["root"].id
    added = await em.tasks.add_subtask(tree["b"].id, {"instruction": "added"})
    assert (added.parent_task_id, added.tree_id) == (tree["b"].id, tree["root"].id)


async def test_many_tasks_may_be_parts_of_each_other(em: EntityManager) -> None:
    root, part, deep = uuid4(), uuid4(), uuid4()
    tasks = await em.tasks.create_many(
        [
            {"id": root, "instruction": "root"},
            {"id": part, "instruction": "part", "parent_task_id": root},
            {"id": deep, "instruction": "deep", "parent_task_id": part, "tree_id": root},
        ]
    )
    assert {task.tree_id for task in tasks} == {root}
    assert await em.tasks.get_many([deep, root]) == {deep: tasks[2], root: tasks[0]}


async def test_a_missing_parent_is_named_and_nothing_is_written(em: EntityManager) -> None:
    with pytest.raises(ForeignKeyError, match="parent_task_id") as caught:
        await make_task(em, "i", parent_task_id=uuid4())
    assert caught.value.field == "parent_task_id"
    with pytest.raises(ForeignKeyError, match="parent_task_id"):
        await em.tasks.add_subtask(uuid4(), {"instruction": "i"})
    with pytest.raises(ForeignKeyError, match="parent_task_id"):
        await em.tasks.create_many([{"instruction": "a"}, {"instruction": "b", "parent_task_id": uuid4()}])
    with pytest.raises(ForeignKeyError, match="agent_id"):
        await make_task(em, "i", agent_id=uuid4())
    assert await em.tasks.count() == 0
    assert await em.events.count() == 0


async def test_trees_and_parents_are_not_changed_by_hand(em: EntityManager) -> None:
    tree = await make_tree(em)
    for changes in ({"tree_id": uuid4()}, {"parent_task_id": tree["b"].id}):
        with pytest.raises(ValidationError, match="cannot be changed"):
            await em.tasks.update(tree["a"].id, changes)
    with pytest.raises(ValidationError, match="tree_id"):
        await make_task(em, "i", tree_id=uuid4())
    with pytest.raises(ValidationError, match="tree_id"):
        await make_task(em, "i", tree_id=uuid4(), parent_task_id=tree["a"].id)


async def test_bad_tasks_are_refused(em: EntityManager) -> None:
    for data, field in (
        ({}, "instruction"),
        ({"instruction": 3}, "instruction"),
        ({"instruction": "i", "status": "sleeping"}, "status"),
        ({"instruction": "i", "priority": 2**63}, "priority"),
        ({"instruction": "i", "prio": 1}, "prio"),
        ({"instruction": "i", "started_at": datetime(2026, 1, 1)}, "started_at"),  # noqa: DTZ001 (refused)
    ):
        with pytest.raises(ValidationError) as caught:
            await em.tasks.create(data)
        assert caught.value.field == field
    assert await em.tasks.count() == 0


async def test_tree_is_depth_first_with_children_by_one_statement(em: EntityManager) -> None:
    tasks = await make_tree(em)
    with recorded_statements() as statements:
        nodes = await em.tasks.tree(tasks["root"].id)
    assert len(statements) == 1
    assert [(node.task.instruction, node.depth) for node in nodes] == [
        ("root", 0), ("a", 1), ("a1", 2), ("deep", 3), ("a2", 2), ("b", 1),
    ]  # fmt: skip
    assert instructions(nodes[0].task.children) == ["a", "b"]
    assert instructions(nodes[1].task.children) == ["a1", "a2"]
    assert nodes[-1].task.children == []
    part = await em.tasks.tree(str(tasks["a"].id))
    assert [(node.task.instruction, node.depth) for node in part] == [("a", 0), ("a1", 1), ("deep", 2), ("a2", 1)]


async def test_relatives(em: EntityManager) -> None:
    tasks = await make_tree(em)
    with recorded_statements() as statements:
        assert instructions(await em.tasks.descendants(tasks["a"].id)) == ["a1", "deep", "a2"]
        assert instructions(await em.tasks.ancestors(tasks["deep"].id)) == ["a1", "a", "root"]
        assert instructions(await em.tasks.children(tasks["root"].id)) == ["a", "b"]
    assert len(statements) == 3
    assert await em.tasks.ancestors(tasks["root"].id) == []
    assert await em.tasks.descendants(tasks["other"].id) == []
    first = await em.tasks.roots(limit=1)
    rest = await em.tasks.roots(limit=1, after=first.next_cursor)
    assert (instructions(first.items), instructions(rest.items), rest.next_cursor) == (["other"], ["root"], None)
    for verb in (em.tasks.tree, em.tasks.descendants, em.tasks.ancestors):
        for missing in (uuid4(), "nonsense"):
            with pytest.raises(NotFoundError):
                await verb(missing)


async def test_a_deep_tree(em: EntityManager) -> None:
    ids = [uuid4() for _ in range(300)]
    await em.tasks.create_many(
        [
            {"id": id_, "instruction": str(number), "parent_task_id": parent}
            for number, (id_, parent) in enumerate(zip(ids, [None, *ids], strict=False))
        ]
    )
    assert [node.depth for node in await em.tasks.tree(ids[0])] == [*range(300)]
    assert len(await em.tasks.ancestors(ids[-1])) == 299


async def test_parts_are_deleted_with_the_whole(em: EntityManager) -> None:
    tasks = await make_tree(em)
    await em.tasks.add_activity(tasks["deep"].id, "line")
    assert await em.tasks.delete(tasks["a"].id)
    assert [node.task.instruction for node in await em.tasks.tree(tasks["root"].id)] == ["root", "b"]
    assert (await em.tasks.activities(tasks["deep"].id)).items == []


async def test_activities_are_added_by_any_number_of_writers(em: EntityManager) -> None:
    task = await make_task(em, "i", current_phase="plan")
    await asyncio.gather(*[em.tasks.add_activity(task.id, f"line {number}") for number in range(100)])
    first = await em.tasks.activities(task.id, limit=60)
    rest = await em.tasks.activities(task.id, limit=60, after=first.next_cursor)
    lines = [*first.items, *rest.items]
    assert rest.next_cursor is None
    assert sorted(line.message for line in lines) == sorted(f"line {number}" for number in range(100))
    assert [line.id for line in lines] == sorted(line.id for line in lines)
    assert {line.phase for line in lines} == {"plan"}
    newest = await em.tasks.activities(task.id, limit=1, newest_first=True)
    assert newest.items == [lines[-1]]
    assert (await em.tasks.require(task.id)).version == 1


async def test_an_activity_is_one_statement_and_keeps_what_it_is_given(em: EntityManager) -> None:
    task = await make_task(em, "i", current_phase="plan")
    with recorded_statements() as statements:
        line = await em.tasks.add_activity(
            task.id, "nul\0", activity_type="tool", actor="coder", phase="test", data={"lone": "\ud800"}
        )
    assert len(statements) == 1
    assert (line.message, line.activity_type, line.actor, line.phase) == ("nul\0", "tool", "coder", "test")
    assert line.data == {"lone": "\ud800"}
    assert (await em.tasks.activities(task.id)).items == [line]
    with audit_context(actor="ada"):
        assert (await em.tasks.add_activity(task.id, "line")).actor == "ada"
    assert (await em.tasks.add_activity(task.id, "line")).data is None


async def test_bad_activities_are_refused(em: EntityManager) -> None:
    task = await make_task(em, "i")
    with pytest.raises(NotFoundError):
        await em.tasks.add_activity(uuid4(), "line")
    with pytest.raises(ValidationError, match="data"):
        await em.tasks.add_activity(task.id, "line", data=float("nan"))
    with pytest.raises(ValidationError, match="message"):
        await em.tasks.add_activity(task.id, None)
    assert (await em.tasks.activities(task.id)).items == []


async def test_phases_follow_each_other(em: EntityManager) -> None:
    task = await make_task(em, "i")
    planned = await em.tasks.update_phase(task.id, "plan", agent_type="planner")
    assert (planned.current_phase, planned.phase_number, planned.agent_type) == ("plan", 1, "planner")
    coded = await em.tasks.update_phase(task.id, "code")
    assert (coded.current_phase, coded.phase_number, coded.agent_type) == ("code", 2, "planner")
    assert (await em.tasks.update_phase(task.id, "ship", phase_number=9)).phase_number == 9
    lines = (await em.tasks.activities(task.id)).items
    assert [(line.activity_type, line.message, line.phase) for line in lines] == [
        ("phase", "plan", "plan"), ("phase", "code", "code"), ("phase", "ship", "ship"),
    ]  # fmt: skip
    with pytest.raises(NotFoundError):
        await em.tasks.update_phase(uuid4(), "plan")


async def test_phases_entered_at_once_are_all_counted(em: EntityManager) -> None:
    task = await make_task(em, "i")
    await asyncio.gather(*[em.tasks.update_phase(task.id, f"phase {number}") for number in range(20)])
    assert (await em.tasks.require(task.id)).phase_number == 20


async def test_assigning_an_agent(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "agent"})
    task = await make_task(em, "i")
    assert (await em.tasks.assign_agent(task.id, agent.id)).agent_id == agent.id
    with pytest.raises(ForeignKeyError, match="agent_id"):
        await em.tasks.assign_agent(task.id, uuid4())
    assert (await em.tasks.assign_agent(task.id, None)).agent_id is None
    with pytest.raises(NotFoundError):
        await em.tasks.assign_agent(uuid4(), agent.id)
    lines = (await em.tasks.activities(task.id)).items
    assert [line.message for line in lines] == ["assigned", "taken from its agent"]
    events = [event.event_type for event in await em.events.find(entity_id=str(task.id))]
    assert events == ["task.created", "task.agent_assigned", "task.agent_assigned"]


async def test_changing_what_is_not_there(em: EntityManager) -> None:
    for missing in (uuid4(), "nonsense"):
        with pytest.raises(NotFoundError):
            await em.tasks.update(missing, {"status": "running"})


async def test_one_of_many_writers_of_a_version_wins(em: EntityManager) -> None:
    task = await make_task(em, "i")
    outcomes = await asyncio.gather(
        *[em.tasks.update(task.id, {"title": str(number)}, expected_version=1) for number in range(10)],
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 9
    (won,) = [outcome for outcome in outcomes if isinstance(outcome, Task)]
    assert await em.tasks.require(task.id) == won
    assert won.version == 2
    with pytest.raises(ConflictError):
        await em.tasks.set_status(task.id, "running", expected_version=1)
    assert (await em.tasks.set_status(task.id, "running", expected_version=2)).version == 3


async def test_statistics(em: EntityManager) -> None:
    empty = await em.tasks.statistics()
    assert (empty.total, empty.ended, empty.success_rate) == (0, 0, None)
    agent = await em.agents.create({"name": "agent"})
    for status in ("completed", "completed", "failed", "stopped", "running", "pending"):
        await make_task(em, status, status=status)
    await make_task(em, "i", status="completed", agent_id=agent.id)
    statistics = await em.tasks.statistics()
    assert statistics.by_status[TaskStatus.COMPLETED] == 3
    assert statistics.by_status[TaskStatus.QUEUED] == 0
    assert (statistics.total, statistics.ended, statistics.success_rate) == (7, 5, 0.6)
    assert (await em.tasks.statistics({"agent_id": agent.id})).total == 1
    assert (await em.tasks.statistics(Task.priority > 0)).total == 0


async def test_events_tell_in_which_tree_they_happened(em: EntityManager) -> None:
    tasks = await make_tree(em)
    await em.tasks.update(tasks["deep"].id, {"title": "t"})
    await em.tasks.delete(tasks["deep"].id)
    events = await em.events.find(entity_id=str(tasks["deep"].id))
    assert [event.event_type for event in events] == ["task.created", "task.updated", "task.deleted"]
    assert {event.tree_id for event in events} == {tasks["root"].id}
    assert events[0].after["tree_id"] == str(tasks["root"].id)


async def test_what_a_transaction_writes_is_rolled_back_with_it(em: EntityManager, database: DatabaseManager) -> None:
    task = await make_task(em, "i")

    async def write_and_fail() -> None:
        async with database.transaction():
            await em.tasks.add_subtask(task.id, {"instruction": "part"})
            await em.tasks.set_status(task.id, "running")
            await em.tasks.add_activity(task.id, "line")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write_and_fail()
    assert (await em.tasks.require(task.id)).status is TaskStatus.PENDING
    assert await em.tasks.children(task.id) == []
    assert (await em.tasks.activities(task.id)).items == []
    assert await em.events.count() == 1
