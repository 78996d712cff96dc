"""Accounts: who may log in, as what, and with which password."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.errors import (
    AuthenticationError,
    PasswordResetRequiredError,
    PermissionDeniedError,
    ValidationError,
)
from agent_system.managers.core.base import Manager
from agent_system.managers.core.validation import RowValidator
from agent_system.managers.users.credentials import Credentials
from agent_system.managers.users.passwords import Passwords
from agent_system.models import User
from agent_system.types import UserRole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from agent_system.database.executor import Executor

__all__ = ["AccountManager"]

# What somebody may say about themselves when they register; nothing else gets into an account from outside.
REGISTRATION = frozenset({"first_name", "last_name", "preferences"})


class AccountManager(Manager[User]):
    """The verbs of `em.users` that decide who may log in, as what, and with which password."""

    entity = User
    hot = True
    kept = frozenset({"password_hash", "must_reset_password", "role", "is_active", "last_login_at"})

    # Registering and logging in.

    async def register(self, username: str, email: str | None, password: str, **fields: Any) -> User:
        """Make an account that may log in with this password, as an ordinary user.

        Args:
            username: The name; it must not look like somebody else's address.
            email: The address; None when none is known.
            password: The password; at least `password_min_length` characters, any of them.
            fields: first_name, last_name and preferences; nothing else is taken.

        Raises:
            ValidationError: A value was refused, or a field may not be given.
            DuplicateKeyError: The name or the address is taken; `field` tells which.
        """
        refused = next((name for name in fields if name not in REGISTRATION), None)
        if refused is not None:
            message = f"users.{refused}: cannot be chosen when registering"
            raise ValidationError(message, field=refused, entity=self.store.name)
        self._passwords.check(password)
        values = self.new_values({"username": username, "email": email, **fields})
        _check_names(values)
        values["password_hash"] = await self._passwords.hash(password)
        insert, event = self.insertion(values), self._credentials.registered(values["id"])

        def work(executor: Executor) -> None:
            insert(executor)
            self._credentials.write(executor, event)

        await self.run(work, values)
        return self.plans.hydrate.build(values)

    async def login(self, name_or_email: str, password: str) -> User:
        """Return the active user with this name or address and this password; the login is noted.

        An unknown name costs as much as a wrong password. A hash that was made with other parameters than today's, or
        with a legacy system's bcrypt, is replaced.

        Raises:
            AuthenticationError: No such account, or deactivated, or a wrong password; nobody learns which.
            PasswordResetRequiredError: All is right, but the user has to choose a new password: see `change_password`.
        """
        account = await self._find_account(name_or_email)
        verdict = await self._passwords.verify(password, None if account is None else account["password_hash"])
        if account is None or not verdict.matches or not account["is_active"]:
            raise AuthenticationError
        if account["must_reset_password"]:
            raise PasswordResetRequiredError(user_id=account["id"])
        return self._authenticated(await self.run(self._credentials.logged_in(account, verdict.new_hash)))

    async def change_password(self, id: UUID, old: str, new: str) -> User:  # noqa: A002
        """Let a user replace their password.

        Raises:
            AuthenticationError: There is no such account, it is deactivated or the old password is wrong.
            ValidationError: The new password is too short, too long or the old one.
        """
        self._passwords.check(new, "new")
        row = await self.get_by_id(id)
        account = None if row is None else row.model_dump(include={"id", "password_hash", "is_active"})
        verdict = await self._passwords.verify(old, None if account is None else account["password_hash"])
        if account is None or not verdict.matches or not account["is_active"]:
            raise AuthenticationError
        if old == new:
            message = "new: it is the old password"
            raise ValidationError(message, field="new", entity=self.store.name)
        new_hash = await self._passwords.hash(new)
        return self._authenticated(await self.run(self._credentials.changed_password(account, new_hash)))

    # What others decide about an account.

    async def set_password(self, id: UUID, password: str, *, must_reset: bool = False) -> User:  # noqa: A002
        """Give a user a password without asking for the old one; who calls this has made sure that they may.

        Args:
            id: Key of the user.
            password: The new password.
            must_reset: Whether the user has to replace it before they can log in.

        Raises:
            NotFoundError: There is no such user.
            ValidationError: The password is too short or too long.
        """
        self._passwords.check(password)
        changes = {"password_hash": await self._passwords.hash(password), "must_reset_password": must_reset}
        return await self._change_account(id, changes, "password_changed")

    async def activate(self, id: UUID) -> User:  # noqa: A002
        """Let a user log in again.

        Raises:
            NotFoundError: There is no such user.
        """
        return await self._change_account(id, {"is_active": True}, "activated")

    async def deactivate(self, id: UUID) -> User:  # noqa: A002
        """Let a user no longer log in; nothing of theirs is lost.

        Raises:
            NotFoundError: There is no such user.
        """
        return await self._change_account(id, {"is_active": False}, "deactivated")

    async def set_role(self, id: UUID, role: UserRole | str, *, by: UUID | None) -> User:  # noqa: A002
        """Say what a user may do.

        Args:
            id: Key of the user.
            role: The role.
            by: The user who decides it: an active administrator, never the user themselves. None is the program itself,
                such as a script that makes the first administrator.

        Raises:
            NotFoundError: There is no such user.
            PermissionDeniedError: Who decides may not.
            ValidationError: There is no such role.
        """
        if role not in set(UserRole):
            message = f"users.role: there are the roles {', '.join(UserRole)}"
            raise ValidationError(message, field="role", entity=self.store.name)
        user_id = self.store.keys.existing(id)["id"]
        decider = None if by is None else self.store.keys.possible(by)
        data = {"role": UserRole(role), "by": None if by is None else str(by)}
        change = self._credentials.changed(user_id, {"role": UserRole(role)}, "role_changed", **data)

        def work(executor: Executor) -> dict[str, Any]:
            if by is not None:
                found = None if decider is None else self.store.get(executor, decider, lock=True)
                if found is None or not found["is_active"] or found["role"] is not UserRole.ADMIN:
                    message = "only an active administrator may change a role"
                    raise PermissionDeniedError(message)
                if found["id"] == user_id:
                    message = "nobody may change their own role"
                    raise PermissionDeniedError(message)
            return change(executor)

        return self.plans.hydrate.build(await self.run(work))

    async def import_account(self, data: Mapping[str, Any]) -> User:
        """Write an account as another system had it, with its role, its state and the hash of its password.

        For importers and set-up scripts; data that a client sent belong into `register`.

        Args:
            data: Any columns; `password_hash` is argon2's or bcrypt's. Who had another one gets none, and
                `must_reset_password`.

        Raises:
            ValidationError: The data were refused.
            DuplicateKeyError: The name or the address is taken.
        """
        values = RowValidator(self.plans).create_values(data)
        hashed = values["password_hash"]
        if hashed is not None and not self._passwords.is_hash(hashed):
            message = "users.password_hash: neither a hash of argon2 nor one of bcrypt"
            raise ValidationError(message, field="password_hash", entity=self.store.name)
        self.normalise(values)
        self.fill_in(values)
        await self.run(self.insertion(values), values)
        return self.plans.hydrate.build(values)

    async def _find_account(self, name_or_email: Any) -> dict[str, Any] | None:
        if not isinstance(name_or_email, str):
            return None
        rows = await self._db.fetch(self._credentials.find_plan, self._credentials.find_parameters(name_or_email))
        return self.plans.hydrate.decode(rows[0]) if rows else None

    def _authenticated(self, account: dict[str, Any] | None) -> User:
        if account is None:
            # Deactivated, or given another password, while this one was being verified.
            raise AuthenticationError
        return self.plans.hydrate.build(account)

    async def _change_account(self, id_: UUID, changes: Mapping[str, Any], event_type: str) -> User:
        user_id = self.store.keys.existing(id_)["id"]
        return self.plans.hydrate.build(await self.run(self._credentials.changed(user_id, changes, event_type)))

    @cached_property
    def _credentials(self) -> Credentials:
        return Credentials(self.store, self._clock)

    @cached_property
    def _passwords(self) -> Passwords:
        return Passwords(self._db.settings)


def _check_names(values: Mapping[str, Any]) -> None:
    """Keep a name from looking like somebody else's address, under which they log in."""
    email = values["email"]
    if email is not None and "@" not in email:
        message = "users.email: an address has an @"
        raise ValidationError(message, field="email", entity="User")
    if "@" in values["username"] and values["username_key"] != values["email_key"]:
        message = "users.username: only the user's own address may have an @"
        raise ValidationError(message, field="username", entity="User")
