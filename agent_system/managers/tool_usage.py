"""Tool usage: every tool call from before it runs."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import ToolUsage

__all__ = ["ToolUsageManager"]


class ToolUsageManager(Manager[ToolUsage]):
    """Tool usage: every tool call from before it runs."""

    entity = ToolUsage
