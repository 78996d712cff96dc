"""Users: one account per name and address, and an identity with each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_system.errors import DuplicateKeyError, ValidationError

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager


@pytest.mark.parametrize("field", ["username", "email"])
@pytest.mark.parametrize("text", ["ADA@example.org", " ada@example.ORG ", "ada@example.org"])
async def test_names_and_addresses_are_unique_without_regard_to_case(em: EntityManager, field: str, text: str) -> None:
    await em.users.create({"username": "ada@example.org", "email": "ada@example.org"})
    data = {"username": "bob", "email": "bob@example.org"} | {field: text}
    with pytest.raises(DuplicateKeyError) as caught:
        await em.users.create(data)
    assert caught.value.fields == (field,)
    assert await em.users.count() == await em.identities.count() == 1
    bob = await em.users.create({"username": "bob", "email": "bob@example.org"})
    with pytest.raises(DuplicateKeyError) as caught:
        await em.users.update(bob.id, {field: text})
    assert caught.value.fields == (field,)
    assert (await em.users.require(bob.id)).model_dump() == bob.model_dump()


async def test_users_without_an_address_do_not_collide(em: EntityManager) -> None:
    await em.users.create_many({"username": f"user-{n}"} for n in range(3))
    assert await em.users.count(email=None) == 3


async def test_racing_registrations_make_one_user(em: EntityManager) -> None:
    names = ["Ada", "ADA", "ada", " ada "]
    outcomes = await asyncio.gather(*(em.users.create({"username": name}) for name in names), return_exceptions=True)
    assert sum(isinstance(outcome, DuplicateKeyError) for outcome in outcomes) == 3
    assert await em.users.count() == await em.identities.count() == 1


async def test_blanks_around_names_are_taken_away(em: EntityManager) -> None:
    user = await em.users.create({"username": " Ada ", "email": "\tAda@Example.org\n"})
    assert (user.username, user.email) == ("Ada", "Ada@Example.org")
    assert (await em.users.update(user.id, {"email": " new@example.org "})).email == "new@example.org"
    for data in ({"username": " "}, {"username": ""}, {"username": "bob", "email": "  "}):
        with pytest.raises(ValidationError, match="blank"):
            await em.users.create(data)
    with pytest.raises(ValidationError, match="blank"):
        await em.users.update(user.id, {"username": " "})


async def test_users_are_found_by_name_and_address(em: EntityManager) -> None:
    user = await em.users.create({"username": "Ada", "email": "Ada@Example.org"})
    for found in (
        await em.users.get_by_username("aDA"),
        await em.users.get_by_username(" ada "),
        await em.users.get_by_email("ada@EXAMPLE.org"),
    ):
        assert found is not None
        assert found.id == user.id
    assert await em.users.get_by_username("bob") is None
    assert await em.users.get_by_email("bob@example.org") is None


async def test_each_user_has_an_identity(em: EntityManager) -> None:
    user = await em.users.create({"username": "Ada", "email": "ada@example.org"})
    identity = await em.identities.require(str(user.id))
    assert (identity.user_id, identity.display_name, identity.email) == (user.id, "Ada", "ada@example.org")
    users = await em.users.create_many({"username": f"user-{n}"} for n in range(3))
    assert set(await em.identities.get_many(str(user.id) for user in users)) == {str(user.id) for user in users}
    await em.users.delete(user.id)
    assert await em.identities.get_by_id(str(user.id)) is None


async def test_an_identity_that_was_there_before_becomes_the_users(em: EntityManager) -> None:
    user = await em.users.create({"username": "first"})
    key = user.id
    await em.users.delete(key)
    await em.messages.create({"role": "user", "user_id": str(key)})
    assert (await em.identities.require(str(key))).user_id is None
    again = await em.users.create({"id": key, "username": "Ada", "email": "ada@example.org"})
    identity = await em.identities.require(str(key))
    assert (identity.user_id, identity.display_name, identity.email) == (again.id, "Ada", "ada@example.org")


async def test_an_identity_follows_a_new_name_and_address(em: EntityManager) -> None:
    user = await em.users.create({"username": "Ada", "email": "ada@example.org"})
    await em.users.update(user.id, {"username": "Lovelace", "email": None})
    identity = await em.identities.require(str(user.id))
    assert (identity.display_name, identity.email) == ("Lovelace", None)
    # What the person chose otherwise is left alone.
    await em.identities.update(str(user.id), {"display_name": "Countess"})
    await em.users.update(user.id, {"username": "Ada"})
    assert (await em.identities.require(str(user.id))).display_name == "Countess"


async def test_users_come_with_their_identities(em: EntityManager) -> None:
    user = await em.users.create({"username": "Ada"})
    await em.identities.create({"id": "discord:1", "display_name": "ada", "user_id": user.id})
    (row,) = (await em.users.list(include=("identities",))).items
    assert [identity.id for identity in row.identities] == sorted(["discord:1", str(user.id)])
