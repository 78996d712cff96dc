"""Users: who may log in."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import User

__all__ = ["UserManager"]


class UserManager(Manager[User]):
    """Users: who may log in."""

    entity = User
