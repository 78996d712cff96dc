"""The system as a whole.

Its tables: user_identities, messages, memories (with memories_fts), queue, prompts, prompt_history,
capabilities_config, config, model_usage_stats, credit_balance, credit_alerts, logs, todos and schema_migrations; in
other versions also goals, todo_lists, todo_items, passive_memories, passive_listening_consent and model_timeouts.
"""

from __future__ import annotations

from agent_system.importers.legacy.description import System

__all__ = ["COACHARTIE"]

COACHARTIE = System(name="coachartie", title="Coach Artie (coachartie.db)", tables=())
