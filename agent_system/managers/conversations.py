"""Conversations: threads of messages with one or more heads."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Conversation

__all__ = ["ConversationManager"]


class ConversationManager(Manager[Conversation]):
    """Conversations: threads of messages with one or more heads."""

    entity = Conversation
