"""Events: what happened, to what, and because of what."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Event

__all__ = ["EventManager"]


class EventManager(Manager[Event]):
    """Events: what happened, to what, and because of what."""

    entity = Event
