"""Identities: who somebody is on the platforms that they write from."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import UserIdentity

__all__ = ["IdentityManager"]


class IdentityManager(Manager[UserIdentity]):
    """Identities: who somebody is on the platforms that they write from."""

    entity = UserIdentity
