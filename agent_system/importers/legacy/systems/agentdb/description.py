"""The system as a whole.

Its tables: users, agents, conversations, messages and projects, whose columns are in camel case; in later versions
also workspaces, long_term_memories, knowledge_sources, document_chunks and evaluations.
"""

from __future__ import annotations

from agent_system.importers.legacy.description import System

__all__ = ["AGENTDB"]

AGENTDB = System(name="agentdb", title="AgentDB9 (agentdb9.db)", tables=())
