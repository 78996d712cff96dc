"""What an agent is doing."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AGENT_STATUS_LEGACY", "AgentStatus"]


class AgentStatus(StrEnum):
    """What an agent is doing now."""

    IDLE = "idle"
    THINKING = "thinking"
    CODING = "coding"
    TESTING = "testing"
    ERROR = "error"
    OFFLINE = "offline"


AGENT_STATUS_LEGACY: Mapping[str, AgentStatus] = spellings(
    active=AgentStatus.IDLE, deprecated=AgentStatus.OFFLINE, inactive=AgentStatus.OFFLINE
)
