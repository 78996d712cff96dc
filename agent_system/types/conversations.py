"""The words of conversations and messages."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONVERSATION_STATUS_LEGACY",
    "FEEDBACK_RATING_LEGACY",
    "MESSAGE_PRIORITY_LEGACY",
    "MESSAGE_ROLE_LEGACY",
    "ConversationStatus",
    "FeedbackRating",
    "MessageRole",
    "StreamingState",
]


class ConversationStatus(StrEnum):
    """Whether a conversation is shown in lists."""

    ACTIVE = "active"
    ARCHIVED = "archived"


CONVERSATION_STATUS_LEGACY: Mapping[str, ConversationStatus] = spellings(
    open=ConversationStatus.ACTIVE, closed=ConversationStatus.ARCHIVED, deleted=ConversationStatus.ARCHIVED
)


class MessageRole(StrEnum):
    """Who speaks: seed 004's agent and the chat APIs' assistant are both kept as they are."""

    USER = "user"
    ASSISTANT = "assistant"
    AGENT = "agent"
    SYSTEM = "system"
    TOOL = "tool"
    DEVELOPER = "developer"


MESSAGE_ROLE_LEGACY: Mapping[str, MessageRole] = spellings(
    human=MessageRole.USER,
    ai=MessageRole.ASSISTANT,
    bot=MessageRole.ASSISTANT,
    model=MessageRole.ASSISTANT,
    function=MessageRole.TOOL,
)


# Seed 001 sorts its four words alphabetically; as numbers, higher is first.
MESSAGE_PRIORITY_LEGACY: Mapping[str, int] = spellings(low=-1, normal=0, high=1, urgent=2)


class StreamingState(StrEnum):
    """Whether a message's text is still growing: `none` was never streamed, `interrupted` is what a crash left."""

    NONE = "none"
    STREAMING = "streaming"
    COMPLETE = "complete"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


class FeedbackRating(StrEnum):
    """What a person thinks of a message."""

    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"


FEEDBACK_RATING_LEGACY: Mapping[str, FeedbackRating] = spellings(
    down=FeedbackRating.NEGATIVE,
    dislike=FeedbackRating.NEGATIVE,
    none=FeedbackRating.NEUTRAL,
    up=FeedbackRating.POSITIVE,
    like=FeedbackRating.POSITIVE,
)
