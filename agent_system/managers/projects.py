"""Projects: what agents work on."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Project

__all__ = ["ProjectManager"]


class ProjectManager(Manager[Project]):
    """Projects: what agents work on."""

    entity = Project
