"""Seed 001's task trees, its list of entities, and its events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agent_system.importers.legacy import import_legacy
from agent_system.importers.legacy.linking import Linking
from agent_system.types import LifecycleStatus, MessageRole, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy import FileReport

    MakeFile = Callable[..., Path]

THEN = "2025-06-20T12:00:00.000001"
MOMENT = datetime(2025, 6, 20, 12, 0, 0, 1, tzinfo=UTC)
AGENTS = "CREATE TABLE agents (id INTEGER PRIMARY KEY, name TEXT, instruction TEXT, available_tools TEXT, status TEXT)"
TOOLS = "CREATE TABLE tools (id INTEGER PRIMARY KEY, name TEXT, category TEXT, implementation TEXT, parameters TEXT)"
TASKS = """CREATE TABLE tasks (id INTEGER PRIMARY KEY, parent_task_id INTEGER, tree_id INTEGER, agent_id INTEGER,
  instruction TEXT, status TEXT, priority INTEGER, created_at TIMESTAMP)"""
MESSAGES = """CREATE TABLE messages (id INTEGER PRIMARY KEY, task_id INTEGER, message_type TEXT, content TEXT,
  parent_message_id INTEGER, timestamp TIMESTAMP)"""
ENTITIES = """CREATE TABLE entities (id INTEGER PRIMARY KEY, entity_type TEXT, entity_id INTEGER, name TEXT,
  version TEXT, status TEXT, metadata TEXT, created_at TIMESTAMP)"""
EVENTS = """CREATE TABLE events (id INTEGER PRIMARY KEY, event_type TEXT, primary_entity_type TEXT,
  primary_entity_id INTEGER, event_data TEXT, tree_id INTEGER, parent_event_id INTEGER, duration_seconds REAL,
  timestamp TIMESTAMP)"""
SYSTEM_EVENTS = """CREATE TABLE system_events (id INTEGER PRIMARY KEY, event_type TEXT, source_task_id INTEGER,
  event_data TEXT, timestamp TIMESTAMP, severity TEXT)"""
RELATIONSHIPS = """CREATE TABLE entity_relationships (id INTEGER PRIMARY KEY, source_type TEXT, source_id INTEGER,
  target_type TEXT, target_id INTEGER, relationship_type TEXT, strength REAL, created_at TIMESTAMP)"""


def counts(report: FileReport) -> dict[str, tuple[int, int, int, int, int]]:
    return {t.table: (t.read, t.written, t.merged, t.skipped, t.rejected) for t in report.tables}


async def test_trees_keep_their_shape_and_a_circle_is_cut(em: EntityManager, make_file: MakeFile) -> None:
    tasks = [
        (1, 3, 9, 6, "leaf", "complete", None, THEN),
        (2, None, 9, 4242, "root", "waiting_subtasks", 5, THEN),
        (3, 2, 9, 6, "middle", "weird", 0, THEN),
        (4, 5, 8, 6, "one", "running", 0, THEN),
        (5, 4, 8, 6, "two", "running", 0, THEN),
        (6, 777, 7, 6, "lost", "created", 0, THEN),
    ]
    agents = [(6, "planner", "Plan", '["find", "gone"]', "active"), (7, "Planner", "Plan too", None, "deprecated")]
    path = make_file(
        AGENTS,
        TOOLS,
        TASKS,
        MESSAGES,
        "CREATE VIEW task_trees AS SELECT * FROM dropped",
        agents=agents,
        tools=[(3, "find", "core", "internal", "{broken")],
        tasks=tasks,
        messages=[(8, 1, "user_input", "Hello", None, THEN), (9, 99, "tool_response", "found", 8, THEN)],
    )
    report = await import_legacy(em, path)
    by_name = {task.instruction: task for task in await em.tasks.find()}
    root, middle, leaf = (by_name[name] for name in ("root", "middle", "leaf"))
    assert (root.parent_task_id, middle.parent_task_id, leaf.parent_task_id) == (None, root.id, middle.id)
    assert {root.tree_id, middle.tree_id, leaf.tree_id} == {root.id}
    assert (by_name["one"].parent_task_id, by_name["two"].parent_task_id) == (None, by_name["one"].id)
    assert by_name["two"].tree_id == by_name["one"].tree_id == by_name["one"].id
    assert (leaf.status, middle.status, root.status) == (TaskStatus.COMPLETED, TaskStatus.PENDING, TaskStatus.WAITING)
    assert (leaf.created_at, leaf.priority, root.agent_id) == (MOMENT, 0, None)
    first, second = await em.agents.find()
    assert (first.name, second.name, second.state) == ("planner", "Planner (2)", LifecycleStatus.DEPRECATED)
    assert [tool.name for tool in await em.agents.tools_of(first.id)] == ["find"]
    said, answered = await em.messages.find()
    assert (said.task_id, said.role, answered.role) == (leaf.id, MessageRole.USER, MessageRole.TOOL)
    assert (answered.parent_id, answered.task_id) == (said.id, None)
    assert counts(report)["agents.available_tools"] == (2, 1, 0, 0, 1)
    (lost,) = [each.reasons["orphaned"] for each in report.tables if each.table == "tasks"]
    assert {why: reason.rows for why, reason in lost.items()} == {
        "agent_id: refers to a row of agents that is not there": [2],
        "parent_task_id: refers to a row of tasks that is not there": [6],
        "parent_task_id: closes a circle": [4],
    }
    again = await import_legacy(em, path)
    assert again.total("written") == 0
    assert {task.id: task.tree_id for task in await em.tasks.find()} == {t.id: t.tree_id for t in by_name.values()}


async def test_links_that_an_interrupted_import_has_left_are_set_by_the_next(
    em: EntityManager, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_file(
        TASKS, tasks=[(1, 2, 9, None, "leaf", "created", 0, THEN), (2, None, 9, None, "root", "created", 0, THEN)]
    )

    def fail(*_arguments: object, **_options: object) -> None:
        message = "the import is interrupted"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(Linking, "work", fail)
        with pytest.raises(RuntimeError, match="is interrupted"):
            await import_legacy(em, path)
    report = await import_legacy(em, path)
    assert (report.total("written"), report.total("skipped")) == (0, 2)
    leaf, root = await em.tasks.find(instruction="leaf"), await em.tasks.find(instruction="root")
    assert (leaf[0].parent_task_id, leaf[0].tree_id) == (root[0].id, root[0].id)
    # What was changed here since is not changed back.
    await em.tasks.update(leaf[0].id, {"title": "moved"})
    await import_legacy(em, path)
    assert (await em.tasks.require(leaf[0].id)).title == "moved"


async def test_entities_whose_tables_were_dropped_come_by_their_names(em: EntityManager, make_file: MakeFile) -> None:
    path = make_file(
        AGENTS,
        ENTITIES,
        EVENTS,
        SYSTEM_EVENTS,
        RELATIONSHIPS,
        agents=[(6, "planner", "Plan", None, "active")],
        entities=[
            (1, "agent", 6, "planner", "1.0", "active", "{}", THEN),
            (2, "document", 5, "guide", "1.0", "deprecated", "{bad", THEN),
            (3, "tool", 9, "find", "1.0", "active", None, THEN),
        ],
        events=[
            (1, "TASK_DONE", "agent", 6, '{"i": 0}', None, None, 0.5, THEN),
            (2, "task_done", "task", 1, '{"i": 1}', None, 1, None, THEN),
            (3, "task_done", "tool", 99, "{oops", None, 99, None, THEN),
        ],
        system_events=[
            (1, "task_done", 1, '{"i": 1}', THEN, "critical"),
            (2, "task_done", 1, '{"i": 2}', THEN, "critical"),
        ],
        entity_relationships=[
            (1, "agent", 6, "tool", 9, "uses", 1.0, THEN),
            (2, "agent", 6, "tool", 9, "USES", 0.5, THEN),
            (3, "agent", 6, "tool", 404, "uses", 1.0, THEN),
        ],
    )
    report = await import_legacy(em, path)
    found = counts(report)
    assert found["entities.agents"] == (1, 0, 1, 0, 0)
    assert found["entities.context_documents"] == found["entities.tools"] == (1, 1, 0, 0, 0)
    assert found["system_events"] == (2, 1, 1, 0, 0)
    assert found["entity_relationships"] == (3, 1, 1, 0, 1)
    agent, tool = (await em.agents.find())[0], (await em.tools.find())[0]
    (relation,) = await em.relations.find()
    assert (relation.source_id, relation.target_id) == (str(agent.id), str(tool.id))
    first, second, third, _ = await em.events.find()
    assert (first.event_type, first.entity_id, first.duration_ms) == ("task_done", str(agent.id), 500)
    assert (second.entity_id, second.parent_event_id) == ("the_system:1", first.id)
    assert (third.data, third.parent_event_id) == ("{oops", None)
    assert (await import_legacy(em, path)).total("written") == 0
