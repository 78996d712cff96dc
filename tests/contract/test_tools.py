"""Tools: the registry, its counters, and what tasks are assigned for a while."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system import EntityManager
from agent_system.errors import DuplicateKeyError, ForeignKeyError, NotFoundError, ValidationError
from agent_system.types import LifecycleStatus
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager
    from agent_system.models import TaskToolAssignment, Tool

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def make_tool(em: EntityManager, name: str, **data: Any) -> Tool:
    return await em.tools.create({"name": name, **data})


def names(rows: list[Tool]) -> list[str]:
    return [row.name for row in rows]


def assigned(rows: list[TaskToolAssignment]) -> list[str]:
    return [row.tool_name for row in rows]


async def test_names_are_unique_without_regard_to_case(em: EntityManager) -> None:
    tool = await make_tool(em, "Bash")
    assert await em.tools.get_by_name(" bash") == tool
    assert await em.tools.get_by_name("zsh") is None
    with pytest.raises(DuplicateKeyError, match="name"):
        await make_tool(em, "BASH")


async def test_finding(em: EntityManager) -> None:
    await make_tool(em, "reader", category="files", implementation="internal", permissions=["read"], triggers=["log"])
    await make_tool(em, "Writer", category="files", implementation="mcp", permissions=["read", "write"])
    await make_tool(em, "old", category="files", permissions=["read"], triggers=["log"], status="archived")
    assert names(await em.tools.find_by_category("files")) == ["reader", "Writer"]
    assert names(await em.tools.find_by_implementation("mcp")) == ["Writer"]
    assert names(await em.tools.find_by_permission("write")) == ["Writer"]
    assert names(await em.tools.find_by_permission("read")) == ["reader", "Writer"]
    assert names(await em.tools.find_by_trigger("log")) == ["reader"]
    assert names((await em.tools.list_active()).items) == ["Writer", "reader"]


async def test_enable_and_disable(em: EntityManager) -> None:
    tool = await make_tool(em, "tool")
    assert (await em.tools.disable(tool.id)).status is LifecycleStatus.INACTIVE
    assert (await em.tools.list_active()).items == []
    assert (await em.tools.disable(tool.id)).version == 2
    assert (await em.tools.enable(tool.id)).status is LifecycleStatus.ACTIVE
    events = [event.event_type for event in await em.events.find(entity_type="tool")]
    assert events == ["tool.created", "tool.disabled", "tool.enabled"]
    with pytest.raises(NotFoundError):
        await em.tools.enable(uuid4())


async def test_needed_permissions_are_added_once_and_removed(em: EntityManager) -> None:
    tool = await make_tool(em, "tool", permissions=["read"])
    assert (await em.tools.add_permission(tool.id, "write", "read")).permissions == ["read", "write"]
    assert (await em.tools.remove_permission(tool.id, "read")).permissions == ["write"]


async def test_executions_counted_at_once_are_all_counted(em: EntityManager) -> None:
    tool = await make_tool(em, "tool")
    outcomes = [number % 4 != 0 for number in range(100)]
    await asyncio.gather(*[em.tools.record_execution(tool.id, success, 1.5) for success in outcomes])
    found = await em.tools.require(tool.id)
    assert (found.execution_count, found.success_count, found.failure_count) == (100, 75, 25)
    assert found.total_duration_ms == 150.0
    assert found.last_used_at is not None
    assert found.version == 1
    assert len(await em.events.find(entity_type="tool")) == 1


async def test_an_execution_is_one_statement(em: EntityManager) -> None:
    tool = await make_tool(em, "tool")
    with recorded_statements() as statements:
        counted = await em.tools.record_execution(tool.id, success=True, duration_ms=2)
    assert len(statements) == 1
    assert counted == await em.tools.require(tool.id)


async def test_bad_executions_are_refused(em: EntityManager) -> None:
    tool = await make_tool(em, "tool")
    for duration_ms in (-1, float("nan"), float("inf")):
        with pytest.raises(ValidationError, match="duration_ms"):
            await em.tools.record_execution(tool.id, success=True, duration_ms=duration_ms)
    for missing in (uuid4(), "nonsense", None):
        with pytest.raises(NotFoundError):
            await em.tools.record_execution(missing, success=True)
    assert (await em.tools.require(tool.id)).execution_count == 0


async def test_an_assignment_ends_by_itself(database: DatabaseManager) -> None:
    now = NOW
    em = EntityManager(database, clock=lambda: now)
    tool = await make_tool(em, "Bash")
    task = await em.tasks.create({"instruction": "i"})
    lent = await em.tools.assign(task.id, "bash", duration_seconds=60, reason="to build", permissions=["run"])
    assert (lent.tool_name, lent.tool_id, lent.reason, lent.permissions) == ("Bash", tool.id, "to build", ["run"])
    assert lent.expires_at == NOW + timedelta(seconds=60)
    await em.tools.assign(task.id, "not registered")
    assert assigned(await em.tools.active_assignments(task.id)) == ["not registered", "Bash"]
    assert assigned(await em.tools.active_assignments()) == ["not registered", "Bash"]
    assert await em.tools.active_assignments(uuid4()) == []
    assert await em.tools.active_assignments("nonsense") == []
    now = NOW + timedelta(seconds=60)
    assert assigned(await em.tools.active_assignments(task.id)) == ["not registered"]
    assert await em.tools.cleanup_expired_assignments() == 1
    assert await em.tools.cleanup_expired_assignments() == 0


async def test_a_tool_can_be_assigned_again_after_it_was_revoked(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    first = await em.tools.assign(task.id, "Bash", duration_seconds=60)
    assert await em.tools.revoke(task.id, "bash")
    assert not await em.tools.revoke(task.id, "bash")
    assert await em.tools.active_assignments(task.id) == []
    again = await em.tools.assign(task.id, "BASH", reason="once more")
    assert (again.id, again.is_active, again.revoked_at, again.expires_at) == (first.id, True, None, None)
    assert again.reason == "once more"
    assert not await em.tools.revoke(uuid4(), "bash")
    assert not await em.tools.revoke("nonsense", "bash")
    events = await em.events.find(entity_id=str(task.id))
    assert [event.event_type for event in events] == [
        "task.created", "task.tool_assigned", "task.tool_revoked", "task.tool_assigned",
    ]  # fmt: skip
    assert {event.tree_id for event in events} == {task.id}


async def test_assignments_of_one_tool_at_once_are_one(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    await asyncio.gather(*[em.tools.assign(task.id, "Bash", reason=str(number)) for number in range(10)])
    assert assigned(await em.tools.active_assignments(task.id)) == ["Bash"]


async def test_bad_assignments_are_refused(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    now = datetime.now(UTC)
    with pytest.raises(NotFoundError):
        await em.tools.assign(uuid4(), "Bash")
    with pytest.raises(ForeignKeyError, match="assigned_by_agent_id"):
        await em.tools.assign(task.id, "Bash", assigned_by_agent_id=uuid4())
    with pytest.raises(ValidationError, match="is over"):
        await em.tools.assign(task.id, "Bash", expires_at=now - timedelta(seconds=1))
    with pytest.raises(ValidationError, match="is over"):
        await em.tools.assign(task.id, "Bash", duration_seconds=0)
    with pytest.raises(ValidationError, match="either"):
        await em.tools.assign(task.id, "Bash", duration_seconds=1, expires_at=now)
    for duration_seconds in (1e300, float("nan")):
        with pytest.raises(ValidationError, match="duration_seconds"):
            await em.tools.assign(task.id, "Bash", duration_seconds=duration_seconds)
    assert await em.tools.active_assignments() == []


async def test_assignments_end_with_their_task(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    await em.tools.assign(task.id, "Bash")
    assert await em.tasks.delete(task.id)
    assert await em.tools.active_assignments() == []
