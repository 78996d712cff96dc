"""Token usage: the ledger of tokens and cost."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import TokenUsage

__all__ = ["TokenUsageManager"]


class TokenUsageManager(Manager[TokenUsage]):
    """Token usage: the ledger of tokens and cost."""

    entity = TokenUsage
