"""What a stored run looks like, on both engines, and what stays when an import fails."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import ImportFileError
from agent_system.importers.trajectory import import_trajectory, parse_trajectory, read_trajectory, store_run
from agent_system.types import TaskStatus, ToolCallState, UsageState
from tests import requirements as requires

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from agent_system.importers.trajectory import ImportedRun

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "scripts" / "sample_run.traj"
FOLDER = Path(os.environ.get("AGENT_SYSTEM_SAMPLE_DATA") or ROOT.parent / "shared" / "data" / "trajectories")
FILES = [SHIPPED, *sorted(FOLDER.rglob("*.traj"))]

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TABLES = (
    "projects",
    "agents",
    "tools",
    "tasks",
    "conversations",
    "messages",
    "tool_usage",
    "token_usage",
    "hosts",
    "models",
    "events",
)


async def counts(em: EntityManager) -> dict[str, int]:
    return {name: await getattr(em, name).count() for name in TABLES}


async def store(em: EntityManager, document: dict[str, Any], name: str = "run.traj") -> ImportedRun:
    run = parse_trajectory(json.dumps(document).encode(), file_name=name)
    return await store_run(em, run, clock=lambda: NOW)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_every_run_is_stored_completely(em: EntityManager, path: Path) -> None:
    run = read_trajectory(path)
    imported = await import_trajectory(em, path)
    root = await em.tasks.require(imported.run_id)
    assert (root.title, root.instruction, root.parent_task_id) == (run.name, run.instruction, None)

    messages = [m async for m in em.messages.iter(where={"conversation_id": root.conversation_id}, order_by="id")]
    assert [(m.role, m.content) for m in messages] == [(m.role, m.content) for m in run.messages]
    assert [m.meta.get("thought") for m in messages] == [m.thought for m in run.messages]
    assert [m.tool_calls or [] for m in messages] == [[dict(call) for call in m.tool_calls] for m in run.messages]

    steps = await em.tasks.find(parent_task_id=root.id)
    assert [task.instruction for task in steps] == [step.calls[0].command for step in run.steps]
    calls = await em.tool_usage.find(conversation_id=root.conversation_id)
    assert [call.tool_name for call in calls] == [step.calls[0].tool for step in run.steps]
    assert [call.task_id for call in calls] == [task.id for task in steps]
    assert [call.success for call in calls] == [step.outcome.success for step in run.steps]
    assert [call.success_source for call in calls] == [step.outcome.source for step in run.steps]
    expected = [None if s.execution_time_seconds is None else s.execution_time_seconds * 1000 for s in run.steps]
    assert [call.duration_ms for call in calls] == expected

    entry = await em.token_usage.find_one(task_id=root.id)
    assert entry is not None
    assert (entry.input_tokens, entry.output_tokens) == (run.usage.input_tokens, run.usage.output_tokens)
    assert entry.usage_state == (UsageState.REPORTED if run.usage.is_reported else UsageState.MISSING)


async def test_the_shipped_run_tells_who_did_what_where_and_for_how_much(em: EntityManager) -> None:
    imported = await import_trajectory(em, SHIPPED, clock=lambda: NOW)
    root = await em.tasks.require(imported.run_id)
    assert root.status is TaskStatus.COMPLETED
    assert root.result is not None
    assert root.result.startswith("diff --git a/invoice.py")
    assert root.project_id is not None
    assert (await em.projects.require(root.project_id)).name == "shop/cafe-bills"
    assert root.agent_id is not None
    agent = await em.agents.require(root.agent_id)
    assert agent.name == "main"
    assert agent.instruction.startswith("You are an autonomous programmer")
    entry = await em.token_usage.find_one(task_id=root.id)
    assert entry is not None
    assert (entry.cost_nano_usd, entry.cost_usd) == (8_130_000, 0.00813)
    model = await em.models.require(entry.model_id)
    assert (model.name, (await em.hosts.require(model.host_id)).name) == ("small-coder", "example")


async def test_the_conversation_knows_its_messages_and_the_project_and_the_tools_their_agent(em: EntityManager) -> None:
    imported = await import_trajectory(em, SHIPPED)
    root = await em.tasks.require(imported.run_id)
    conversation = await em.conversations.require(root.conversation_id)
    messages = await em.messages.find(conversation_id=conversation.id)
    assert (conversation.message_count, conversation.head_message_id) == (18, messages[-1].id)
    assert [m.parent_id for m in messages] == [None, *(m.id for m in messages[:-1])]
    assert conversation.last_message_at == messages[-1].created_at
    assert [agent.id for agent in await em.projects.agents_of(root.project_id)] == [root.agent_id]
    tools = await em.agents.tools_of(root.agent_id)
    assert {tool.name for tool in tools} == {"bash", "edit", "find_file", "open", "submit"}


async def test_times_end_with_the_import_and_rise_with_the_measured_steps(em: EntityManager) -> None:
    imported = await import_trajectory(em, SHIPPED, clock=lambda: NOW)
    root = await em.tasks.require(imported.run_id)
    measured = timedelta(seconds=sum(step.execution_time_seconds or 0 for step in read_trajectory(SHIPPED).steps))
    assert (root.started_at, root.completed_at) == (NOW - measured, NOW)
    assert root.meta["times"] == "estimated"
    calls = await em.tool_usage.find(conversation_id=root.conversation_id)
    assert all(a.completed_at == b.started_at for a, b in pairwise(calls))
    said = [m.created_at async for m in em.messages.iter(where={"conversation_id": root.conversation_id})]
    assert said == sorted(said)


async def test_a_step_outside_of_the_history_keeps_its_answer(em: EntityManager) -> None:
    imported = await import_trajectory(em, SHIPPED)
    last = (await em.tasks.find(parent_task_id=imported.run_id))[-1]
    assert last.meta["response"].startswith("2.68, as the bookkeeper expects")
    call = (await em.tool_usage.find(task_id=last.id))[0]
    assert call.message_id is None
    assert (call.state, call.success_source) == (ToolCallState.DONE, "exit_status")


async def test_a_failed_call_says_what_went_wrong(em: EntityManager) -> None:
    imported = await import_trajectory(em, SHIPPED)
    failed = [task for task in await em.tasks.find(parent_task_id=imported.run_id) if task.status is TaskStatus.FAILED]
    calls = [(await em.tool_usage.find(task_id=task.id))[0] for task in failed]
    assert [(call.state, call.error_category) for call in calls] == [
        (ToolCallState.FAILED, "rejected_edit"),
        (ToolCallState.FAILED, "exception"),
    ]
    assert calls[1].error == "NameError: name 'Decimal' is not defined"


async def test_the_import_is_in_the_audit_trail_with_all_that_it_wrote(em: EntityManager) -> None:
    imported = await import_trajectory(em, SHIPPED)
    events = await em.events.find()
    assert (events[0].event_type, events[0].entity_id) == ("trajectory.imported", str(imported.run_id))
    assert events[0].data["digest"] == read_trajectory(SHIPPED).digest
    assert {event.parent_event_id for event in events[1:]} == {events[0].id}
    assert {event.actor for event in events} == {"importer:trajectory"}
    assert {event.entity_type for event in events} == {"agent", "task", "tool"}


async def test_a_second_import_adds_nothing(em: EntityManager) -> None:
    first = await import_trajectory(em, SHIPPED)
    stored = await counts(em)
    second = await import_trajectory(em, SHIPPED)
    assert (first.is_new, second.is_new) == (True, False)
    assert second.run_id == first.run_id
    assert await counts(em) == stored


async def test_a_run_whose_tasks_were_deleted_is_put_together_again(em: EntityManager) -> None:
    imported = await import_trajectory(em, SHIPPED)
    stored = await counts(em)
    assert await em.tasks.delete(imported.run_id)
    assert (await import_trajectory(em, SHIPPED)).is_new
    del stored["events"]
    assert stored.items() <= (await counts(em)).items()
    calls = await em.tool_usage.find()
    assert [call.task_id for call in calls] == [task.id for task in await em.tasks.find(parent_task_id=imported.run_id)]


async def test_the_same_content_under_another_name_adds_nothing(em: EntityManager, tmp_path: Path) -> None:
    await import_trajectory(em, SHIPPED)
    stored = await counts(em)
    copy = tmp_path / "copy.traj"
    copy.write_bytes(SHIPPED.read_bytes())
    assert not (await import_trajectory(em, copy)).is_new
    assert await counts(em) == stored


async def test_two_imports_of_one_file_at_once_store_it_once(em: EntityManager) -> None:
    both = await asyncio.gather(import_trajectory(em, SHIPPED), import_trajectory(em, SHIPPED))
    assert sorted(run.is_new for run in both) == [False, True]
    assert await em.conversations.count() == 1


async def test_runs_share_their_project_agent_and_tools(em: EntityManager) -> None:
    for number in range(2):
        entries = [{"action": f"echo {number}", "observation": str(number)}]
        await store(em, {"trajectory": entries, "replay_config": {"problem_statement": {"id": "a__b-1"}}})
    assert await em.projects.count(name="a/b") == 1
    assert await em.agents.count() == 1
    assert await em.tools.count(name="bash") == 1
    assert await em.tool_usage.count(tool_name="bash") == 2


async def test_what_the_file_does_not_say_is_missing_and_not_zero(em: EntityManager) -> None:
    imported = await store(em, {"trajectory": [{"action": "ls", "observation": "a"}, {"action": "cat a"}]})
    entry = await em.token_usage.find_one(task_id=imported.run_id)
    assert entry is not None
    assert (entry.usage_state, entry.input_tokens, entry.total_tokens) == (UsageState.MISSING, None, None)
    assert (entry.cost_nano_usd, entry.cost_usd, entry.cost_source) == (None, None, None)
    model = await em.models.require(entry.model_id)
    assert (model.name, (await em.hosts.require(model.host_id)).name) == ("unknown", "unknown")
    first, second = await em.tool_usage.find()
    assert (first.duration_ms, first.success) == (None, True)
    assert (second.state, second.success, second.success_source) == (ToolCallState.INTERRUPTED, None, "unknown")
    assert (await em.tasks.require(imported.run_id)).status is TaskStatus.STOPPED


async def test_a_run_that_did_not_submit_has_failed(em: EntityManager) -> None:
    document = {"trajectory": [{"action": "ls", "observation": "a"}], "info": {"exit_status": "exit_cost"}}
    root = await em.tasks.require((await store(em, document)).run_id)
    assert (root.status, root.error) == (TaskStatus.FAILED, "exit_cost")


async def test_any_text_comes_out_as_it_went_in(em: EntityManager) -> None:
    text = "NUL \x00, lone \ud83d and reversed \ude00\ud83d surrogates, \x1b[31m, \u202e"
    document = {"history": [{"role": "user", "content": text, "note": {text: [text]}}]}
    await store(em, document)
    message = (await em.messages.find())[0]
    assert message.content == text
    assert message.meta["note"] == {text: [text]}


async def test_several_calls_in_one_message_share_no_duration_and_no_verdict(em: EntityManager) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    history = [{"role": "assistant", "content": "both", "action": "a; b", "tool_calls": calls}]
    entries = [{"action": "a; b", "observation": "ok", "response": "both", "execution_time": 1.5}]
    await store(em, {"history": history, "trajectory": entries})
    stored = await em.tool_usage.find()
    assert [(c.tool_name, c.duration_ms, c.success) for c in stored] == [("a", None, None), ("b", None, None)]
    assert len({c.task_id for c in stored}) == 1


async def test_an_import_that_fails_at_its_end_leaves_nothing(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: object, **_options: object) -> None:
        message = "the last write fails"
        raise RuntimeError(message)

    monkeypatch.setattr(em.token_usage, "upsert", fail)
    with pytest.raises(RuntimeError, match="the last write fails"):
        await import_trajectory(em, SHIPPED)
    assert set((await counts(em)).values()) == {0}


async def test_a_wrong_file_leaves_nothing(em: EntityManager, tmp_path: Path) -> None:
    broken = tmp_path / "broken.traj"
    broken.write_bytes(SHIPPED.read_bytes()[:-100])
    with pytest.raises(ImportFileError, match="is not JSON"):
        await import_trajectory(em, broken)
    assert set((await counts(em)).values()) == {0}


async def test_progress_rises_to_the_number_of_rows(em: EntityManager) -> None:
    seen: list[tuple[int, int]] = []
    imported = await import_trajectory(em, SHIPPED, progress=lambda done, total: seen.append((done, total)))
    total = imported.messages + imported.steps + imported.tool_calls
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (total, total)


@requires.database_file
async def test_the_open_database_itself_is_not_opened_as_a_file(em: EntityManager, tmp_path: Path) -> None:
    database = Path(str(em.db.url.database))
    link = tmp_path / "link.traj"
    link.symlink_to(database)
    for path in (database, link):
        with pytest.raises(ImportFileError, match="is the open database itself"):
            await import_trajectory(em, path)
