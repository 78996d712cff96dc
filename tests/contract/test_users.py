"""Users: one account per name and address, and an identity with each."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys

import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.errors import (
    ConfigurationError,
    DuplicateKeyError,
    MissingExtraError,
    NotFoundError,
    ValidationError,
)
from agent_system.managers.users.secret_box import SecretBox, is_secret_key
from agent_system.settings import DatabaseSettings
from tests import requirements as requires
from tests.traces import count_in_files


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


# Preferences and the secrets among them.

NEW_KEY, OLD_KEY, LOST_KEY = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in range(3))
SECRETS = {"openai": {"api_key": "sk-marked", "model": "gpt"}, "githubToken": "gh-marked", "theme": "dark"}


def with_keys(url: str, *keys: str) -> DatabaseManager:
    settings = DatabaseSettings(secret_keys=SecretStr(",".join(keys)) if keys else None)
    return DatabaseManager(url, settings=settings, auto_migrate=False)


async def test_preferences_are_merged_and_none_is_lost(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada", "preferences": {"theme": "dark", "editor": {"tabs": 4}}})
    patched = await em.users.update_preferences(user.id, {"theme": None, "editor": {"wrap": True}})
    assert patched.preferences == {"editor": {"tabs": 4, "wrap": True}}
    await asyncio.gather(*(em.users.update_preferences(user.id, {f"key-{n}": n}) for n in range(64)))
    assert len((await em.users.require(user.id)).preferences) == 65


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("api_key", True),
        ("apiKeys", True),
        ("OPENAI_API_KEY", True),
        ("access-token", True),
        ("githubToken", True),
        ("client_secret", True),
        ("dbPassword", True),
        ("credentials", True),
        ("max_tokens", False),
        ("keyboard", False),
        ("theme", False),
        ("secretary", False),
        ("passwordless", False),
        (7, False),
    ],
)
def test_a_key_tells_that_its_value_is_a_secret(key: object, expected: bool) -> None:  # noqa: FBT001
    assert is_secret_key(key) is expected


async def test_secrets_are_sealed_whoever_writes_them(migrated_url: str) -> None:
    async with with_keys(migrated_url, NEW_KEY) as database:
        em = EntityManager(database)
        made = await em.users.create({"username": "a", "preferences": SECRETS})
        (many,) = await em.users.create_many([{"username": "b", "preferences": SECRETS}])
        registered = await em.users.register("c", None, "long enough", preferences=SECRETS)
        imported = await em.users.import_account({"username": "d", "preferences": SECRETS})
        put = await em.users.upsert({"username": "e", "preferences": SECRETS}, on=("username",))
        rows = [made, many, registered, imported, put]
        rows.append(await em.users.update(made.id, {"preferences": SECRETS}))
        rows.append(await em.users.upsert({"username": "b", "preferences": SECRETS}, on=("username",)))
        rows.append(await em.users.update_preferences(put.id, SECRETS))
        for row in rows:
            assert "marked" not in str(row.model_dump())
            assert row.preferences["openai"]["model"] == "gpt"
            assert row.preferences["theme"] == "dark"
            assert (await em.users.require(row.id)).preferences["theme"] == "dark"
            assert await em.users.secrets(row.id) == {"openai": {"api_key": "sk-marked"}, "githubToken": "gh-marked"}
        # What was read is written again, and stays what it is.
        same = await em.users.update(made.id, {"preferences": rows[5].preferences})
        assert same.preferences == rows[5].preferences


async def test_a_secret_may_be_any_value(migrated_url: str) -> None:
    values = {"token": {"a": ["marked", 1]}, "list": [{"api_key": "marked"}, 1], "secret": 7, "password": "sealed:x"}
    nothing = {"api_key": None, "apiKey": "", "secrets": {}, "has_token": True}
    async with with_keys(migrated_url, NEW_KEY) as database:
        em = EntityManager(database)
        user = await em.users.create({"username": "a", "preferences": values | nothing})
        assert "marked" not in str(user.preferences)
        assert {key: user.preferences[key] for key in nothing} == nothing
        assert await em.users.secrets(user.id) == {**values, "list": [{"api_key": "marked"}, None]}
        for bad in ({"token": float("nan")}, {"token": object()}, {"token": {1, 2}}):
            with pytest.raises(ValidationError):
                await em.users.update(user.id, {"preferences": bad})


async def test_a_sealed_secret_is_of_no_use_to_another_user(migrated_url: str) -> None:
    async with with_keys(migrated_url, NEW_KEY) as database:
        em = EntityManager(database)
        ada = await em.users.create({"username": "ada", "preferences": {"api_key": "sk-marked"}})
        eve = await em.users.create({"username": "eve", "preferences": {"api_key": ada.preferences["api_key"]}})
        assert "marked" not in str(await em.users.secrets(eve.id))


async def test_keys_are_rotated(migrated_url: str) -> None:
    async with with_keys(migrated_url) as database:
        plain = await EntityManager(database).users.create({"username": "plain", "preferences": SECRETS})
    async with with_keys(migrated_url, OLD_KEY) as database:
        old = await EntityManager(database).users.create({"username": "old", "preferences": SECRETS})
    async with with_keys(migrated_url, NEW_KEY, OLD_KEY) as database:
        em = EntityManager(database)
        await em.users.create({"username": "new", "preferences": SECRETS})
        await em.users.create({"username": "none", "preferences": {"theme": "dark"}})
        for user in (plain, old):
            assert (await em.users.secrets(user.id))["githubToken"] == "gh-marked"
        assert await em.users.reseal_secrets() == 2
        assert await em.users.reseal_secrets() == 0
    async with with_keys(migrated_url, NEW_KEY) as database:
        em = EntityManager(database)
        for user in (plain, old):
            assert (await em.users.secrets(user.id))["githubToken"] == "gh-marked"
    async with with_keys(migrated_url, LOST_KEY) as database:
        em = EntityManager(database)
        for verb in (em.users.secrets(old.id), em.users.reseal_secrets()):
            with pytest.raises(ConfigurationError) as caught:
                await verb
            assert caught.value.variable == "AGENT_SYSTEM_SECRET_KEYS"
    async with with_keys(migrated_url) as database:
        with pytest.raises(ConfigurationError):
            await EntityManager(database).users.secrets(old.id)


async def test_without_a_key_secrets_are_stored_as_given_and_the_log_says_so(
    em: EntityManager, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        user = await em.users.create({"username": name, "preferences": SECRETS})
        assert user.preferences == SECRETS
        assert (await em.users.secrets(user.id))["githubToken"] == "gh-marked"
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "AGENT_SYSTEM_SECRET_KEYS is not set" in warnings[0].getMessage()
    assert "marked" not in caplog.text
    assert await em.users.secrets((await em.users.create({"username": "c"})).id) == {}
    with pytest.raises(NotFoundError):
        await em.users.secrets(uuid7())


@requires.database_file
async def test_a_secret_is_in_no_file(migrated_url: str) -> None:
    async with with_keys(migrated_url, NEW_KEY) as database:
        em = EntityManager(database)
        user = await em.users.create({"username": "ada", "preferences": SECRETS})
        await em.users.update_preferences(user.id, {"anthropic": {"apiKey": "sk-marked-2"}})
        assert (await em.users.secrets(user.id))["anthropic"] == {"apiKey": "sk-marked-2"}
        counts = await count_in_files(database, "marked")
        assert counts == {"system.db": 0, "system.db-shm": 0, "system.db-wal": 0}
        assert (await count_in_files(database, "sealed:"))["system.db-wal"] > 0


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    assert not SecretBox(None).can_seal
    with pytest.raises(MissingExtraError, match=r"agent_system\[crypto\]"):
        SecretBox(SecretStr(NEW_KEY))
