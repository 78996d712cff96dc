"""Who used AgentDB9, and whose its rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.accounts import account, must_reset_password, password_hash
from agent_system.importers.legacy.conflicts import Abandon, Suffix
from agent_system.importers.legacy.converters import NOW, OWN_ID, flag, moment, text, word
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.keeping import metadata
from agent_system.importers.legacy.references import reference_key
from agent_system.importers.legacy.values import UnreadableError, to_json, to_text
from agent_system.types import UserRole

if TYPE_CHECKING:
    from agent_system.importers.legacy.converters import Converter
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["CREATED", "NAME", "TABLES", "UPDATED", "owner", "owner_of", "owner_to_remember"]

NAME = "agentdb"
CREATED = moment("createdAt", "updatedAt", NOW)
UPDATED = moment("updatedAt", "createdAt", NOW)
UNREADABLE = "unreadable"


def owner(row: SourceRow) -> Any:
    """The account of whoever a row belongs to; one that is gone gets an account that nobody can log in to.

    Without an owner an agent or a project would belong to everybody.
    """
    value = row.raw.get("userId")
    if reference_key(value) is None:
        return None
    found = row.reading.references.find("users", value)
    if found is None:
        row.lose_reference("userId", "users")
        return account(NAME, value)
    return found


def owner_to_remember(source: str) -> Converter:
    """The owner of a row, whose parts are theirs, too; see `owner_of`."""

    def convert(row: SourceRow) -> Any:
        key = reference_key(row.raw.get("id"))
        known = row.reading.references.find("users", row.raw.get("userId"))
        if known is not None:
            row.reading.references.add(f"{source}.userId", [(key, known)])
        return owner(row)

    return convert


def owner_of(name: str, source: str) -> Converter:
    """The identity of the owner of the row that a column refers to; None when it has none that is here."""

    def convert(row: SourceRow) -> str | None:
        found = row.reading.references.find(f"{source}.userId", row.raw.get(name))
        return None if found is None else str(found)

    return convert


def _preferences(row: SourceRow) -> dict[str, Any]:
    """The preferences; what is no JSON object stays among them, because it may hold keys of providers."""
    value = row.raw.get("preferences")
    if value is None or value == "":
        return {}
    try:
        found = to_json(value)[0]
    except UnreadableError:
        found = to_text(value)[0]
    if isinstance(found, dict):
        return found
    if found is None:
        return {}
    row.mend("preferences", f"is no JSON object, now under the key {UNREADABLE!r}", keep=False)
    return {UNREADABLE: found}


def _email(row: SourceRow) -> str | None:
    found = text("email", empty=False)(row)
    if found is not None and found != found.strip():
        row.mend("email", "blanks around it")
    return None if found is None else found.strip()


USERS = Table(
    source="users",
    target="users",
    identity=("id", "createdAt"),
    needs=frozenset({"username", "password", "isActive"}),
    secrets=frozenset({"password", "preferences"}),
    columns={
        "id": OWN_ID,
        "username": text("username", "(no name)", empty=False),
        "email": _email,
        "password_hash": password_hash("password"),
        "must_reset_password": must_reset_password("password"),
        "first_name": text("firstName"),
        "last_name": text("lastName"),
        "role": word("role", UserRole, UserRole.USER),
        "is_active": flag("isActive", default=True),
        "preferences": _preferences,
        "last_login_at": moment("lastLoginAt"),
        "created_at": CREATED,
        "updated_at": UPDATED,
        "meta": metadata(
            (
                "email",
                "username",
                "password",
                "firstName",
                "lastName",
                "role",
                "isActive",
                "preferences",
                "lastLoginAt",
                "createdAt",
                "updatedAt",
            )
        ),
    },
    conflicts=(
        Suffix(column="username"),
        Abandon(
            on=("email_key",),
            changes={"email": None, "email_key": None},
            why="another account has this address, now empty",
        ),
    ),
)
TABLES = (USERS,)
