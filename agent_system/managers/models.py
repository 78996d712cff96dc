"""Models: what a host offers, and what it costs."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import Model

__all__ = ["ModelManager"]


class ModelManager(Manager[Model]):
    """Models: what a host offers, and what it costs."""

    entity = Model
