"""Registering, logging in, passwords and roles: who may be whom, and what nobody gets to see."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
from argon2 import PasswordHasher
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher
from uuid_utils.compat import uuid7

from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.errors import (
    AgentSystemError,
    AuthenticationError,
    DuplicateKeyError,
    NotFoundError,
    PasswordResetRequiredError,
    PermissionDeniedError,
    ValidationError,
)
from agent_system.models import metadata
from agent_system.settings import DatabaseSettings
from agent_system.types import UserRole
from tests import requirements as requires
from tests.traces import count_in_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MARKER = "cor-rect horse 💮 battery"
CHEAP = DatabaseSettings(password_time_cost=1, password_memory_kib=8, password_parallelism=1)


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[DatabaseManager]:
    async with DatabaseManager(migrated_url, settings=CHEAP, auto_migrate=False) as manager:
        yield manager


class Verifications:
    """Counts which hashes passwords are tried against."""

    def __init__(self) -> None:
        self.argon2: list[str] = []
        self.bcrypt: list[str] = []
        self.threads: set[int] = set()
        self.at_once = self.most_at_once = 0


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> Verifications:
    counts = Verifications()
    guard = threading.Lock()

    def counting(hasher: type[Any], tried: list[str]) -> None:
        original = hasher.verify

        def verify(self: Any, password: Any, stored: Any) -> bool:
            with guard:
                tried.append(stored)
                counts.threads.add(threading.get_ident())
                counts.at_once += 1
                counts.most_at_once = max(counts.most_at_once, counts.at_once)
            try:
                return bool(original(self, password, stored))
            finally:
                with guard:
                    counts.at_once -= 1

        monkeypatch.setattr(hasher, "verify", verify)

    counting(Argon2Hasher, counts.argon2)
    counting(BcryptHasher, counts.bcrypt)
    return counts


# Registering.


async def test_a_registered_user_may_log_in(em: EntityManager) -> None:
    user = await em.users.register("Ada", "Ada@example.org", MARKER, first_name="Ada", preferences={"theme": "dark"})
    assert (user.username, user.role, user.is_active, user.last_login_at) == ("Ada", UserRole.USER, True, None)
    assert (user.first_name, user.preferences) == ("Ada", {"theme": "dark"})
    for name in ("ada", " ADA ", "Ada@example.org", "ADA@EXAMPLE.ORG"):
        back = await em.users.login(name, MARKER)
        assert back.id == user.id
        assert back.last_login_at is not None
    assert back.version == user.version
    stored = await em.users.require(user.id)
    assert stored.last_login_at == back.last_login_at
    assert stored.password_hash is not None
    assert stored.password_hash.startswith("$argon2id$v=19$m=8,t=1,p=1$")


async def test_the_parameters_are_those_of_rfc_9106(migrated_url: str) -> None:
    async with DatabaseManager(migrated_url, auto_migrate=False) as database:
        user = await EntityManager(database).users.register("ada", None, MARKER)
    assert user.password_hash is not None
    assert user.password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "admin"),
        ("is_active", False),
        ("password_hash", "x"),
        ("must_reset_password", True),
        ("last_login_at", None),
        ("meta", {}),
        ("id", uuid7()),
        ("version", 7),
        ("nonsense", 1),
    ],
)
async def test_nobody_registers_more_than_themselves(em: EntityManager, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.users.register("ada", None, MARKER, **{field: value})
    assert caught.value.field == field
    assert await em.users.count() == 0


@pytest.mark.parametrize("field", ["role", "is_active", "password_hash", "must_reset_password", "last_login_at"])
async def test_the_common_verbs_take_no_privilege_from_a_body(em: EntityManager, field: str) -> None:
    user = await em.users.register("ada", None, MARKER)
    body = {field: getattr(user, field)}
    for verb in (
        em.users.create({"username": "bob", **body}),
        em.users.create_many([{"username": "bob", **body}]),
        em.users.update(user.id, body),
        em.users.upsert({"username": "ada", **body}, on=("username",)),
    ):
        with pytest.raises(ValidationError) as caught:
            await verb
        assert caught.value.field == field
    assert (await em.users.require(user.id)).model_dump() == user.model_dump()
    assert await em.users.count() == 1


@pytest.mark.parametrize(
    ("username", "email", "field"),
    [
        ("", None, "username"),
        ("  ", None, "username"),
        ("ada", "nowhere", "email"),
        ("ada", " ", "email"),
        ("bob@example.org", None, "username"),
        ("bob@example.org", "ada@example.org", "username"),
        (7, None, "username"),
    ],
)
async def test_a_name_must_be_somebodys_own(em: EntityManager, username: Any, email: Any, field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.users.register(username, email, MARKER)
    assert caught.value.field == field
    assert await em.users.count() == 0


async def test_the_own_address_may_be_the_name(em: EntityManager) -> None:
    user = await em.users.register("ada@Example.org", "Ada@example.org", MARKER)
    assert (await em.users.login("ADA@example.org", MARKER)).id == user.id


async def test_an_address_wins_over_a_name_that_looks_like_it(em: EntityManager) -> None:
    await em.users.create({"username": "ada@example.org"})
    user = await em.users.register("ada", "ada@example.org", MARKER)
    assert (await em.users.login("ada@example.org", MARKER)).id == user.id


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1_025, None, 12345678, b"12345678"])
async def test_a_password_has_a_length(em: EntityManager, password: Any) -> None:
    user = await em.users.register("ada", None, "x" * 1_024)
    for verb, field in (
        (em.users.register("bob", None, password), "password"),
        (em.users.change_password(user.id, "x" * 1_024, password), "new"),
        (em.users.set_password(user.id, password), "password"),
    ):
        with pytest.raises(ValidationError) as caught:
            await verb
        assert caught.value.field == field
    assert await em.users.count() == 1
    await em.users.login("ada", "x" * 1_024)


async def test_any_text_can_be_a_password(em: EntityManager) -> None:
    for number, password in enumerate(["\0" * 8, "lone \ud800 half", "😀" * 8, " " * 8, "ﬁancées"]):
        await em.users.register(f"user-{number}", None, password + "12")
        await em.users.login(f"user-{number}", password + "12")
        with pytest.raises(AuthenticationError):
            await em.users.login(f"user-{number}", password + "13")
    # However a keyboard composes it.
    await em.users.login("user-4", "fiance\u0301es12")


async def test_racing_registrations_make_one_account(em: EntityManager) -> None:
    outcomes = await asyncio.gather(
        *(em.users.register(name, None, MARKER) for name in ["Ada", "ADA", "ada", " aDa "] * 4), return_exceptions=True
    )
    assert sum(isinstance(outcome, DuplicateKeyError) for outcome in outcomes) == 15
    assert await em.users.count() == await em.identities.count() == 1
    await em.users.login("ada", MARKER)


# Logging in.


async def test_nobody_learns_what_was_wrong(em: EntityManager, verifications: Verifications) -> None:
    """An unknown name, one without a password and a wrong password: the same error after one verification each."""
    user = await em.users.register("ada", None, MARKER)
    await em.users.create({"username": "bot"})
    gone = await em.users.register("gone", None, MARKER)
    await em.users.deactivate(gone.id)
    legacy = {"username": "plain", "password_hash": BcryptHasher(4).hash(MARKER)}
    await em.users.import_account(legacy)
    errors = []
    for name, password in [
        ("ada", "wrong password"),
        ("nobody", MARKER),
        ("bot", MARKER),
        ("gone", MARKER),
        ("gone", "wrong password"),
        ("plain", "wrong password"),
        ("ada", "x" * 100_000),
        ("ada", ""),
        ("ada", None),
        (None, MARKER),
        ("\0", MARKER),
        ("\ud800", MARKER),
        ("' OR 1=1 --", MARKER),
    ]:
        before = len(verifications.argon2) + len(verifications.bcrypt)
        with pytest.raises(AuthenticationError) as caught:
            await em.users.login(name, password)  # type: ignore[arg-type]
        errors.append((type(caught.value), str(caught.value), vars(caught.value)))
        assert len(verifications.argon2) + len(verifications.bcrypt) == before + 1, name
    assert all(error == errors[0] for error in errors)
    # What nobody's password is tried against costs what a real one does, and is another thing in each process.
    parameters = {stored.rsplit("$", 2)[0] for stored in verifications.argon2}
    assert parameters == {"$argon2id$v=19$m=8,t=1,p=1"}
    assert (await em.users.require(user.id)).last_login_at is None


async def test_changing_a_password_tells_no_more(em: EntityManager, verifications: Verifications) -> None:
    gone = await em.users.register("gone", None, MARKER)
    await em.users.deactivate(gone.id)
    ada = await em.users.register("ada", None, MARKER)
    errors = []
    for key, old in [(ada.id, "wrong password"), (gone.id, MARKER), (uuid7(), MARKER), ("no key", MARKER)]:
        with pytest.raises(AuthenticationError) as caught:
            await em.users.change_password(key, old, "another password")  # type: ignore[arg-type]
        errors.append((type(caught.value), str(caught.value), vars(caught.value)))
    assert all(error == errors[0] for error in errors)
    assert len(verifications.argon2) == 4


async def test_a_deactivated_user_is_refused_until_activated(em: EntityManager) -> None:
    user = await em.users.register("ada", None, MARKER)
    assert not (await em.users.deactivate(user.id)).is_active
    with pytest.raises(AuthenticationError):
        await em.users.login("ada", MARKER)
    assert (await em.users.activate(user.id)).is_active
    await em.users.login("ada", MARKER)
    for verb in (em.users.activate, em.users.deactivate):
        with pytest.raises(NotFoundError):
            await verb(uuid7())


async def test_hashes_are_computed_away_from_the_loop_a_few_at_once(
    em: EntityManager, verifications: Verifications
) -> None:
    await em.users.register("ada", None, MARKER)
    await asyncio.gather(*(em.users.login("ada", MARKER) for _ in range(32)))
    assert threading.get_ident() not in verifications.threads
    assert verifications.most_at_once <= 2
    assert len(verifications.argon2) == 32


async def test_a_hash_of_other_parameters_is_replaced_at_the_next_login(
    em: EntityManager, verifications: Verifications
) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(MARKER)
    user = await em.users.import_account({"username": "ada", "password_hash": old})
    assert user.password_hash == old
    back = await em.users.login("ada", MARKER)
    assert back.password_hash is not None
    assert back.password_hash.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    again = await em.users.login("ada", MARKER)
    assert again.password_hash == back.password_hash
    assert verifications.argon2 == [old, back.password_hash]


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
async def test_a_legacy_hash_is_verified_once(em: EntityManager, verifications: Verifications, prefix: bytes) -> None:
    made = bcrypt.hashpw(MARKER.encode(), bcrypt.gensalt(4)).replace(b"$2b$", b"$" + prefix + b"$").decode()
    await em.users.import_account({"username": "ada", "password_hash": made})
    with pytest.raises(AuthenticationError):
        await em.users.login("ada", "wrong password")
    back = await em.users.login("ada", MARKER)
    assert back.password_hash is not None
    assert back.password_hash.startswith("$argon2id$")
    await em.users.login("ada", MARKER)
    assert verifications.bcrypt == [made, made]
    assert len(verifications.argon2) == 1


async def test_a_long_password_of_a_legacy_system_works(em: EntityManager) -> None:
    """Libraries of old cut a password off after 72 bytes; today's refuses it."""
    password = "long " * 20
    made = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    await em.users.import_account({"username": "ada", "password_hash": made})
    await em.users.login("ada", password)
    with pytest.raises(AuthenticationError):
        await em.users.login("ada", password + "more")


