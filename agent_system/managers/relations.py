"""Relations: typed, weighted links between entities."""

from __future__ import annotations

from agent_system.managers.base import Manager
from agent_system.models import EntityRelationship

__all__ = ["RelationManager"]


class RelationManager(Manager[EntityRelationship]):
    """Relations: typed, weighted links between entities."""

    entity = EntityRelationship
