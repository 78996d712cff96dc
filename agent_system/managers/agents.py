"""Agents: what they are told, what they can do, which tools they may use."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Agent

__all__ = ["AgentManager"]


class AgentManager(Manager[Agent]):
    """Agents: what they are told, what they can do, which tools they may use."""

    entity = Agent
    audited = "agent"
