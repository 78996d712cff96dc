"""What becomes of every table when somebody is erased, and why; a test demands every column of text or JSON here."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from agent_system.managers.privacy.rules import anonymised, deleted, kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_system.managers.privacy.rules import TableRule

__all__ = ["ENTITY_TABLES", "PRIVACY"]

THEIRS = "it is the person's own"
PART = "it is a part of what is the person's own"
SYSTEM = "it is how the system is set up"
WORD = "a word of the system"
MODEL = "names a model or who runs it"
CHAIN = "a digest of the chain of events"
ENTITY = ("entity_type", "entity_id")

PRIVACY: Mapping[str, TableRule] = MappingProxyType(
    {
        # Users.
        "users": deleted(THEIRS),
        "user_identities": deleted(THEIRS),
        "erasure_receipts": kept("it proves the erasure and tells nobody whose"),
        # Agents and what they work with.
        "agents": deleted(THEIRS),
        "agent_tools": deleted(PART, mentions=("granted_by",)),
        "agent_permissions": deleted(PART),
        "tools": kept(SYSTEM),
        "context_documents": deleted(THEIRS, mentions=("updated_by",)),
        "context_document_keys": deleted(PART),
        "document_versions": deleted(PART, mentions=("author",)),
        "knowledge_usage": deleted("it tells what the person asked for"),
        "knowledge_gaps": deleted("it tells what the person asked for"),
        "processes": kept(SYSTEM),
        "process_instances": deleted(PART),
        # Projects.
        "workspaces": deleted(THEIRS),
        "projects": deleted(THEIRS),
        "project_agents": deleted(PART),
        # Tasks.
        "tasks": deleted(THEIRS),
        "task_activities": deleted(PART, mentions=("actor",)),
        "task_dependencies": deleted(PART),
        "task_tool_assignments": deleted(PART),
        # Conversations.
        "conversations": deleted(THEIRS),
        "conversation_heads": deleted(PART),
        "messages": replace(
            deleted("it was said in a conversation of the person's, or by them"),
            authored="user_id",
            empties=(
                "author_name",
                "content",
                "parts",
                "tool_calls",
                "email_metadata",
                "input_method",
                "suggested_actions",
                "extra_terms",
                "metadata",
            ),
        ),
        "message_feedback": deleted("it is what the person thinks", written="user_id"),
        # Memories.
        "memories": deleted(THEIRS),
        "memory_links": deleted(PART),
        "memory_tags": deleted(PART),
        "embeddings": deleted("it is made of the person's words", written="user_id"),
        "embedding_models": kept(SYSTEM),
        # What it costs.
        "hosts": kept("it is a company"),
        "models": kept("it is a product"),
        "model_prices": kept("it is a price list"),
        "token_usage": anonymised(
            "the ledger has to add up",
            ("user_id", "session_uuid", "raw_usage", "metadata"),
            {"role": WORD, "request_id": "names a request to the provider", "error_type": WORD},
        ),
        "model_usage_stats": anonymised(
            "the statistics have to add up",
            ("user_id", "message_id", "metadata"),
            {"model_name": MODEL, "capability_types": WORD, "error_type": WORD},
        ),
        "budgets": deleted("a limit for the person", named=("user_id", "scope_key")),
        "budget_accounts": deleted("what the person has spent of a limit", named=("user_id", "scope_key")),
        "budget_reservations": deleted("what was set aside for the person", named=("user_id",)),
        "credit_balance": kept("the account of the system"),
        "credit_alerts": kept("the account of the system"),
        # What was done.
        "tool_usage": anonymised(
            "the statistics have to add up",
            (
                "user_id",
                "call_id",
                "operation",
                "session_uuid",
                "error",
                "parameters",
                "parameter_hash",
                "result",
                "screenshot_path",
                "metadata",
            ),
            {"tool_name": "names a tool", "success_source": WORD, "error_category": WORD},
        ),
        "agent_status": deleted(PART),
        "files": deleted("which files the person's agents opened"),
        "file_accesses": deleted(PART),
        "documents": deleted(THEIRS),
        "events": anonymised(
            "that something happened stays; what it was about goes",
            ("before", "after", "data", "related_entities", "metadata", "payload_salt"),
            {
                "event_type": WORD,
                "entity_type": WORD,
                "entity_id": "the key of a row that is gone",
                "payload_digest": "without its salt it tells nothing",
                "previous_digest": CHAIN,
                "chain_digest": CHAIN,
                "key_id": "names the key of the chain",
            },
            mentions=("actor",),
            entities=(ENTITY,),
            tree="tree_id",
        ),
        "audit_seals": kept("it vouches for events by digests"),
        "entity_relationships": deleted(PART, entities=(("source_type", "source_id"), ("target_type", "target_id"))),
        "review_counters": deleted(PART, entities=(ENTITY,)),
        "optimization_opportunities": deleted(PART, entities=(ENTITY,)),
        "entity_effectiveness": deleted(PART, entities=(ENTITY,)),
        "logs": kept("it is a program's, written for nobody; retention removes it"),
        # Work that waits.
        "queue": deleted(THEIRS, mentions=("created_by",)),
        "effect_log": deleted(PART),
        "queue_clocks": kept(SYSTEM),
        "queue_schedules": kept(SYSTEM),
        "queue_types": kept(SYSTEM, mentions=("paused_by",)),
        "promises": deleted(THEIRS),
        "promise_dependencies": deleted(PART),
        "chat_state": kept("a place in a chat, which no account is linked to"),
        # What was brought over from older systems; it keeps an import that is repeated from bringing the person back.
        "imports": kept("it names a file"),
        "imported_rows": kept("a digest, and the key of a row"),
        # What people keep.
        "games": deleted(THEIRS),
        "goals": deleted(THEIRS),
        "todos": deleted(THEIRS),
        "todo_items": deleted(PART, mentions=("assigned_to",)),
        "links": kept("it is about a page of the web"),
        # How the system is set up.
        "prompts": kept(SYSTEM, mentions=("created_by",)),
        "prompt_history": kept(SYSTEM, mentions=("changed_by",)),
        "prompt_labels": kept(SYSTEM),
        "prompt_label_moves": kept(SYSTEM, mentions=("moved_by",)),
        "capabilities_config": kept(SYSTEM, mentions=("created_by",)),
        "capabilities_history": kept(SYSTEM, mentions=("changed_by",)),
        "feature_flags": kept(SYSTEM, mentions=("allowed_users",)),
        "config": kept(SYSTEM, mentions=("created_by",)),
        "config_history": kept(SYSTEM, mentions=("changed_by",)),
    }
)

ENTITY_TABLES: Mapping[str, str] = MappingProxyType(
    {
        "agent": "agents",
        "task": "tasks",
        "context_document": "context_documents",
        "user": "users",
        "identity": "user_identities",
        "conversation": "conversations",
        "message": "messages",
        "memory": "memories",
        "project": "projects",
        "workspace": "workspaces",
    }
)
"""How the rows of a table are called where events and relationships name them by type and key."""
