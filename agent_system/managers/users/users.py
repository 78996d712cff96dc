"""Users: accounts whose names and addresses are unique without regard to case."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.users.identities import IdentityWriter, identity_writer
from agent_system.models import User
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.database.executor import Executor

__all__ = ["UserManager"]


class UserManager(Manager[User]):
    """Users: accounts whose names and addresses are unique without regard to case.

    A new user gets an identity in the same transaction; its id is the user's own, as text.
    """

    entity = User
    hot = True

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)

    def normalise(self, values: dict[str, Any]) -> None:
        """Take the blanks around names and addresses away; refuse what is nothing but blanks.

        Raises:
            ValidationError: A name or an address is blank.
        """
        for key in ("username", "email"):
            text = values.get(key)
            if text is None:
                continue
            values[key] = text.strip()
            if not values[key]:
                message = f"users.{key} is blank"
                raise ValidationError(message, field=key, entity=self.store.name)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """Write the user and their own identity."""
        insert = super().insertion(values, audit=audit)
        account = {"user_id": values["id"], "email": values["email"], "display_name": values["username"]}
        own = str(values["id"])
        write_identity = self._identities.prepare({"id": own, **account})

        def write(executor: Executor) -> None:
            insert(executor)
            if not write_identity(executor):
                # A message of theirs came before the account.
                self._identities.adopt(executor, own, account)

        return write

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Let the user's own identity follow a new name or address."""
        if "username" in changes or "email" in changes:
            after = before | changes
            self._identities.follow(
                executor,
                str(before["id"]),
                {"display_name": before["username"], "email": before["email"]},
                {"display_name": after["username"], "email": after["email"]},
            )

    async def get_by_username(self, username: str) -> User | None:
        """Return the user of this name, whatever the case, or None."""
        return await self.find_one(username_key=name_key(username))

    async def get_by_email(self, email: str) -> User | None:
        """Return the user with this e-mail address, whatever the case, or None."""
        return await self.find_one(email_key=name_key(email))
