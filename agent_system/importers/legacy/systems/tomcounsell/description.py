"""The system as a whole; each of its files holds some of the tables."""

from __future__ import annotations

from agent_system.importers.legacy.description import System
from agent_system.importers.legacy.systems.tomcounsell import links, system, token_usage

__all__ = ["TOMCOUNSELL"]

TOMCOUNSELL = System(
    name="tomcounsell",
    title="tomcounsell/ai (token_usage.db, links.db, system.db)",
    tables=(*token_usage.TABLES, *links.TABLES, *system.TABLES),
    left_out=system.LEFT_OUT,
)
