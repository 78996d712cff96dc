"""Hosts: the providers of models."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Host

__all__ = ["HostManager"]


class HostManager(Manager[Host]):
    """Hosts: the providers of models."""

    entity = Host
