"""Whose a row is: passwords of old accounts, and accounts for owners whom the older system knew by a number only."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from pwdlib.hashers.bcrypt import BcryptHasher

from agent_system.errors import DuplicateKeyError
from agent_system.importers.legacy.columns import InColumns, SourcePage
from agent_system.importers.legacy.description import Placeholder
from agent_system.importers.legacy.references import reference_key
from agent_system.importers.legacy.rows import LEGACY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy.converters import Converter
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["account", "account_identity", "must_reset_password", "password_hash", "person"]

# A namespace of our own (RFC 9562, section 6.5): one owner of one older system has one account here.
ACCOUNTS = UUID("5c0a1f0e-3a57-4c0b-9a52-6d1f6f0b7c11")


def password_hash(name: str) -> Converter:
    """A hash of bcrypt, with which the user can log in once more; whatever else stands there is not taken over.

    A password in plain text, or a hash that is cut off, is neither stored nor repeated in the report.
    """

    def convert(row: SourceRow) -> str | None:
        value = row.raw.get(name)
        if is_hash(value):
            return str(value)
        if value is not None and value != "":
            row.mend(name, "is no hash that a password can be verified with, now empty: it must be reset", keep=False)
        return None

    return convert


def must_reset_password(name: str) -> Converter:
    """Whether there is no hash that the user could log in with."""
    return lambda row: not is_hash(row.raw.get(name))


def is_hash(value: Any) -> bool:
    """Whether a password can be verified against this text."""
    return isinstance(value, str) and BcryptHasher.identify(value)


def person(name: str, source: str | None = None) -> Converter:
    """The identity that a row belongs to; one that is not there is made, with nothing known of it but its id.

    Args:
        name: The column there.
        source: The table there that tells who the persons are; None, or not in the file: nobody is missed.
    """

    def convert(row: SourceRow) -> str | None:
        value = row.raw.get(name)
        if value is None:
            return None
        if value == "":
            row.mend(name, "is nobody")
            return None
        found = None if source is None else row.reading.references.find(source, value)
        if found is not None:
            return str(found)
        if source is not None and source in row.reading.tables:
            # Nothing is lost: the identity has the key that the row says.
            row.lose_reference(name, source, keep=False)
        return str(value)

    def column(page: SourcePage) -> Sequence[str | None]:
        values = page.column(name)
        find = page.reading.references.find
        known: dict[Any, str | None] = {None: None}
        for value in {value for value in values if value.__class__ is str and value}:
            found = value if source is None else find(source, value)
            if found is not None:
                known[value] = str(found)
        return [
            known[value] if value in known else page.convert(convert, position) for position, value in enumerate(values)
        ]

    return InColumns(convert, column)


@lru_cache(maxsize=10_000)
def account(system: str, owner: Any) -> Placeholder:
    """Stands for the account of an owner whom the older system knew by this value only.

    Nobody can log in to it until somebody gives it a password; without it the rows would be nobody's, or everybody's.
    """
    return Placeholder(partial(_account, system, owner))


@lru_cache(maxsize=10_000)
def account_identity(system: str, owner: Any) -> Placeholder:
    """Stands for the identity of such an account."""
    return Placeholder(partial(_identity, system, owner))


async def _account(system: str, owner: Any, em: EntityManager) -> UUID:
    key = uuid5(ACCOUNTS, f"{system}:{reference_key(owner)}")
    if await em.users.get_by_id(key) is None:
        base = username = f"{system}-{owner}".strip()
        number = 1
        while await em.users.get_by_username(username) is not None:
            # Somebody else's, who must not get what belongs to the old owner.
            number += 1
            username = f"{base} ({number})"
        try:
            await em.users.create({"id": key, "username": username, "meta": {LEGACY: {"system": system, "id": owner}}})
        except DuplicateKeyError:
            # Another import has made it in the meantime.
            if await em.users.get_by_id(key) is None:
                raise
    return key


async def _identity(system: str, owner: Any, em: EntityManager) -> str:
    return str(await _account(system, owner, em))
