"""All systems that can be imported; a new one is a description of its own and a line here."""

from __future__ import annotations

from agent_system.importers.legacy.systems.agentdb.description import AGENTDB
from agent_system.importers.legacy.systems.agentlab.description import AGENTLAB
from agent_system.importers.legacy.systems.coachartie.description import COACHARTIE
from agent_system.importers.legacy.systems.the_system.description import THE_SYSTEM
from agent_system.importers.legacy.systems.tomcounsell.description import TOMCOUNSELL

__all__ = ["SYSTEMS"]

SYSTEMS = (
    TOMCOUNSELL,
    THE_SYSTEM,
    AGENTLAB,
    COACHARTIE,
    AGENTDB,
)
