"""Effects: what jobs do outside of the database, written down before it is done."""

from __future__ import annotations

from agent_system.managers.core.base import Manager
from agent_system.models import Effect

__all__ = ["EffectManager"]


class EffectManager(Manager[Effect]):
    """Effects: what jobs do outside of the database."""

    entity = Effect
