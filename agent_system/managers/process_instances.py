"""Process instances: one run of a process, with its state."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import ProcessInstance

__all__ = ["ProcessInstanceManager"]


class ProcessInstanceManager(Manager[ProcessInstance]):
    """Process instances: one run of a process, with its state."""

    entity = ProcessInstance
