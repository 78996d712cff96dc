"""Processes: frameworks that tell how a kind of work is done."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Process

__all__ = ["ProcessManager"]


class ProcessManager(Manager[Process]):
    """Processes: frameworks that tell how a kind of work is done."""

    entity = Process
    audited = "process"
