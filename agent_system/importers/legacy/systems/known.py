"""All systems that can be imported; a new one is a description of its own and a line here."""

from __future__ import annotations

from agent_system.importers.legacy.systems.tomcounsell.description import TOMCOUNSELL

__all__ = ["SYSTEMS"]

SYSTEMS = (TOMCOUNSELL,)
