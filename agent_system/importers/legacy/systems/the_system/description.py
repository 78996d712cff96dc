"""The system as a whole: what is referred to first."""

from __future__ import annotations

from agent_system.importers.legacy.description import System
from agent_system.importers.legacy.systems.the_system import agents, events, tasks

__all__ = ["THE_SYSTEM"]

THE_SYSTEM = System(
    name="the_system",
    title="the-system (agent_system.db)",
    tables=(*agents.TABLES, *tasks.TABLES, *events.TABLES),
    left_out={"schema_migrations": "what its own runner has done"},
)
