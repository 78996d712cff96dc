"""The system as a whole, with and without what later versions added."""

from __future__ import annotations

from agent_system.importers.legacy.description import System
from agent_system.importers.legacy.systems.coachartie import costs, memories, people, setup, work

__all__ = ["COACHARTIE"]

COACHARTIE = System(
    name="coachartie",
    title="Coach Artie (coachartie.db)",
    tables=(*people.TABLES, *memories.TABLES, *setup.TABLES, *work.TABLES, *costs.TABLES),
    left_out={
        "schema_migrations": "their migrations, which say nothing about the rows",
        "model_timeouts": "for how long models were passed over, which is past",
        "passive_listening_consent": "consent is to be given to whoever listens: it has to be asked for again",
    },
)
