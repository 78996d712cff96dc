"""Tools: the registry of what agents can call."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Tool

__all__ = ["ToolManager"]


class ToolManager(Manager[Tool]):
    """Tools: the registry of what agents can call."""

    entity = Tool
    audited = "tool"
