"""Who uses the system: accounts, and the identities that people have on other platforms."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Relationship

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    json_object_field,
    meta_field,
    moment_field,
    reference,
    text_field,
    text_key,
    updated_at_field,
    uuid_key,
    version_field,
)
from agent_system.models.naming import keep_keys
from agent_system.types import Int64, JsonObject, UserRole

__all__ = ["ErasureReceipt", "User", "UserIdentity"]

UNSHOWN = frozenset({"password_hash", "preferences"})


class User(TableModel, table=True):
    """An account."""

    __tablename__ = "users"
    __table_args__ = (enum_check("role", UserRole),)

    id: UUID = uuid_key("Key of the user, a UUIDv7.")
    username_key: str = text_field(
        "The username as it is compared (casefolded), unique; kept with `username`.", None, unique=True
    )
    username: str = text_field("The name that the user logs in with, as it was typed.")
    email_key: str | None = text_field(
        "The e-mail address as it is compared (casefolded), unique; kept with `email`, null as it is.",
        None,
        unique=True,
    )
    email: str | None = text_field("E-mail address; null when none is known.", None)
    password_hash: str | None = text_field(
        "Hash of the password with its parameters (argon2, or bcrypt from a legacy system); null: no password works.",
        None,
    )
    must_reset_password: bool = flag_field("Whether the user has to choose a new password first.", default=False)
    first_name: str | None = text_field("First name; null when not given.", None)
    last_name: str | None = text_field("Last name; null when not given.", None)
    role: UserRole = enum_field(UserRole.USER, "What the user may do: user or admin.")
    is_active: bool = flag_field("Whether the user may log in.", default=True)
    preferences: JsonObject = json_object_field("The user's own settings.")
    last_login_at: datetime | None = moment_field("When the user last logged in; null: never.")
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()

    identities: list["UserIdentity"] = Relationship(
        sa_relationship_kwargs={"viewonly": True, "lazy": "raise", "order_by": "UserIdentity.id"}
    )

    def __repr_args__(self) -> Sequence[tuple[str | None, Any]]:
        """Return what repr and str show; hashes and preferences, which may hold secrets, have no place in a log."""
        return [(name, value) for name, value in super().__repr_args__() if name not in UNSHOWN]


keep_keys(User, "username", "email")


class UserIdentity(TableModel, table=True):
    """Somebody on some platform; each user has one whose id is the user's id as text."""

    __tablename__ = "user_identities"

    id: str = text_key("Key of the identity: any text that the platform gives.")
    user_id: UUID | None = reference(
        "users.id", "The account behind the identity; null when it is not linked.", ondelete="CASCADE", index=True
    )
    discord_id: str | None = text_field("Discord's user id; null when not known.", None, index=True)
    email_key: str | None = text_field(
        "The e-mail address as it is looked up (casefolded); kept with `email`, null as it is.", None, index=True
    )
    email: str | None = text_field("E-mail address; null when not known.", None, index=True)
    phone_number: str | None = text_field("Telephone number; null when not known.", None, index=True)
    display_name: str = text_field("How the person is called in a conversation.")
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


keep_keys(UserIdentity, "email")


class ErasureReceipt(TableModel, table=True):
    """That somebody was erased, and what that did; nobody can tell from it who it was."""

    __tablename__ = "erasure_receipts"

    id: UUID = uuid_key("Key of the receipt, a UUIDv7.")
    subject_digest: str = text_field(
        "SHA-256 of the user's key, hexadecimal: who still knows the key finds the receipt by it.", unique=True
    )
    counts: JsonObject = json_object_field("How many rows of each table were deleted, anonymised or unnamed.")
    created_at: datetime = created_at_field("When the user was erased, in UTC.")
    updated_at: datetime = updated_at_field()
