"""Chat states: how far each chat has been read, and when the agent was there."""

from __future__ import annotations

from agent_system.managers.core.base import Manager
from agent_system.models import ChatState

__all__ = ["ChatStateManager"]


class ChatStateManager(Manager[ChatState]):
    """Chat states: how far each chat has been read."""

    entity = ChatState

    async def get_by_chat(self, chat_id: int) -> ChatState | None:
        """Return the state of a chat, or None."""
        return await self.find_one(chat_id=chat_id)
