"""Whose the rows of every table are; a table that is missing here cannot be reached by any scope."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from agent_system.managers.isolation.policies import (
    Column,
    Either,
    Identity,
    Parent,
    Policy,
    child,
    closed,
    open_to_all,
    owned,
)
from agent_system.managers.isolation.scope import Dimension

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["POLICIES"]

IN_CONVERSATION = Parent("conversation_id", "conversations")
OF_TASK = Parent("task_id", "tasks")
OF_IDENTITY = owned(user=Identity("user_id"))

# Who somebody is and what they may do is decided outside of any scope; they may change what they are called.
ACCOUNT = frozenset({"username", "username_key", "first_name", "last_name", "preferences"})
KEPT_BY_THE_LAYER = frozenset({"metadata", "version", "updated_at"})

POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        # Users.
        "users": replace(
            owned(user="id"), adds=False, deletes=False, changes=ACCOUNT | KEPT_BY_THE_LAYER, may_be_named=True
        ),
        "user_identities": replace(
            owned(user="user_id"),
            rules=MappingProxyType(dict(owned(user="user_id").rules) | {Dimension.IDENTITY: Column("id")}),
            adds=False,
            deletes=False,
            changes=frozenset({"display_name"}) | KEPT_BY_THE_LAYER,
            may_be_named=True,
        ),
        "erasure_receipts": closed(),
        # Agents and what they work with.
        "agents": owned(user="user_id", agent="id", shared=True),
        "agent_tools": child("agent_id", "agents", follows_shared=True),
        "agent_permissions": replace(child("agent_id", "agents", follows_shared=True), shared="agent_id"),
        "tools": open_to_all(),
        "context_documents": owned(user="user_id", shared=True),
        "context_document_keys": child("document_id", "context_documents", follows_shared=True),
        "document_versions": child("document_id", "context_documents", follows_shared=True),
        "knowledge_usage": owned(user="user_id", agent="agent_id", project=OF_TASK),
        "knowledge_gaps": owned(user="user_id", agent="agent_id", project=OF_TASK),
        "processes": open_to_all(),
        "process_instances": child("task_id", "tasks"),
        # Projects.
        "workspaces": owned(user="user_id", shared=True),
        "projects": owned(user="user_id", project="id", shared=True),
        "project_agents": child("project_id", "projects", follows_shared=True),
        # Tasks.
        "tasks": owned(user="user_id", agent="agent_id", project="project_id", session="session_uuid"),
        "task_activities": child("task_id", "tasks"),
        "task_dependencies": child("task_id", "tasks"),
        "task_tool_assignments": child("task_id", "tasks"),
        # Conversations.
        "conversations": owned(user="user_id", agent="agent_id", project="project_id", session="session_uuid"),
        "conversation_heads": child("conversation_id", "conversations"),
        "messages": owned(
            user=Either((IN_CONVERSATION, Identity("user_id"))),
            agent=Either((IN_CONVERSATION, Column("agent_id"))),
            guild="guild_id",
            project=IN_CONVERSATION,
            session=IN_CONVERSATION,
        ),
        "message_feedback": child("message_id", "messages"),
        # Memories.
        "memories": owned(
            user=Identity("user_id"),
            agent="agent_id",
            guild="guild_id",
            project="project_id",
            session="session_uuid",
        ),
        "memory_links": child("source_id", "memories"),
        "memory_tags": child("memory_id", "memories"),
        "embeddings": Policy(
            rules=MappingProxyType(
                dict.fromkeys(
                    Dimension,
                    Either(
                        (
                            Parent("memory_id", "memories"),
                            Parent("message_id", "messages"),
                            Parent("context_document_id", "context_documents", follows_shared=True),
                        )
                    ),
                )
            )
        ),
        "embedding_models": open_to_all(),
        # What it costs.
        "hosts": open_to_all(adds=True, stays_empty=("base_url",)),
        "models": open_to_all(adds=True, stays_empty=("input_cost_per_1k", "output_cost_per_1k")),
        "model_prices": open_to_all(),
        "token_usage": owned(
            user=Either((Identity("user_id"), IN_CONVERSATION, OF_TASK), fills="user_id"),
            agent="agent_id",
            project="project_id",
            session="session_uuid",
        ),
        "model_usage_stats": OF_IDENTITY,
        "budgets": closed(),
        "budget_accounts": closed(),
        "budget_reservations": closed(),
        "credit_balance": closed(),
        "credit_alerts": closed(),
        # What was done.
        "tool_usage": owned(
            user="user_id",
            agent="agent_id",
            project=Either((IN_CONVERSATION, OF_TASK)),
            session="session_uuid",
        ),
        "agent_status": owned(user="user_id", agent="agent_id", project=OF_TASK, session="session_uuid"),
        "files": owned(user="user_id"),
        "file_accesses": child("file_id", "files"),
        "documents": owned(user="user_id", project=OF_TASK),
        "events": closed(),
        "audit_seals": closed(),
        "entity_relationships": closed(),
        "logs": closed(),
        "review_counters": closed(),
        "optimization_opportunities": closed(),
        "entity_effectiveness": closed(),
        # Work that waits.
        "queue": OF_IDENTITY,
        "effect_log": child("job_id", "queue"),
        "queue_clocks": closed(),
        "queue_schedules": closed(),
        "queue_types": closed(),
        "promises": OF_IDENTITY,
        "promise_dependencies": child("promise_id", "promises"),
        "chat_state": closed(),
        # What was brought over from older systems.
        "imports": closed(),
        "imported_rows": closed(),
        # What people keep.
        "games": OF_IDENTITY,
        "goals": OF_IDENTITY,
        "todos": OF_IDENTITY,
        "todo_items": child("todo_id", "todos"),
        "links": open_to_all(),
        # How the system is set up; a configuration may hold what is nobody's business.
        "prompts": open_to_all(),
        "prompt_history": open_to_all(),
        "prompt_labels": open_to_all(),
        "prompt_label_moves": open_to_all(),
        "capabilities_config": open_to_all(),
        "capabilities_history": open_to_all(),
        "feature_flags": open_to_all(),
        "config": closed(),
        "config_history": closed(),
    }
)
