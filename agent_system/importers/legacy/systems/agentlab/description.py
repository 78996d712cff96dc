"""The system as a whole.

Its tables: schema_version, tasks, tool_usage, agent_status, games, files, users, documents (from schema 13 on) and
messages (of its analytics, outside the version chain).
"""

from __future__ import annotations

from agent_system.importers.legacy.description import System

__all__ = ["AGENTLAB"]

AGENTLAB = System(name="agentlab", title="AMIGA (agentlab.db)", tables=())
