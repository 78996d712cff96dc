"""The system as a whole: the five tables of its document, and of what came later those that have a place here."""

from __future__ import annotations

from agent_system.importers.legacy.description import System
from agent_system.importers.legacy.systems.agentdb import agents, conversations, people

__all__ = ["AGENTDB"]

REBUILT = "made of sources outside of the database, from which it can be made again"
EVALUATION = "measurements of its models, for which there is no table here"

AGENTDB = System(
    name=people.NAME,
    title="AgentDB9 (agentdb9.db)",
    tables=(*people.TABLES, *agents.TABLES, *conversations.TABLES),
    left_out={
        "knowledge_sources": REBUILT,
        "document_chunks": REBUILT,
        "project_contexts": REBUILT,
        "evaluation_ground_truth": EVALUATION,
        "evaluation_results": EVALUATION,
        "evaluation_batches": EVALUATION,
        "evaluation_cache": EVALUATION,
        "migrations": "their migrations, which say nothing about the rows",
        "typeorm_metadata": "what TypeORM knows of its views",
    },
)
