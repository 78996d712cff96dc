"""Who used AMIGA: accounts of its web chat, and the owners of tasks, whom it knew by the number of a platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.accounts import account, account_identity, must_reset_password, password_hash
from agent_system.importers.legacy.conflicts import Abandon, Suffix
from agent_system.importers.legacy.converters import NOW, OWN_ID, flag, moment, text
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.keeping import metadata
from agent_system.importers.legacy.references import reference_key
from agent_system.types import UserRole

if TYPE_CHECKING:
    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["NAME", "TABLES", "owner", "owner_identity"]

NAME = "agentlab"

_is_admin = flag("is_admin", default=False)


def owner(row: SourceRow) -> Any:
    """The account of whoever a row belongs to; a number of the platform gets one that nobody can log in to yet."""
    value = row.raw.get("user_id")
    return None if reference_key(value) is None else _known(row, value) or account(NAME, value)


def owner_identity(row: SourceRow) -> Any:
    """The identity of whoever a row belongs to."""
    value = row.raw.get("user_id")
    if reference_key(value) is None:
        return None
    known = _known(row, value)
    return account_identity(NAME, value) if known is None else str(known)


def _known(row: SourceRow, value: Any) -> Any:
    return row.reading.references.find("users", value)


def _role(row: SourceRow) -> UserRole:
    return UserRole.ADMIN if _is_admin(row) else UserRole.USER


USERS = Table(
    source="users",
    target="users",
    identity=("user_id",),
    key=("user_id",),
    needs=frozenset({"username", "password_hash"}),
    secrets=frozenset({"password_hash"}),
    columns={
        "id": OWN_ID,
        "username": text("username", "(no name)", empty=False),
        "email": text("email", empty=False),
        "password_hash": password_hash("password_hash"),
        "must_reset_password": must_reset_password("password_hash"),
        "role": _role,
        "created_at": moment("created_at", NOW),
        "meta": metadata(("username", "email", "password_hash", "is_admin", "created_at")),
    },
    # They told admin and Admin apart.
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
