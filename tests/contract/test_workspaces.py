"""Workspaces: one default per owner, always."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agent_system.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from uuid import UUID

    from agent_system.entity_manager import EntityManager
    from agent_system.models import Workspace


@pytest.fixture(params=["shared", "owned"])
async def owner(request: pytest.FixtureRequest, em: EntityManager) -> UUID | None:
    await em.workspaces.create({"name": "of nobody"})
    user = await em.users.create({"username": "bob"})
    await em.workspaces.create({"name": "of bob", "user_id": user.id})
    if request.param == "shared":
        await em.workspaces.delete((await em.workspaces.find(user_id=None))[0].id)
        return None
    return (await em.users.create({"username": "ada"})).id


async def make(em: EntityManager, owner: UUID | None, name: str, *, is_default: bool = False) -> Workspace:
    return await em.workspaces.create({"name": name, "user_id": owner, "is_default": is_default})


async def defaults(em: EntityManager, owner: UUID | None) -> list[str]:
    return [row.name for row in await em.workspaces.find(user_id=owner, is_default=True)]


async def test_the_first_workspace_is_the_default(em: EntityManager, owner: UUID | None) -> None:
    assert await em.workspaces.get_default(owner) is None
    first = await make(em, owner, "first")
    second = await make(em, owner, "second")
    assert (first.is_default, second.is_default) == (True, False)
    default = await em.workspaces.get_default(owner)
    assert default is not None
    assert default.model_dump() == first.model_dump()


async def test_a_new_default_replaces_the_old_one(em: EntityManager, owner: UUID | None) -> None:
    first = await make(em, owner, "first")
    await make(em, owner, "second", is_default=True)
    assert await defaults(em, owner) == ["second"]
    await em.workspaces.set_default(first.id)
    assert await defaults(em, owner) == ["first"]
    third = await make(em, owner, "third")
    await em.workspaces.update(third.id, {"is_default": True, "description": "new"})
    assert await defaults(em, owner) == ["third"]
    same = await em.workspaces.set_default(third.id)
    assert same.version == 2
    with pytest.raises(NotFoundError):
        await em.workspaces.set_default(uuid4())


async def test_the_oldest_follows_a_default_that_is_deleted(em: EntityManager, owner: UUID | None) -> None:
    rows = [await make(em, owner, name) for name in ("first", "second", "third")]
    await em.workspaces.delete(rows[2].id)
    assert await defaults(em, owner) == ["first"]
    await em.workspaces.delete(rows[0].id)
    assert await defaults(em, owner) == ["second"]
    await em.workspaces.delete(rows[1].id)
    assert await em.workspaces.get_default(owner) is None


async def test_a_default_is_not_given_up(em: EntityManager, owner: UUID | None) -> None:
    first, second = await make(em, owner, "first"), await make(em, owner, "second")
    with pytest.raises(ValidationError, match="is_default"):
        await em.workspaces.update(first.id, {"is_default": False})
    await em.workspaces.update(second.id, {"is_default": False, "name": "renamed"})
    with pytest.raises(ValidationError, match="user_id"):
        await em.workspaces.update(first.id, {"user_id": owner})
    assert await defaults(em, owner) == ["first"]


async def test_racing_workspaces_have_one_default(em: EntityManager, owner: UUID | None) -> None:
    rows = await asyncio.gather(*(make(em, owner, f"w{n}", is_default=n % 2 == 0) for n in range(8)))
    assert len(await defaults(em, owner)) == 1
    await asyncio.gather(*(em.workspaces.set_default(row.id) for row in rows))
    assert len(await defaults(em, owner)) == 1
    await asyncio.gather(*(em.workspaces.delete(row.id) for row in rows[:-1]))
    assert await defaults(em, owner) == ["w7"]


async def test_other_owners_keep_theirs(em: EntityManager, owner: UUID | None) -> None:
    await make(em, owner, "first")
    await make(em, owner, "second", is_default=True)
    bob = await em.users.get_by_username("bob")
    assert bob is not None
    assert await defaults(em, bob.id) == ["of bob"]
