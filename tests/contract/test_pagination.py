"""Pages: every row once, whatever the order, the duplicates, the NULLs and what happens in between."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database import plans
from agent_system.errors import CursorError
from agent_system.models import Tool, ToolUsage
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from agent_system.managers.core.base import Manager

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
# One nullable column of every type that can be ordered, with duplicates and with NULLs.
COLUMNS: dict[str, list[Any]] = {
    "error": ["b", None, "a", "B", "", "ä", None, "a", "\0", "😀", "\ud800", "b"],
    "duration_ms": [1.5, None, 0.5, 1.5, 0.0, None, 1e300, 2.0, 1e-9, 3.0, 1.5, None],
    "input_tokens": [5, None, 0, 5, 2**62, None, 1, 2, 3, 5, None, 4],
    "success": [True, None, False, True, None, False, True, False, None, True, True, None],
    "completed_at": [None if n % 3 == 0 else NOON + timedelta(microseconds=n // 2) for n in range(12)],
    "agent_id": [None] * 12,
}
DIRECTIONS = ("", "-")


@pytest.fixture
async def usage(em: EntityManager) -> Manager[ToolUsage]:
    agents = await em.agents.create_many({"name": f"a{n}"} for n in range(3))
    rows = []
    for n in range(12):
        row = {"tool_name": f"t{n % 5}", "state": "done", **{key: values[n] for key, values in COLUMNS.items()}}
        rows.append(row | {"agent_id": None if n % 4 == 0 else agents[n % 3].id})
    await em.tool_usage.create_many(rows)
    return em.tool_usage


async def pages(manager: Manager[Any], order_by: str | None, limit: int, where: Any = None) -> list[Any]:
    rows: list[Any] = []
    after: str | None = None
    while True:
        page = await manager.list(where, order_by, limit, after)
        assert len(page.items) <= limit
        rows.extend(page.items)
        after = page.next_cursor
        if after is None:
            return rows
        assert len(page.items) == limit


def sort_key(value: Any) -> Any:
    # The stored form of a text decides; code points beyond ASCII keep their order in it.
    return value.replace("\0", "\U0010fffd0").replace("\ud800", "\U0010fffdd800") if isinstance(value, str) else value


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("column", [*COLUMNS, "tool_name", "state", "id", "timestamp"])
async def test_every_row_comes_once_and_in_order(usage: Manager[ToolUsage], column: str, direction: str) -> None:
    expected = await pages(usage, direction + column, 100)
    values = [getattr(row, column) for row in expected]
    present = [value for value in values if value is not None]
    assert values == present + [None] * (len(values) - len(present)), "rows without a value come last"
    assert present == sorted(present, key=sort_key, reverse=bool(direction))
    for limit in (1, 2, 5, 11, 12):
        rows = await pages(usage, direction + column, limit)
        assert [row.id for row in rows] == [row.id for row in expected], limit
    assert len({row.id for row in expected}) == 12


async def test_ties_are_broken_by_the_key_in_the_same_direction(em: EntityManager) -> None:
    tools = await em.tools.create_many({"name": f"t{n}", "category": "same"} for n in range(6))
    keys = sorted(tool.id for tool in tools)
    assert [row.id for row in await pages(em.tools, "category", 2)] == keys
    assert [row.id for row in await pages(em.tools, "-category", 2)] == keys[::-1]
    assert [row.id for row in await pages(em.tools, None, 4)] == keys
    assert [row.id for row in await pages(em.tools, "-id", 4)] == keys[::-1]


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_rows_that_come_and_go_neither_repeat_nor_hide_others(
    em: EntityManager, usage: Manager[ToolUsage], direction: str
) -> None:
    order = direction + "duration_ms"
    everything = [row.id for row in await pages(usage, order, 100)]
    first = await usage.list(None, order, 5)
    assert first.next_cursor is not None
    seen = [row.id for row in first.items]
    # What the cursor stands at, what is before it and what is behind it go; others come on both sides.
    gone = [seen[0], seen[-1], everything[6]]
    for key in gone:
        await usage.delete(key)
    for value in (0.0, 1e9, None, 1.5):
        await em.tool_usage.create({"tool_name": "new", "duration_ms": value})
    after: str | None = first.next_cursor
    while after is not None:
        page = await usage.list(None, order, 2, after)
        seen += [row.id for row in page.items]
        after = page.next_cursor
    assert len(seen) == len(set(seen))
    assert [key for key in seen if key in everything] == [key for key in everything if key != everything[6]]


async def test_a_page_is_one_statement_and_knows_its_end(em: EntityManager) -> None:
    await em.tools.create_many({"name": f"t{n}"} for n in range(4))
    with recorded_statements() as statements:
        page = await em.tools.list(limit=2)
        page = await em.tools.list(limit=2, after=page.next_cursor)
    assert (len(page.items), page.next_cursor, len(statements)) == (2, None, 2)
    empty = await em.agents.list()
    assert (empty.items, empty.next_cursor) == ([], None)


async def test_pages_keep_to_their_filter(em: EntityManager) -> None:
    await em.tools.create_many({"name": f"t{n}", "category": "ab"[n % 2]} for n in range(10))
    for where in ({"category": "a"}, Tool.category == "a", [Tool.category == "a", Tool.name != "t2"]):
        rows = await pages(em.tools, "-name", 2, where)
        assert [row.name for row in rows] == [f"t{n}" for n in (8, 6, 4, 2, 0) if not isinstance(where, list) or n != 2]


async def test_a_cursor_belongs_to_its_order_and_filter(em: EntityManager) -> None:
    await em.tools.create_many({"name": f"t{n}"} for n in range(5))
    where = {"status": "active"}
    cursor = (await em.tools.list(where, "name", 2)).next_cursor
    assert cursor is not None
    assert (await em.tools.list(where, "name", 4, cursor)).items[0].name == "t2", "another limit is allowed"
    for other_where, other_order in (
        (where, "-name"),
        (where, "category"),
        (where, None),
        (None, "name"),
        ({"status": "inactive"}, "name"),
        (Tool.status == "inactive", "name"),
        ({"status": "active", "category": "general"}, "name"),
    ):
        with pytest.raises(CursorError) as caught:
            await em.tools.list(other_where, other_order, 2, cursor)
        assert caught.value.field == "after"


def forged(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "🙂", "null", "AAAA", forged(), forged("name", ""), forged("name", "", []),
        forged("name", "", ["t", 7]),
        forged("name", "", ["t", "no uuid"]), forged("name", "", [["t"], "x", "y"]), forged("name", "", {"a": 1}),
    ],
)  # fmt: skip
async def test_what_is_no_cursor_is_refused(em: EntityManager, cursor: str) -> None:
    with pytest.raises(CursorError):
        await em.tools.list(order_by="name", after=cursor)


@pytest.mark.parametrize("value", [7, ["x"], {"x": 1}, True])
async def test_a_forged_place_is_refused(em: EntityManager, value: Any) -> None:
    tool = await em.tools.create({"name": "t"})
    with pytest.raises(CursorError):
        await em.tools.list(order_by="name", after=forged("name", "", [value, str(tool.id)]))
    with pytest.raises(CursorError):
        await em.tools.list(order_by="created_at", after=forged("created_at", "", ["2026-05-01", str(tool.id)]))


async def test_iter_sees_what_the_pages_see(usage: Manager[ToolUsage]) -> None:
    for order in ("-completed_at", "error"):
        expected = [row.id for row in await pages(usage, order, 100)]
        assert [row.id async for row in usage.iter(order_by=order, batch=5)] == expected
    assert [row.id async for row in usage.iter(where={"tool_name": "t1"}, batch=1)] == [
        row.id for row in await usage.find(tool_name="t1")
    ]


async def test_iter_lets_others_write_in_between(em: EntityManager) -> None:
    await em.tools.create_many({"name": f"t{n}"} for n in range(6))
    async for tool in em.tools.iter(batch=2):
        await em.tools.update(tool.id, {"category": "seen"})
    assert await em.tools.count(category="seen") == 6


async def test_a_filter_is_compiled_once_for_each_set_of_columns(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await em.agents.create_many([{"name": f"a {n}", "description": "x" if n % 2 else None} for n in range(5)])
    await em.agents.find(description="x")
    await em.agents.find(description=None)
    compiled: list[Any] = []
    monkeypatch.setattr(plans, "compile_plan", lambda *arguments, **_: compiled.append(arguments))
    found = [len(await em.agents.find(description=text)) for text in ("x", "y", None)]

    assert found == [2, 0, 3]
    assert not compiled
