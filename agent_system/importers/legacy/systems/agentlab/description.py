"""The system as a whole: its schema 14, 13 and what came before, which lacks tables and columns."""

from __future__ import annotations

from agent_system.importers.legacy.description import System
from agent_system.importers.legacy.systems.agentlab import people, records, tasks

__all__ = ["AGENTLAB"]

AGENTLAB = System(
    name=people.NAME,
    title="AMIGA (agentlab.db)",
    tables=(*people.TABLES, *tasks.TABLES, *records.TABLES),
    left_out={"schema_version": "the number of their schema, which says nothing about the rows"},
)
