"""`Scope`: to whom a facade is bound."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agent_system.errors import ValidationError
from agent_system.models.columns import Text, Uuid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.types import TypeEngine

__all__ = ["BIND_PREFIX", "BIND_TYPES", "Dimension", "Scope"]

# What the parameters of a scope are called in statements; no other parameter begins so.
BIND_PREFIX = "scope_"
UUID_LENGTH = 36


class Dimension(StrEnum):
    """What rows may belong to."""

    USER = "user"
    """An account; its identities on all platforms are the same person."""
    IDENTITY = "identity"
    """Somebody on one platform who has no account."""
    AGENT = "agent"
    GUILD = "guild"
    PROJECT = "project"
    SESSION = "session"


BIND_TYPES: Mapping[Dimension, TypeEngine[Any]] = MappingProxyType(
    {
        Dimension.USER: Uuid(),
        Dimension.IDENTITY: Text(),
        Dimension.AGENT: Uuid(),
        Dimension.GUILD: Text(),
        Dimension.PROJECT: Uuid(),
        Dimension.SESSION: Text(),
    }
)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """To whom a facade is bound; several dimensions narrow it further."""

    user: UUID | None = None
    identity: str | None = None
    agent: UUID | None = None
    guild: str | None = None
    project: UUID | None = None
    session: str | None = None

    @classmethod
    def of(
        cls,
        user_id: UUID | str | None = None,
        agent_id: UUID | str | None = None,
        guild_id: str | None = None,
        project_id: UUID | str | None = None,
        session: str | None = None,
    ) -> Scope:
        """Read the arguments of `EntityManager.scoped`.

        Raises:
            ValidationError: None was given, or one cannot be a key.
        """
        account = _uuid(user_id)
        if account is None and user_id is not None and not isinstance(user_id, str):
            message = f"user_id: a key of an account or an identity, not {type(user_id).__name__}"
            raise ValidationError(message, field="user_id", entity="Scope")
        scope = cls(
            user=account,
            identity=None if account is not None or user_id is None else str(user_id),
            agent=_required_uuid("agent_id", agent_id),
            guild=_text("guild_id", guild_id),
            project=_required_uuid("project_id", project_id),
            session=_text("session", session),
        )
        if not scope.values:
            message = "scoped() needs a user_id, an agent_id, a guild_id, a project_id or a session"
            raise ValidationError(message, field="user_id", entity="Scope")
        return scope

    @cached_property
    def values(self) -> Mapping[Dimension, UUID | str]:
        """The dimensions that are given, with whom they name."""
        given = {Dimension(field.name): getattr(self, field.name) for field in fields(self)}
        return MappingProxyType({dimension: value for dimension, value in given.items() if value is not None})

    @cached_property
    def dimensions(self) -> frozenset[Dimension]:
        """The dimensions that are given."""
        return frozenset(self.values)


def _uuid(value: Any) -> UUID | None:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or len(value) != UUID_LENGTH:
        return None
    try:
        return UUID(value)
    except ValueError:
        return None


def _required_uuid(field: str, value: Any) -> UUID | None:
    key = _uuid(value)
    if key is None and value is not None:
        message = f"{field}: {value!r} is no UUID"
        raise ValidationError(message, field=field, entity="Scope")
    return key


def _text(field: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        message = f"{field}: expected text, got {type(value).__name__}"
        raise ValidationError(message, field=field, entity="Scope")
    return value
