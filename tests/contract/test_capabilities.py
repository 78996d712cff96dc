"""Capabilities: settings with versions, switched on and off."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import ConflictError, NotFoundError, ValidationError
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Capability

START = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def moments() -> list[datetime]:
    """What the clock says: the last of these."""
    return [START]


@pytest.fixture
def em(database: DatabaseManager, moments: list[datetime]) -> EntityManager:
    return EntityManager(database, clock=lambda: moments[-1])


async def make(em: EntityManager, name: str = "web", **data: Any) -> Capability:
    return await em.capabilities.create({"name": name, "config": {"limit": 5, "safe": {"a": 1}}, **data})


async def test_settings_change_with_author_and_reason(em: EntityManager) -> None:
    await make(em, created_by="ada")
    second = await em.capabilities.update_config("WEB", {"limit": 6}, author="grace", reason="more")
    assert (second.version, second.config) == (2, {"limit": 6})
    third = await em.capabilities.merge_config("web", {"limit": None, "safe": {"b": 2}}, author="ada", reason="less")
    assert third.config == {"safe": {"b": 2}}
    assert third.model_dump() == (await em.capabilities.require(third.id)).model_dump()
    assert (await em.capabilities.merge_config("web", {"safe": {"b": 2}})).version == 3
    history = await em.capabilities.history("web")
    assert [(row.version, row.config, row.changed_by, row.change_reason) for row in history] == [
        (1, {"limit": 5, "safe": {"a": 1}}, "grace", "more"),
        (2, {"limit": 6}, "ada", "less"),
    ]
    versions = await em.capabilities.versions("web")
    assert [(each.version, each.author, each.reason) for each in versions] == [
        (1, "ada", None),
        (2, "grace", "more"),
        (3, "ada", "less"),
    ]


async def test_the_common_patch_writes_a_version_too(em: EntityManager) -> None:
    capability = await make(em)
    with em.events.context(actor="bot"):
        patched = await em.capabilities.patch(capability.id, "config", {"limit": None})
    assert (patched.version, patched.config) == (2, {"safe": {"a": 1}})
    (old,) = await em.capabilities.history("web")
    assert (old.changed_by, old.change_reason) == ("bot", "Configuration updated")
    described = await em.capabilities.patch(capability.id, "meta", {"a": 1})
    assert (described.version, described.meta) == (2, {"a": 1})


async def test_racing_patches_all_survive_with_a_version_each(em: EntityManager) -> None:
    await make(em, config={})
    await asyncio.gather(*(em.capabilities.merge_config("web", {f"k{n}": n}, author=str(n)) for n in range(64)))
    versions = await em.capabilities.versions("web")
    assert [each.version for each in versions] == list(range(1, 66))
    assert [len(each.config) for each in versions] == list(range(65))
    assert versions[-1].config == {f"k{n}": n for n in range(64)}


async def test_switching_is_a_version(em: EntityManager) -> None:
    await make(em)
    off = await em.capabilities.disable("web", author="ada", reason="down")
    assert (off.is_enabled, off.version) == (False, 2)
    assert (await em.capabilities.disable("web")).version == 2
    assert await em.capabilities.is_enabled("web") is False
    assert (await em.capabilities.enable("web")).version == 3
    assert await em.capabilities.is_enabled(" Web ") is True
    assert await em.capabilities.is_enabled("nothing") is False
    assert await em.capabilities.is_enabled("nothing", default=True) is True
    (first, second) = await em.capabilities.history("web")
    assert (first.is_enabled, first.changed_by, first.change_reason) == (True, "ada", "down")
    assert second.is_enabled is False


async def test_enabled_ones_are_listed_by_name(em: EntityManager) -> None:
    for name, enabled in (("c", True), ("a", True), ("b", False)):
        await make(em, name, is_enabled=enabled)
    with recorded_statements() as statements:
        assert [each.name for each in await em.capabilities.enabled()] == ["a", "c"]
    assert len(statements) == 1


async def test_a_rollback_restores_settings_and_switch(em: EntityManager) -> None:
    await make(em)
    await em.capabilities.update_config("web", {"limit": 6})
    await em.capabilities.disable("web")
    back = await em.capabilities.rollback("web", 1, author="ada", reason="as it was")
    assert (back.version, back.config, back.is_enabled) == (4, {"limit": 5, "safe": {"a": 1}}, True)
    last = (await em.capabilities.history("web"))[-1]
    assert (last.version, last.is_enabled, last.changed_by, last.change_reason) == (3, False, "ada", "as it was")


async def test_as_of_tells_how_it_was_set_up(em: EntityManager, moments: list[datetime]) -> None:
    await make(em)
    moments.append(START + timedelta(hours=1))
    await em.capabilities.update_config("web", {"limit": 6})
    moments.append(START + timedelta(hours=2))
    await em.capabilities.disable("web")
    found = [await em.capabilities.as_of("web", START + timedelta(minutes=n)) for n in (-1, 0, 60, 120)]
    assert [None if each is None else (each.config.get("limit"), each.is_enabled) for each in found] == [
        None,
        (5, True),
        (6, True),
        (6, False),
    ]


async def test_what_cannot_be_is_refused(em: EntityManager) -> None:
    await make(em)
    with pytest.raises(NotFoundError):
        await em.capabilities.update_config("nothing", {})
    with pytest.raises(ValidationError, match="config"):
        await em.capabilities.update_config("web", {"a": float("inf")})
    with pytest.raises(ConflictError):
        await em.capabilities.update_config("web", {"a": 1}, expected_version=2)
    assert await em.capabilities.history("web") == []
