"""Feature flags: on for some, always for the same ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.configuration.flags import bucket
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager
    from agent_system.models import FeatureFlag

USERS = [f"user-{n}" for n in range(2_000)]


async def make(em: EntityManager, name: str = "fast", percentage: int = 100, **data: Any) -> FeatureFlag:
    return await em.flags.create({"flag_name": name, "enabled": True, "rollout_percentage": percentage, **data})


async def chosen(em: EntityManager, name: str = "fast") -> set[str]:
    return {user for user in USERS if await em.flags.is_enabled(name, user)}


async def test_a_flag_is_on_for_everybody_or_nobody(em: EntityManager) -> None:
    await make(em)
    assert await em.flags.is_enabled("fast") is True
    assert await em.flags.is_enabled(" FAST ", "ada") is True
    await em.flags.disable("fast")
    assert await em.flags.is_enabled("fast") is False
    await em.flags.enable("fast", 0)
    assert await em.flags.is_enabled("fast", "ada") is False


async def test_a_flag_that_is_not_there_has_the_callers_default(em: EntityManager) -> None:
    assert await em.flags.is_enabled("nothing", "ada") is False
    assert await em.flags.is_enabled("nothing", "ada", default=True) is True


async def test_a_roll_out_reaches_its_share_and_only_ever_adds_users(em: EntityManager) -> None:
    await make(em, percentage=10)
    groups = []
    for percentage in (10, 25, 60, 100):
        await em.flags.enable("fast", percentage)
        groups.append(await chosen(em))
        assert abs(len(groups[-1]) / len(USERS) - percentage / 100) < 0.03
    assert groups[0] < groups[1] < groups[2] < groups[3] == set(USERS)
    assert await em.flags.is_enabled("fast") is True
    await em.flags.enable("fast", 99)
    assert await em.flags.is_enabled("fast") is False


async def test_another_flag_chooses_other_users(em: EntityManager) -> None:
    await make(em, "one", 20)
    await make(em, "two", 20)
    one, two = await chosen(em, "one"), await chosen(em, "two")
    assert 0.1 < len(one & two) / len(one) < 0.3


def test_a_users_place_never_changes() -> None:
    # Fixed for good: another value would move every user of every roll-out.
    assert [bucket("fast", user) for user in ("ada", "grace", "linus", "\ud800", "")] == [77, 61, 94, 33, 19]
    assert bucket("FAST", "ada") == bucket(" fast", "ada")
    assert {bucket("fast", user) for user in USERS} == set(range(100))


async def test_users_on_the_list_have_it_whatever_the_percentage(em: EntityManager) -> None:
    user = uuid4()
    await make(em, percentage=0)
    await em.flags.allow("fast", "ada", user, "ada")
    assert [await em.flags.is_enabled("fast", one) for one in ("ada", str(user), user, "grace", 5)] == [True] * 3 + [
        False
    ] * 2
    flag = await em.flags.disallow("Fast", "ada", "nobody")
    assert flag.allowed_users == [str(user)]
    assert await em.flags.is_enabled("fast", "ada") is False
    await em.flags.disable("fast")
    assert await em.flags.is_enabled("fast", user) is False


async def test_racing_changes_of_the_list_all_survive(em: EntityManager) -> None:
    await make(em)
    await asyncio.gather(*(em.flags.allow("fast", f"user {n}") for n in range(64)))
    flag = await em.flags.get_by_name("fast")
    assert flag is not None
    assert sorted(flag.allowed_users) == sorted(f"user {n}" for n in range(64))


async def test_seeds_are_made_once_and_left_alone(em: EntityManager) -> None:
    made = await asyncio.gather(*(em.flags.seed_defaults() for _ in range(8)))
    assert sum(made) == 4
    await em.flags.disable("intent_classification")
    assert await em.flags.seed_defaults() == 0
    flags = {flag.flag_name: (flag.enabled, flag.rollout_percentage) for flag in await em.flags.find()}
    assert flags == {
        "unified_message_processor": (True, 100),
        "legacy_fallback": (False, 0),
        "intent_classification": (False, 100),
        "advanced_error_handling": (True, 100),
    }


@pytest.mark.parametrize("percentage", [-1, 101, 50.5, "50"])
async def test_a_percentage_is_one(em: EntityManager, percentage: Any) -> None:
    with pytest.raises(ValidationError, match="rollout_percentage"):
        await make(em, percentage=percentage)
    await make(em)
    with pytest.raises(ValidationError, match="rollout_percentage"):
        await em.flags.enable("fast", percentage)
    with pytest.raises(NotFoundError):
        await em.flags.enable("nothing")


async def test_a_malformed_list_is_nobodys(em: EntityManager, database: DatabaseManager) -> None:
    await make(em, percentage=0)
    statement = text("UPDATE feature_flags SET allowed_users = '\"ada\"'")
    await database.write(lambda executor: executor.execute(statement))
    assert await em.flags.is_enabled("fast", "ada") is False


async def test_asking_is_one_statement_at_most(em: EntityManager) -> None:
    await make(em, percentage=50)
    with recorded_statements() as statements:
        await em.flags.is_enabled("fast", "ada")
    assert len(statements) == 1
