"""Tool calls: their beginnings and ends find each other, nothing secret is written, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system import EntityManager
from agent_system.errors import ForeignKeyError, ValidationError
from agent_system.managers.telemetry.call_fields import LONGEST_PARAMETER, LONGEST_RESULT
from agent_system.managers.telemetry.secret_patterns import REDACTED
from agent_system.types import ToolCallState, ToolErrorCategory
from tests.clock import Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system import DatabaseManager

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def test_a_call_is_a_row_from_before_it_runs(em: EntityManager, clock: Clock) -> None:
    asked = await em.tool_usage.request("c1", "Bash", {"command": "make"})
    assert (asked.state, asked.started_at, asked.success) == (ToolCallState.REQUESTED, None, None)
    clock.move(seconds=1)
    begun = await em.tool_usage.start("c1", "Bash", {"command": "make"})
    assert (begun.id, begun.state, begun.started_at) == (asked.id, ToolCallState.RUNNING, clock.now)
    assert [call.call_id for call in await em.tool_usage.in_progress()] == ["c1"]
    clock.move(seconds=1.5)
    done = await em.tool_usage.finish("c1", result={"lines": 3}, input_tokens=10, output_tokens=4)
    assert (done.id, done.state, done.success, done.duration_ms) == (asked.id, ToolCallState.DONE, True, 1500.0)
    assert (done.result, done.input_tokens, done.completed_at) == ('{"lines": 3}', 10, clock.now)
    assert await em.tool_usage.require(done.id) == done
    assert await em.tool_usage.in_progress() == []
    assert await em.tool_usage.count() == 1


async def test_what_is_told_twice_is_written_once(em: EntityManager, clock: Clock) -> None:
    first = await em.tool_usage.start("c1", "Read", {"file_path": "a"})
    clock.move(seconds=1)
    assert await em.tool_usage.start("c1", "Read", {"file_path": "a"}) == first
    assert (await em.tool_usage.request("c1", "Read")).state is ToolCallState.RUNNING
    ended = await em.tool_usage.finish("c1", error="permission denied")
    clock.move(seconds=1)
    assert await em.tool_usage.finish("c1", result="ok") == ended
    assert (ended.state, ended.error_category) == (ToolCallState.FAILED, ToolErrorCategory.PERMISSION)
    assert await em.tool_usage.count() == 1


async def test_an_end_before_its_beginning_is_kept(em: EntityManager, clock: Clock) -> None:
    ended = await em.tool_usage.finish("c1", result="ok", duration_ms=12)
    assert (ended.tool_name, ended.state, ended.duration_ms) == ("", ToolCallState.DONE, 12.0)
    late = await em.tool_usage.start("c1", "Grep", {"pattern": "x"}, timestamp=clock.now - timedelta(seconds=1))
    assert (late.id, late.tool_name, late.parameters) == (ended.id, "Grep", {"pattern": "x"})
    assert (late.state, late.duration_ms) == (ToolCallState.DONE, 12.0)
    assert late.started_at == clock.now - timedelta(seconds=1)
    assert late.parameter_hash is not None


async def test_an_end_may_come_after_all(em: EntityManager) -> None:
    await em.tool_usage.start("c1", "Bash")
    assert await em.tool_usage.interrupt("c1", "the program has ended")
    assert not await em.tool_usage.interrupt("c1")
    given_up = await em.tool_usage.find_one(call_id="c1")
    assert given_up is not None
    assert (given_up.state, given_up.success, given_up.error) == (
        ToolCallState.INTERRUPTED, None, "the program has ended",
    )  # fmt: skip
    ended = await em.tool_usage.finish("c1", result="ok")
    assert (ended.state, ended.success, ended.error) == (ToolCallState.DONE, True, None)


async def test_racing_reports_of_one_call_are_one_row(em: EntityManager) -> None:
    reports: list[Any] = [em.tool_usage.start("c1", "Bash", {"command": "make"}) for _ in range(32)]
    reports += [em.tool_usage.finish("c1", result=str(number)) for number in range(32)]
    await asyncio.gather(*reports)
    call = await em.tool_usage.find_one(call_id="c1")
    assert call is not None
    assert (await em.tool_usage.count(), call.state, call.tool_name) == (1, ToolCallState.DONE, "Bash")
    assert call.parameters == {"command": "make"}


async def test_calls_without_ids_are_told_by_task_tool_and_parameters(em: EntityManager, clock: Clock) -> None:
    task = await em.tasks.create({"instruction": "i"})
    started = {}
    for name in ("a", "b", "a"):
        clock.move(seconds=1)
        started.setdefault(name, await em.tool_usage.start(None, "Read", {"file_path": name}, task_id=task.id))
    await em.tool_usage.start(None, "Bash", {"command": "ls"}, task_id=task.id)
    b = await em.tool_usage.finish(None, tool_name="Read", parameters={"file_path": "b"}, task_id=task.id)
    assert b.id == started["b"].id
    more = {"file_path": "a", "limit": 5}
    a = await em.tool_usage.finish(None, tool_name="Read", parameters=more, task_id=task.id)
    assert (a.id, a.parameters) == (started["a"].id, {"file_path": "a"})
    oldest = await em.tool_usage.finish(None, tool_name="Read", task_id=task.id, error="timed out")
    assert (oldest.parameters, oldest.error_category) == ({"file_path": "a"}, ToolErrorCategory.TIMEOUT)
    assert [call.tool_name for call in await em.tool_usage.in_progress()] == ["Bash"]
    unmatched = await em.tool_usage.finish(None, tool_name="Read", task_id=task.id, parameters={"file_path": "c"})
    assert unmatched.id not in {a.id, b.id, oldest.id}
    with pytest.raises(ValidationError, match="needs the id"):
        await em.tool_usage.finish(None, result="ok")


async def test_racing_ends_without_ids_end_one_call_each(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i", "session_uuid": "s"})
    for _ in range(20):
        await em.tool_usage.start(None, "Bash", {"command": "ls"}, session_uuid="s")
    end: Any = {"tool_name": "Bash", "parameters": {"command": "ls"}, "task_id": task.id}
    await asyncio.gather(*(em.tool_usage.finish(None, **end) for _ in range(20)))
    assert await em.tool_usage.count(state="done") == await em.tool_usage.count() == 20


async def test_a_call_belongs_to_its_task_and_its_session(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "coder"})
    tool = await em.tools.create({"name": "Bash"})
    owned = {"user_id": user.id, "agent_id": agent.id}
    task = await em.tasks.create({"instruction": "i", "session_uuid": "s1", **owned})
    by_task = await em.tool_usage.start("c1", "bash", task_id=task.id)
    by_session = await em.tool_usage.start("c2", "Bash", session_uuid="s1")
    for call in (by_task, by_session):
        assert (call.task_id, call.user_id, call.agent_id, call.tool_id) == (task.id, user.id, agent.id, tool.id)
    unknown = await em.tool_usage.start("c3", "Other", session_uuid="s2")
    assert (unknown.task_id, unknown.tool_id, unknown.session_uuid) == (None, None, "s2")


async def test_a_call_of_a_deleted_task_is_not_lost(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    await em.tool_usage.start("c1", "Bash", task_id=task.id)
    assert await em.tasks.delete(task.id)
    ended = await em.tool_usage.finish("c1", result="ok", task_id=task.id)
    late = await em.tool_usage.start("c2", "Bash", task_id=task.id, meta={"n": 1})
    assert (ended.task_id, ended.state) == (None, ToolCallState.DONE)
    assert (late.task_id, late.meta) == (None, {"n": 1, "task_id": str(task.id)})
    with pytest.raises(ForeignKeyError, match="agent_id"):
        await em.tool_usage.start("c3", "Bash", agent_id=uuid4())
    assert await em.tool_usage.count() == 2


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda em: em.tool_usage.start("c", 3), "tool_name"),
        (lambda em: em.tool_usage.start("c", "Bash", task_id="no uuid"), "task_id"),
        (lambda em: em.tool_usage.start("c", "Bash", taskid="x"), "taskid"),
        (lambda em: em.tool_usage.start("c", "Bash", {"x": object()}), "parameters"),
        (lambda em: em.tool_usage.finish("c", input_tokens=-1), "input_tokens"),
        (lambda em: em.tool_usage.finish("c", duration=1), "duration"),
        (lambda em: em.tool_usage.finish("c", result=object()), "result"),
        (lambda em: em.tool_usage.finish("c", completed_at=datetime(2026, 1, 1)), "completed_at"),  # noqa: DTZ001
    ],
)
async def test_bad_reports_are_refused(em: EntityManager, call: Callable[[Any], Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        await call(em)
    assert caught.value.field == field
    assert await em.tool_usage.count() == 0


async def test_the_recorded_block_is_the_call(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    async with em.tool_usage.recording("search", {"query": "x"}, task_id=task.id) as recording:
        assert [call.call_id for call in await em.tool_usage.in_progress()] == [recording.call_id]
        recording.result = ["a", "b"]
        recording.tokens = {"input_tokens": 3}
        recording.screenshot_path = "shot.png"
    done = await em.tool_usage.find_one(call_id=recording.call_id)
    assert done is not None
    assert (done.state, done.result, done.input_tokens) == (ToolCallState.DONE, '["a", "b"]', 3)
    assert done.duration_ms is not None
    assert done.duration_ms > 0
    assert await em.tool_usage.screenshots(task.id) == [done]


async def test_what_the_block_raises_is_written_and_goes_on(em: EntityManager) -> None:
    with pytest.raises(PermissionError):
        async with em.tool_usage.recording("open", call_id="c1"):
            raise PermissionError("no password=hunter2 for you")
    failed = await em.tool_usage.find_one(call_id="c1")
    assert failed is not None
    assert (failed.state, failed.error_category) == (ToolCallState.FAILED, ToolErrorCategory.PERMISSION)
    assert failed.error == f"PermissionError: no password={REDACTED} for you"

    async with em.tool_usage.recording("open", call_id="c2") as recording:
        recording.error = "told without raising"
    told = await em.tool_usage.find_one(call_id="c2")
    assert told is not None
    assert (told.state, told.error, told.success) == (ToolCallState.FAILED, "told without raising", False)


async def test_a_cancelled_block_is_an_interrupted_call(em: EntityManager) -> None:
    began = asyncio.Event()

    async def run() -> None:
        async with em.tool_usage.recording("wait", call_id="c1"):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call = await em.tool_usage.find_one(call_id="c1")
    assert call is not None
    assert (call.state, call.error) == (ToolCallState.INTERRUPTED, "cancelled")


async def test_calls_of_dead_tasks_are_given_up(em: EntityManager, clock: Clock) -> None:
    dead, alive = [await em.tasks.create({"instruction": "i", "status": "running"}) for _ in range(2)]
    for name, task in (("dead", dead), ("alive", alive), ("nobody's", None)):
        await em.tool_usage.start(name, "Bash", task_id=None if task is None else task.id)
    await em.tool_usage.finish("dead2", tool_name="Bash", task_id=dead.id, result="ok")
    await em.tasks.stop(dead.id)
    with recorded_statements() as statements:
        assert await em.tool_usage.interrupt_abandoned() == 1
    assert len(statements) == 1
    clock.move(hours=2)
    assert await em.tool_usage.interrupt_abandoned(timedelta(hours=1)) == 1
    states = {call.call_id: call.state.value for call in await em.tool_usage.find()}
    assert states == {"dead": "interrupted", "alive": "running", "nobody's": "interrupted", "dead2": "done"}


async def test_long_texts_are_cut_and_say_so(em: EntityManager) -> None:
    long = "x" * 20_000
    call = await em.tool_usage.start("c1", "Write", {"content": long, "nested": [{"a": long}]})
    wanted = f"{'x' * LONGEST_PARAMETER}… [{20_000 - LONGEST_PARAMETER} more characters]"
    assert call.parameters == {"content": wanted, "nested": [{"a": wanted}]}
    ended = await em.tool_usage.finish("c1", result=long)
    assert ended.result == f"{'x' * LONGEST_RESULT}… [{20_000 - LONGEST_RESULT} more characters]"


async def test_a_secret_at_the_cut_is_not_written_in_part(em: EntityManager) -> None:
    secret = "s3cr3t" * 50
    text = "x" * (LONGEST_PARAMETER - 20) + f" password={secret}"
    call = await em.tool_usage.start("c1", "Write", {"content": text})
    assert "s3cr3t" not in str(call.parameters)


async def test_old_calls_are_cleaned_up(em: EntityManager, clock: Clock) -> None:
    for days in (0, 29, 31, 400):
        await em.tool_usage.finish(f"{days}", tool_name="x", timestamp=clock.now - timedelta(days=days))
    assert await em.tool_usage.cleanup() == 2
    assert await em.tool_usage.cleanup(timedelta(days=1)) == 1
    assert [call.call_id for call in await em.tool_usage.find()] == ["0"]