async def test_what_is_no_hash_is_not_imported(em: EntityManager) -> None:
    for text in (MARKER, "", "$2b$04$short", "5f4dcc3b5aa765d61d8327deb882cf99", "$argon2id$"):
        with pytest.raises(ValidationError) as caught:
            await em.users.import_account({"username": "ada", "password_hash": text})
        assert caught.value.field == "password_hash"
        assert not text or text not in str(caught.value)
    unreadable = "$2x$04$" + "." * 53
    await em.users.import_account({"username": "ada", "password_hash": unreadable})
    with pytest.raises(AuthenticationError):
        await em.users.login("ada", MARKER)


async def test_an_imported_account_is_as_it_was(em: EntityManager) -> None:
    user = await em.users.import_account(
        {"username": " Root ", "role": "admin", "is_active": False, "must_reset_password": True}
    )
    assert (user.username, user.role, user.is_active, user.must_reset_password) == ("Root", UserRole.ADMIN, False, True)
    assert (await em.users.require(user.id)).model_dump() == user.model_dump()
    assert (await em.identities.require(str(user.id))).display_name == "Root"


async def test_who_must_choose_a_new_password_gets_nothing_else(em: EntityManager) -> None:
    user = await em.users.register("ada", None, "first password")
    await em.users.set_password(user.id, "given password", must_reset=True)
    for wrong in ("first password", MARKER):
        with pytest.raises(AuthenticationError) as caught:
            await em.users.login("ada", wrong)
        assert type(caught.value) is AuthenticationError
    with pytest.raises(PasswordResetRequiredError) as required:
        await em.users.login("ada", "given password")
    assert required.value.user_id == user.id
    assert (await em.users.require(user.id)).last_login_at is None
    with pytest.raises(ValidationError):
        await em.users.change_password(user.id, "given password", "given password")
    changed = await em.users.change_password(user.id, "given password", MARKER)
    assert not changed.must_reset_password
    await em.users.login("ada", MARKER)


