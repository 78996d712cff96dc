"""Identities: made when they are first needed, once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager


async def test_ensure_gets_or_makes(em: EntityManager) -> None:
    made = await em.identities.ensure("discord:1", "Ada")
    assert (made.id, made.display_name, made.user_id, made.version) == ("discord:1", "Ada", None, 1)
    same = await em.identities.ensure("discord:1", "somebody else")
    assert same.model_dump() == made.model_dump()
    assert (await em.identities.ensure("+49 1")).display_name == "+49 1"


async def test_callers_at_once_get_the_same_identity(em: EntityManager) -> None:
    rows = await asyncio.gather(*(em.identities.ensure("discord:1", f"name {n}") for n in range(16)))
    assert len({row.display_name for row in rows}) == 1
    assert await em.identities.count() == 1


async def test_ensure_joins_a_transaction(database: DatabaseManager, em: EntityManager) -> None:
    async def make_in_vain() -> None:
        async with database.transaction():
            assert (await em.identities.ensure("discord:1")).id == "discord:1"
            assert (await em.identities.ensure("discord:1")).id == "discord:1"
            raise KeyError

    with pytest.raises(KeyError):
        await make_in_vain()
    assert await em.identities.count() == 0


async def test_an_id_may_be_any_text(em: EntityManager) -> None:
    for text in ("", " x ", "\0nul", "lone \ud800", "😀"):
        assert (await em.identities.ensure(text)).id == text
        assert (await em.identities.ensure(text)).id == text
    assert await em.identities.count() == 5
    with pytest.raises(ValidationError, match="id"):
        await em.identities.ensure(7)  # type: ignore[arg-type]
