"""Identities: the same person on several platforms."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, literal_column, or_

from agent_system.errors import ConflictError, DuplicateKeyError, NotFoundError, ValidationError
from agent_system.managers.core.audit import AuditTrail
from agent_system.managers.core.base import Manager
from agent_system.managers.users.identity_merge import IdentityMerge, MergedIdentities
from agent_system.managers.users.identity_writer import IdentityWriter
from agent_system.models import UserIdentity
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    import builtins
    from uuid import UUID

    from agent_system.database.executor import Executor

__all__ = ["IdentityManager"]

ENTITY_TYPE = "identity"
# By how much each tells who somebody is: the first that leads to an identity wins.
PLATFORM_KEYS = ("id", "discord_id", "email", "phone_number")


class IdentityManager(Manager[UserIdentity]):
    """Identities: the same person on several platforms.

    Each user has one whose id is the user's own, as text. Messages refer to identities, and one that they name for the
    first time is made with them. Linking identities to an account makes them one person; who links one has made sure
    that it is theirs.

    Example:
        >>> identity = await em.identities.ensure("discord:42", "Ada", discord_id="42")
        >>> await em.identities.link(identity.id, user.id)
        >>> await em.messages.create({"role": "user", "content": "Hello", "user_id": identity.id})
    """

    entity = UserIdentity

    @cached_property
    def writer(self) -> IdentityWriter:
        """What makes identities inside other units of work."""
        return IdentityWriter(self.store)

    async def ensure(self, id: str, display_name: str | None = None, **platform_keys: str) -> UserIdentity:  # noqa: A002
        """Return the identity with this id, made if it is not there; two callers at once get the same one.

        Args:
            id: Any text that the platform gives.
            display_name: How a new one is called; None is its id.
            platform_keys: discord_id, email or phone_number: an identity that has one of them is returned instead of
                making another one, which would get them.

        Raises:
            ValidationError: The id is no text.
        """
        found = await self.resolve(id, **platform_keys) if platform_keys else await self.get_by_id(id)
        if found is not None:
            return found
        data = {"id": id, **platform_keys}
        write = self.writer.prepare(data if display_name is None else data | {"display_name": display_name})

        def work(executor: Executor) -> dict[str, Any] | None:
            write(executor)
            return self.store.get(executor, {"id": id})

        values = await self.run(work)
        if values is None:
            raise NotFoundError(self.store.name, id)
        return self.plans.hydrate.build(values)

    # Finding.

    async def resolve(
        self,
        id: str | None = None,  # noqa: A002
        *,
        discord_id: str | None = None,
        email: str | None = None,
        phone_number: str | None = None,
    ) -> UserIdentity | None:
        """Return the identity that one of these leads to, or None: what to write and to read under.

        The id wins over the Discord id, that over the address (whatever its case), that over the telephone number; of
        several identities one with an account, then the oldest.

        Raises:
            ValidationError: Nothing was given, or something that is no text.
        """
        given: dict[str, Any] = {"id": id, "discord_id": discord_id, "email": email, "phone_number": phone_number}
        columns = self.plans.columns
        matches = []
        for key in PLATFORM_KEYS:
            value = given[key]
            if value is None:
                continue
            if not isinstance(value, str):
                message = f"user_identities.{key}: expected text, got {type(value).__name__}"
                raise ValidationError(message, field=key, entity=self.store.name)
            matches.append(columns["email_key"] == name_key(value) if key == "email" else columns[key] == value)
        if not matches:
            message = "resolve() needs an id, a discord_id, an email or a phone_number"
            raise ValidationError(message, field="id", entity=self.store.name)
        ranks: builtins.list[Any] = [(match, literal_column(str(rank))) for rank, match in enumerate(matches)]
        best_first = (case(*ranks), columns["user_id"].is_(None), columns["created_at"], columns["id"])
        rows = await self.select(self.query().where(or_(*matches)).order_by(*best_first).limit(1))
        return rows[0] if rows else None

    async def of_user(self, user_id: UUID) -> builtins.list[UserIdentity]:
        """Return all identities of an account, in the order of their ids: whose messages and memories are theirs."""
        return await self.find(user_id=user_id)

    # Linking.

    async def link(self, id: str, user_id: UUID) -> UserIdentity:  # noqa: A002
        """Say whose identity it is; one that is not there yet is made.

        Raises:
            NotFoundError: There is no such user.
            ConflictError: It is somebody else's already.
            ValidationError: The id is no text.
        """
        make = self.writer.prepare({"id": id})
        user_key = self.store.validator.change_values({"user_id": user_id})["user_id"]
        event = self._trail.parameters("linked", id, data={"user_id": str(user_key)})

        def work(executor: Executor) -> dict[str, Any]:
            make(executor)
            before = self.store.get(executor, {"id": id}, lock=True)
            if before is None:
                raise NotFoundError(self.store.name, id)
            if before["user_id"] == user_key:
                return before
            if before["user_id"] is not None:
                message = f"the identity {id!r} belongs to another user; unlink it there first"
                raise ConflictError(message, entity=self.store.name, entity_id=id)
            after = self.store.change(executor, {"id": id}, {"user_id": user_key})
            self._trail.write(executor, event)
            return after

        return self.plans.hydrate.build(await self.run(work, {"user_id": user_key}))

    async def unlink(self, id: str) -> UserIdentity:  # noqa: A002
        """Take an identity from its account; what was written under it stays under it.

        Raises:
            NotFoundError: There is no such identity.
            ValidationError: It is the one that every account has.
        """
        key = self.store.keys.existing(id)
        event = self._trail.parameters("unlinked", id)

        def work(executor: Executor) -> dict[str, Any]:
            before = self.store.get(executor, key, lock=True)
            if before is None:
                raise NotFoundError(self.store.name, id)
            if before["user_id"] is None:
                return before
            if str(before["user_id"]) == before["id"]:
                message = "the identity with the user's own id stays with the account"
                raise ValidationError(message, field="id", entity=self.store.name)
            after = self.store.change(executor, key, {"user_id": None})
            self._trail.write(executor, event)
            return after

        return self.plans.hydrate.build(await self.run(work))

    async def merge(self, from_id: str, into_id: str) -> MergedIdentities:
        """Move everything that refers to one identity to another one, and remove the first: all of it or nothing.

        The one that stays keeps its name and gets what it does not have: an address, a number, an account. Of what a
        person has one of, the one that was changed last stays: an opinion on a message (the other is deleted), an
        active game of a type (the other is abandoned). Lists of one name become one.

        Raises:
            NotFoundError: One of them is not there.
            ValidationError: They are the same, or the first is the one that an account cannot be without.
            ConflictError: They belong to two accounts, or meanwhile got something of which a person has one.
        """
        from_key, into_key = self.store.keys.existing(from_id), self.store.keys.existing(into_id)
        event = self._trail.parameters("merged", into_id, data={"from": from_id})

        def work(executor: Executor) -> MergedIdentities:
            merged = self._merge.run(executor, from_key["id"], into_key["id"])
            self._trail.write(executor, event)
            return merged

        try:
            return await self.run(work)
        except DuplicateKeyError as exc:
            message = f"both identities have something of which a person has one: {exc}"
            raise ConflictError(message, entity=self.store.name, entity_id=from_id) from exc

    @cached_property
    def _merge(self) -> IdentityMerge:
        return IdentityMerge(self.store)

    @cached_property
    def _trail(self) -> AuditTrail:
        return AuditTrail(ENTITY_TYPE, self._db.dialect, self._clock)