# What changes while a password is verified.


class Gate:
    """Holds verifications until something else has happened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arrived = threading.Event()
        self.opened = threading.Event()
        original = Argon2Hasher.verify

        def verify(hasher: Any, password: Any, stored: Any) -> bool:
            self.arrived.set()
            assert self.opened.wait(20)
            return bool(original(hasher, password, stored))

        monkeypatch.setattr(Argon2Hasher, "verify", verify)


@pytest.mark.parametrize("what", ["password", "deactivation", "deletion"])
async def test_what_happened_meanwhile_counts(em: EntityManager, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    user = await em.users.register("ada", None, MARKER)
    gate = Gate(monkeypatch)
    login = asyncio.create_task(em.users.login("ada", MARKER))
    await asyncio.to_thread(gate.arrived.wait, 20)
    if what == "password":
        await em.users.set_password(user.id, "another password")
    elif what == "deactivation":
        await em.users.deactivate(user.id)
    else:
        await em.users.delete(user.id)
    gate.opened.set()
    with pytest.raises(AuthenticationError):
        await login


async def test_of_racing_changes_of_one_password_one_wins(em: EntityManager) -> None:
    user = await em.users.register("ada", None, MARKER)
    outcomes = await asyncio.gather(
        *(em.users.change_password(user.id, MARKER, f"password-{n}") for n in range(16)), return_exceptions=True
    )
    (winner,) = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, BaseException)]
    assert all(isinstance(each, AuthenticationError) for n, each in enumerate(outcomes) if n != winner)
    await em.users.login("ada", f"password-{winner}")
    assert (await em.users.require(user.id)).version == 2


# Roles.


async def test_a_role_is_given_by_an_administrator_and_never_by_oneself(em: EntityManager) -> None:
    root = await em.users.register("root", None, MARKER)
    ada = await em.users.register("ada", None, MARKER)
    bob = await em.users.register("bob", None, MARKER)
    assert (await em.users.set_role(root.id, "admin", by=None)).role is UserRole.ADMIN
    for by in (ada.id, bob.id, uuid7(), "no key"):
        with pytest.raises(PermissionDeniedError):
            await em.users.set_role(ada.id, "admin", by=by)  # type: ignore[arg-type]
    with pytest.raises(PermissionDeniedError):
        await em.users.set_role(root.id, "user", by=root.id)
    with pytest.raises(ValidationError):
        await em.users.set_role(ada.id, "boss", by=root.id)
    with pytest.raises(NotFoundError):
        await em.users.set_role(uuid7(), "admin", by=root.id)
    assert (await em.users.set_role(ada.id, UserRole.ADMIN, by=root.id)).role is UserRole.ADMIN
    await em.users.deactivate(root.id)
    with pytest.raises(PermissionDeniedError):
        await em.users.set_role(bob.id, "admin", by=root.id)
    assert (await em.users.require(bob.id)).role is UserRole.USER
    (event,) = await em.events.find(event_type="user.role_changed", entity_id=str(ada.id))
    assert event.data == {"role": "admin", "by": str(root.id)}


# What nobody gets to see.


async def every_text(database: DatabaseManager) -> str:
    async with database.session(read_only=True) as session:
        connection = await session.connection()
        return "\n".join(
            [str(row) for table in metadata.sorted_tables for row in await connection.execute(table.select())]
        )


async def use_everything(em: EntityManager) -> list[str]:
    """Call every verb that takes a password, well and badly; returns what was shown."""
    user = await em.users.register("ada", "ada@example.org", MARKER)
    shown = [repr(user), str(user), repr(await em.users.login("ada", MARKER))]
    other = f"{MARKER}-2"
    shown.append(repr(await em.users.change_password(user.id, MARKER, other)))
    shown.append(repr(await em.users.set_password(user.id, MARKER, must_reset=True)))
    for bad in (
        em.users.login("ada", MARKER),
        em.users.login("ada", f"{MARKER}?"),
        em.users.login("nobody", MARKER),
        em.users.register("ada", None, MARKER),
        em.users.register("bob", None, MARKER, role=MARKER),
        em.users.register("bob", None, MARKER, preferences=MARKER),
        em.users.register("bob", None, MARKER * 100),
        em.users.register("bob", None, [MARKER]),  # type: ignore[arg-type]
        em.users.change_password(user.id, f"{MARKER}?", other),
        em.users.change_password(user.id, MARKER, MARKER),
        em.users.change_password(user.id, MARKER, MARKER * 100),
        em.users.set_password(user.id, MARKER * 100),
        em.users.set_password(uuid7(), MARKER),
        em.users.import_account({"username": "bob", "password_hash": MARKER}),
        em.users.create({"username": "bob", "password_hash": MARKER}),
        em.users.update(user.id, {"password_hash": MARKER}),
        em.users.update(user.id, {"password": MARKER}),
    ):
        try:
            shown.append(repr(await bad))
        except AgentSystemError as exc:
            cause: BaseException | None = exc
            while cause is not None:
                shown += [repr(cause), str(cause), repr(vars(cause))]
                cause = cause.__cause__ or cause.__context__
    return shown


async def test_a_password_is_nowhere(
    database: DatabaseManager, em: EntityManager, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        shown = await use_everything(em)
    for text in [*shown, caplog.text]:
        assert "cor-rect" not in text
    stored = await every_text(database)
    assert "user.password_changed" in stored
    assert "cor-rect" not in stored


async def test_a_repr_shows_no_hash(em: EntityManager) -> None:
    user = await em.users.register("ada", None, MARKER, preferences={"api_key": "sk-1"})
    assert user.password_hash is not None
    for text in (repr(user), str(user)):
        assert "ada" in text
        assert user.password_hash not in text
        assert "sk-1" not in text


@requires.database_file
async def test_a_password_is_in_no_file(database: DatabaseManager, em: EntityManager) -> None:
    await use_everything(em)
    counts = await count_in_files(database, "cor-rect", "user.password_changed")
    assert counts.pop("system.db-wal") > 0
    assert await count_in_files(database, "cor-rect") == {"system.db": 0, "system.db-shm": 0, "system.db-wal": 0}
