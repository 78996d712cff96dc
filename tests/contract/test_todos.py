"""To-do lists: made from a text, worked through, put in order, and counted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import DuplicateKeyError, NotFoundError, ValidationError
from agent_system.managers.records.todo_text import parse_items
from agent_system.types import TodoStatus
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
TEXT = """
 - book the train
 * [x] look at the map
 2. pack
 plain
"""


@pytest.fixture
def moments() -> list[datetime]:
    """What the clock says: the last of these."""
    return [START]


@pytest.fixture
def em(database: DatabaseManager, moments: list[datetime]) -> EntityManager:
    return EntityManager(database, clock=lambda: moments[-1])


async def contents(em: EntityManager, name: str = "trip", user_id: str | None = "ada") -> list[str]:
    return [item.content for item in await em.todos.entries(name, user_id)]


def test_items_are_read_from_a_text() -> None:
    text = "- a\n*  b \n+ c\n1. d\n22) e\nf\n\n  \n- [ ] g\n[X] h\n-i\n3.5 litres\n- "
    assert [item.content for item in parse_items(text)] == [*"abcdefgh", "-i", "3.5 litres", "-"]
    assert [item.content for item in parse_items(text) if item.is_done] == ["h"]
    assert parse_items("") == []


async def test_a_list_is_made_with_its_items(em: EntityManager) -> None:
    todo = await em.todos.create_list("trip", TEXT, user_id="ada", data={"colour": "red"})
    assert (todo.name, todo.user_id, todo.data) == ("trip", "ada", {"colour": "red"})
    items = await em.todos.entries(" TRIP ", "ada")
    assert [(item.position, item.content, item.status) for item in items] == [
        (1, "book the train", TodoStatus.PENDING),
        (2, "look at the map", TodoStatus.COMPLETED),
        (3, "pack", TodoStatus.PENDING),
        (4, "plain", TodoStatus.PENDING),
    ]
    assert [item.completed_at for item in items] == [None, START, None, None]
    added = await em.todos.add(todo.id, ["more", {"content": "most", "priority": 9}])
    assert [(item.position, item.content, item.priority) for item in added] == [(5, "more", 5), (6, "most", 9)]
    page = await em.todos.list(include=("entries",))
    assert [item.content for item in page.items[0].entries] == await contents(em)


async def test_a_name_is_unique_per_owner(em: EntityManager) -> None:
    for user_id in ("ada", "grace", None):
        await em.todos.create_list("trip", user_id=user_id)
        with pytest.raises(DuplicateKeyError, match="name"):
            await em.todos.create_list("Trip", "- never", user_id=user_id)
    assert await em.todos.count() == 3
    assert await em.todos.items.count() == 0
    found = await em.todos.get_by_name("trip", "grace")
    assert found is not None
    assert found.user_id == "grace"
    assert await em.todos.get_by_name("trip", "nobody") is None


async def test_items_are_worked_through_in_order(em: EntityManager, moments: list[datetime]) -> None:
    await em.todos.create_list("trip", TEXT, user_id="ada")
    moments.append(START + timedelta(hours=1))
    done = []
    while (item := await em.todos.next("trip", "ada")) is not None:
        done.append(item.content)
        finished = await em.todos.complete("trip", item.content, "ada")
        assert (finished.status, finished.completed_at) == (TodoStatus.COMPLETED, moments[-1])
    assert done == ["book the train", "pack", "plain"]
    assert (await em.todos.status("trip", "ada")).percent == 100


async def test_an_item_is_named_by_its_place_or_its_text(em: EntityManager) -> None:
    await em.todos.create_list("trip", ["book train", "pack", "pack socks", "Straße suchen"], user_id="ada")
    assert (await em.todos.complete("trip", 1, "ada")).content == "book train"
    assert (await em.todos.complete("trip", "PACK", "ada")).content == "pack"
    assert (await em.todos.complete("trip", "pack s", "ada")).content == "pack socks"
    assert (await em.todos.complete("trip", "STRASSE", "ada")).content == "Straße suchen"
    await em.todos.add("trip", ["buy milk", "buy bread"], "ada")
    with pytest.raises(ValidationError, match="2 items contain 'buy'"):
        await em.todos.complete("trip", "buy", "ada")
    await em.todos.complete("trip", "bread", "ada")
    assert (await em.todos.complete("trip", "buy", "ada")).content == "buy milk"
    for item in (0, -1, 7, "nothing", "", " "):
        with pytest.raises(NotFoundError):
            await em.todos.complete("trip", item, "ada")
    for verb in (em.todos.next, em.todos.status, em.todos.entries):
        with pytest.raises(NotFoundError):
            await verb("nothing", "ada")


async def test_what_is_done_can_be_opened_again(em: EntityManager) -> None:
    await em.todos.create_list("trip", "- [x] pack", user_id="ada")
    same = await em.todos.complete("trip", 1, "ada")
    assert same.completed_at == START
    again = await em.todos.set_status("trip", 1, "in_progress", "ada")
    assert (again.status, again.completed_at) == (TodoStatus.IN_PROGRESS, None)
    with pytest.raises(ValidationError, match="status"):
        await em.todos.set_status("trip", 1, "nearly", "ada")


async def test_items_are_put_in_another_order(em: EntityManager) -> None:
    await em.todos.create_list("trip", ["a", "b", "c", "d"], user_id="ada")
    ids = {item.content: item.id for item in await em.todos.entries("trip", "ada")}
    ordered = await em.todos.reorder("trip", [ids["c"], ids["a"]], "ada")
    assert [(item.position, item.content) for item in ordered] == [(1, "c"), (2, "a"), (3, "b"), (4, "d")]
    assert await em.todos.items.delete(ids["a"])
    assert (await em.todos.complete("trip", 2, "ada")).content == "b"
    await em.todos.add("trip", ["e"], "ada")
    assert await contents(em) == ["c", "b", "d", "e"]
    for order in ([ids["c"], ids["c"]], [ids["a"]], [10**9]):
        with pytest.raises(ValidationError, match="order"):
            await em.todos.reorder("trip", order, "ada")
    assert await contents(em) == ["c", "b", "d", "e"]
    await em.todos.create_list("empty")
    assert await em.todos.reorder("empty", []) == []


async def test_lists_are_counted_by_one_statement(em: EntityManager, moments: list[datetime]) -> None:
    await em.todos.create_list("one", ["a", "b", "c"], user_id="ada")
    await em.todos.create_list("two", [], user_id="ada")
    await em.todos.create_list("shared", ["x"])
    moments.append(START + timedelta(hours=1))
    await em.todos.complete("one", 1, "ada")
    await em.todos.set_status("one", 3, "cancelled", "ada")
    states = await em.todos.lists("ada")
    assert [(each.name, each.completed, each.items, each.percent, each.bar) for each in states] == [
        ("one", 1, 2, 50, "█████░░░░░"),
        ("two", 0, 0, 0, "░░░░░░░░░░"),
    ]
    with recorded_statements() as statements:
        assert [each.name for each in await em.todos.lists()] == ["shared"]
    assert len(statements) == 1
    assert await em.todos.status("one", "ada") == states[0]


async def test_of_many_that_add_and_complete_at_once_nothing_is_lost(em: EntityManager) -> None:
    todo = await em.todos.create_list("trip", user_id="ada")
    await asyncio.gather(*(em.todos.add("trip", [f"item {n}"], "ada") for n in range(64)))
    items = await em.todos.entries(todo.id)
    assert [item.position for item in items] == list(range(1, 65))
    assert {item.content for item in items} == {f"item {n}" for n in range(64)}
    await asyncio.gather(*(em.todos.complete(todo.id, n) for n in range(1, 65)))
    assert (await em.todos.status(todo.id)).completed == 64


async def test_lists_fall_with_their_owner(em: EntityManager) -> None:
    todo = await em.todos.create_list("trip", ["a"], user_id="ada")
    assert await em.identities.delete("ada")
    assert await em.todos.get_by_id(todo.id) is None
    assert await em.todos.items.count() == 0
