"""Workspaces: where projects live; one is a user's default."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Workspace

__all__ = ["WorkspaceManager"]


class WorkspaceManager(Manager[Workspace]):
    """Workspaces: where projects live; one is a user's default."""

    entity = Workspace
