"""Users: accounts whose names and addresses are unique without regard to case."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.database.transactions import current_transaction
from agent_system.errors import ValidationError
from agent_system.managers.audit.chain import ChainKeys
from agent_system.managers.audit.sealing import Sealer
from agent_system.managers.core.json_edits import merged
from agent_system.managers.core.store import RowStore
from agent_system.managers.privacy.erasure import Erasure
from agent_system.managers.privacy.export import export
from agent_system.managers.users.accounts import AccountManager
from agent_system.managers.users.identity_writer import IdentityWriter, identity_writer
from agent_system.managers.users.secret_box import SecretBox
from agent_system.models import ErasureReceipt
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.models import User

__all__ = ["UserManager"]


class UserManager(AccountManager):
    """Users: accounts whose names and addresses are unique without regard to case.

    A new user gets an identity in the same transaction; its id is the user's own, as text. Who may log in and as what
    is changed by verbs of its own: `create`, `update` and `upsert` refuse the role, the password's hash and the rest of
    it, so that a request's body can be passed on to them.

    Example:
        >>> await em.users.register("ada", "ada@example.org", password)
        >>> user = await em.users.login("Ada@Example.org", password)
    """

    # Preferences.

    async def update_preferences(self, id: UUID, patch: Mapping[str, Any]) -> User:  # noqa: A002
        """Merge a patch into the preferences: objects merge, None removes a key, everything else replaces.

        Raises:
            NotFoundError: There is no such user.
            ValidationError: The patch cannot be stored as JSON.
        """
        return await self.revise(id, lambda user: {"preferences": merged(user, "preferences", patch)})

    async def secrets(self, id: UUID) -> dict[str, Any]:  # noqa: A002
        """Return the secrets among a user's preferences in the clear, in the places that they have there.

        Raises:
            NotFoundError: There is no such user.
            ConfigurationError: A secret was sealed with a key that is not in AGENT_SYSTEM_SECRET_KEYS.
        """
        user = await self.require(id)
        return self._secret_box.reveal(user.id, user.preferences)

    async def reseal_secrets(self) -> int:
        """Encrypt the secrets of all users with the newest key, those in the clear too; returns how many users changed.

        Raises:
            ConfigurationError: A secret was sealed with a key that is not in AGENT_SYSTEM_SECRET_KEYS.
        """
        changed = 0
        async for user in self.iter():
            if self._secret_box.reseal(user.id, user.preferences) != user.preferences:
                await self.revise(user.id, self._resealed)
                changed += 1
        return changed

    # Being forgotten, and getting what is one's own.

    async def erase(self, id: UUID, *, rebuild: bool = False) -> ErasureReceipt:  # noqa: A002
        """Delete or anonymise all that is a user's, in one transaction, and then take it out of the files.

        `managers/privacy/registry.py` says what becomes of each table, and why. Erased again, the first receipt comes
        back. Inside of a transaction the files are left alone: call `db.scrub()` after it. Backups that were made
        before still hold everything.

        Args:
            id: Key of the user.
            rebuild: Write the file anew, so that nothing is left of what was changed or deleted before either.

        Raises:
            NotFoundError: There is no such user, and has not been one.
        """
        user_id = self.store.keys.existing(id)["id"]
        receipt = await self.run(self._erasure.of(user_id))
        if current_transaction(self._db) is None:
            await self._db.scrub(rebuild=rebuild)
        return self._receipts.plans.hydrate.build(receipt)

    async def export(self, id: UUID) -> AsyncIterator[str]:  # noqa: A002
        """Yield one JSON document, in pieces, with all that is a user's or was written by them, by table.

        It is read a page at a time, so that it takes little memory; what changes meanwhile may be in it or not. Hashes
        of passwords are not in it, sealed secrets stay sealed.

        Args:
            id: Key of the user.

        Raises:
            NotFoundError: There is no such user.
        """
        async for piece in export(self._db, self.store.keys.existing(id)["id"], self._clock()):
            yield piece

    # Finding.

    async def get_by_username(self, username: str) -> User | None:
        """Return the user of this name, whatever the case, or None."""
        return await self.find_one(username_key=name_key(username))

    async def get_by_email(self, email: str) -> User | None:
        """Return the user with this e-mail address, whatever the case, or None."""
        return await self.find_one(email_key=name_key(email))

    # Hooks.

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

    def fill_in(self, values: dict[str, Any]) -> None:
        """Seal the secrets among the preferences."""
        values["preferences"] = self._secret_box.seal(values["id"], values["preferences"])

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
        """Let the user's own identity follow a new name or address, and seal new secrets."""
        if "preferences" in changes:
            changes["preferences"] = self._secret_box.seal(before["id"], changes["preferences"])
        if "username" in changes or "email" in changes:
            after = before | changes
            self._identities.follow(
                executor,
                str(before["id"]),
                {"display_name": before["username"], "email": before["email"]},
                {"display_name": after["username"], "email": after["email"]},
            )

    def _resealed(self, user: Mapping[str, Any]) -> dict[str, Any]:
        preferences = self._secret_box.reseal(user["id"], user["preferences"])
        return {} if preferences == user["preferences"] else {"preferences": preferences}

    @cached_property
    def _receipts(self) -> RowStore[ErasureReceipt]:
        return RowStore(ErasureReceipt, self._db.dialect, self._clock)

    @cached_property
    def _erasure(self) -> Erasure:
        sealer = Sealer(ChainKeys(self._db.settings.audit_key), self._clock)
        return Erasure(self._receipts, self._db.dialect, self._clock, sealer)

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)

    @cached_property
    def _secret_box(self) -> SecretBox:
        return SecretBox(self._db.settings.secret_keys)
