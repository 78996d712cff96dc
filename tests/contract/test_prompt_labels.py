"""Labels of prompts: where they point, and who moved them when and why."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import NotFoundError, PermissionDeniedError, ValidationError
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

START = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def moments() -> list[datetime]:
    """What the clock says: the last of these."""
    return [START]


@pytest.fixture
async def em(database: DatabaseManager, moments: list[datetime]) -> EntityManager:
    em = EntityManager(database, clock=lambda: moments[-1])
    await em.prompts.create({"name": "greeting", "content": "one"})
    for content in ("two", "three"):
        await em.prompts.update_content("greeting", content)
    return em


async def pointed(em: EntityManager, label: str = "production", at: datetime | None = None) -> str | None:
    version = await em.prompts.by_label("greeting", label, at)
    return None if version is None else version.content


async def test_a_label_points_at_a_version(em: EntityManager) -> None:
    label = await em.prompts.set_label("greeting", " production ", 1)
    assert (label.label, label.prompt_version) == ("production", 1)
    assert (await em.prompts.set_label("Greeting", "latest")).prompt_version == 3
    assert (await pointed(em), await pointed(em, "latest"), await pointed(em, "none")) == ("one", "three", None)
    await em.prompts.update_content("greeting", "four")
    assert (await pointed(em), await pointed(em, "latest")) == ("one", "three")
    assert [(each.label, each.prompt_version) for each in await em.prompts.labels("greeting")] == [
        ("latest", 3),
        ("production", 1),
    ]
    version = await em.prompts.by_label("greeting", "production")
    assert version == await em.prompts.version("greeting", 1)
    assert await em.prompts.by_label("nothing", "production") is None


async def test_every_move_is_a_row(em: EntityManager, moments: list[datetime]) -> None:
    await em.prompts.set_label("greeting", "production", 1, by="ada", why="first")
    moments.append(START + timedelta(hours=1))
    await em.prompts.set_label("greeting", "production", 2, by="grace", why="better")
    await em.prompts.set_label("greeting", "production", 2, by="grace", why="nothing moves")
    with em.events.context(actor="bot"):
        await em.prompts.set_label("greeting", "staging", 3)
    assert await em.prompts.remove_label("greeting", "production")
    assert not await em.prompts.remove_label("greeting", "production")
    moves = await em.prompts.label_moves("greeting")
    assert [(each.label, each.from_version, each.to_version, each.moved_by, each.reason) for each in moves] == [
        ("production", None, 1, "ada", "first"),
        ("production", 1, 2, "grace", "better"),
        ("staging", None, 3, "bot", None),
        ("production", 2, None, "system", None),
    ]
    assert [each.created_at - START for each in moves] == [timedelta(hours=n) for n in (0, 1, 1, 1)]
    assert [each.to_version for each in await em.prompts.label_moves("greeting", "staging")] == [3]


async def test_a_label_points_where_it_did_at_a_moment(em: EntityManager, moments: list[datetime]) -> None:
    for hour, version in enumerate((1, 3, 2)):
        moments.append(START + timedelta(hours=hour))
        await em.prompts.set_label("greeting", "production", version)
    moments.append(START + timedelta(hours=3))
    await em.prompts.remove_label("greeting", "production")
    times = [START + timedelta(minutes=minutes) for minutes in (-1, 0, 59, 60, 179, 180, 999)]
    assert [await pointed(em, at=at) for at in times] == [None, "one", "one", "three", "two", None, None]
    with pytest.raises(ValidationError, match="at"):
        await em.prompts.by_label("greeting", "production", START.replace(tzinfo=None))


async def test_an_undone_move_is_a_move(em: EntityManager) -> None:
    await em.prompts.set_label("greeting", "production", 1)
    await em.prompts.set_label("greeting", "production", 2)
    undone = await em.prompts.undo_label("greeting", "production", by="ada", why="two is worse")
    assert undone is not None
    assert undone.prompt_version == 1
    moves = await em.prompts.label_moves("greeting")
    assert [(each.from_version, each.to_version) for each in moves] == [(None, 1), (1, 2), (2, 1)]
    await em.prompts.set_label("greeting", "new", 1)
    assert await em.prompts.undo_label("greeting", "new") is None
    assert await pointed(em, "new") is None
    with pytest.raises(NotFoundError):
        await em.prompts.undo_label("greeting", "never")


async def test_only_what_is_there_can_be_pointed_at(em: EntityManager) -> None:
    for version in (4, -1):
        with pytest.raises(NotFoundError):
            await em.prompts.set_label("greeting", "production", version)
    with pytest.raises(NotFoundError):
        await em.prompts.set_label("nothing", "production", 1)
    with pytest.raises(ValidationError, match="label"):
        await em.prompts.set_label("greeting", "  ", 1)
    assert await em.prompts.label_moves("greeting") == []


async def test_racing_moves_of_one_label_are_a_chain(em: EntityManager) -> None:
    await asyncio.gather(
        *(em.prompts.set_label("greeting", "production", 1 + n % 3, by=str(n)) for n in range(64)),
    )
    moves = await em.prompts.label_moves("greeting", "production")
    assert [each.from_version for each in moves] == [None, *(each.to_version for each in moves[:-1])]
    (label,) = await em.prompts.labels("greeting")
    assert label.prompt_version == moves[-1].to_version


async def test_reading_a_label_is_one_statement(em: EntityManager) -> None:
    await em.prompts.set_label("greeting", "production", 2)
    for at in (None, START):
        with recorded_statements() as statements:
            assert await pointed(em, at=at) == "two"
        assert len(statements) == 1


async def test_labels_fall_with_their_prompt(em: EntityManager) -> None:
    await em.prompts.set_label("greeting", "production", 2)
    prompt = await em.prompts.get_by_name("greeting")
    assert prompt is not None
    assert await em.prompts.delete(prompt.id)
    assert await em.prompts.by_label("greeting", "production") is None
    await em.prompts.create({"name": "greeting", "content": "one"})
    assert await em.prompts.labels("greeting") == await em.prompts.label_moves("greeting") == []


async def test_a_protected_label_stays_until_it_is_released(em: EntityManager) -> None:
    await em.prompts.set_label("greeting", "production", 1)
    assert (await em.prompts.protect_label("greeting", "production")).is_protected
    for move in (
        em.prompts.set_label("greeting", "production", 2),
        em.prompts.undo_label("greeting", "production"),
        em.prompts.remove_label("greeting", "production"),
    ):
        with pytest.raises(PermissionDeniedError, match="release_label"):
            await move
    assert (await em.prompts.set_label("greeting", "production", 1)).prompt_version == 1
    assert len(await em.prompts.label_moves("greeting", "production")) == 1
    assert await pointed(em) == "one"
    assert not (await em.prompts.release_label("greeting", "production")).is_protected
    assert (await em.prompts.set_label("greeting", "production", 2)).prompt_version == 2
    with pytest.raises(NotFoundError):
        await em.prompts.protect_label("greeting", "none")
