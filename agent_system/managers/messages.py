"""Messages: what was said, in the order in which it was said."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Message

__all__ = ["MessageManager"]


class MessageManager(Manager[Message]):
    """Messages: what was said, in the order in which it was said."""

    entity = Message
