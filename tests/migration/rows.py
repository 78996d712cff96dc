"""One row for every table, so that migrations are tried on tables that are not empty."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import column, insert, inspect, select, table, text

from agent_system.models import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

MOMENT = datetime(2025, 1, 15, 12, 30, 45, 678901, tzinfo=UTC)


def key(number: int) -> UUID:
    return UUID(f"01a1fdd2-0000-7000-8000-{number:012d}")


ROWS: dict[str, dict[str, Any]] = {
    "users": {"id": key(1), "username": "Ada", "username_key": "ada", "preferences": {"theme": "dark"}},
    "user_identities": {"id": str(key(1)), "user_id": key(1), "display_name": "Ada"},
    "erasure_receipts": {"id": key(17), "subject_digest": "e3b0c442", "counts": {"agents": {"deleted": 1}}},
    "tools": {"id": key(2), "name": "web_search", "name_key": "web_search"},
    "agents": {"id": key(3), "user_id": key(1), "name": "R\ud800", "name_key": "r\ud800", "capabilities": ["a\0b"]},
    "agent_tools": {"agent_id": key(3), "tool_id": key(2)},
    "agent_permissions": {"id": key(4), "agent_id": key(3), "entity_permissions": {"task": ["read"]}},
    "workspaces": {"id": key(5), "user_id": key(1), "name": "home", "is_default": True},
    "projects": {"id": key(6), "user_id": key(1), "workspace_id": key(5), "name": "P", "name_key": "p"},
    "project_agents": {"project_id": key(6), "agent_id": key(3)},
    "context_documents": {"id": key(7), "name": "guide", "name_key": "guide", "content": "текст 😀"},
    "document_versions": {"id": key(8), "document_id": key(7), "version": 1, "content": "текст 😀"},
    "processes": {"id": key(9), "name": "review", "name_key": "review", "steps": [{"do": "read"}]},
    "process_instances": {"id": key(10), "process_id": key(9), "task_id": key(12)},
    "conversations": {
        "id": key(11),
        "user_id": key(1),
        "agent_id": key(3),
        "project_id": key(6),
        "message_count": 1,
        "last_message_at": MOMENT,
    },
    "tasks": {"id": key(12), "tree_id": key(12), "instruction": "do", "agent_id": key(3), "conversation_id": key(11)},
    "task_dependencies": {"task_id": key(12), "depends_on_id": key(13)},
    "task_activities": {"id": 1, "task_id": key(12), "message": "began"},
    "task_tool_assignments": {"id": key(14), "task_id": key(12), "tool_name": "web_search", "tool_id": key(2)},
    "messages": {"id": 1, "uid": key(15), "conversation_id": key(11), "user_id": str(key(1)), "role": "user"},
    "conversation_heads": {"conversation_id": key(11), "name": "main", "message_id": 1},
    "message_feedback": {"id": 1, "message_id": 1, "user_id": str(key(1)), "rating": "positive"},
    "events": {"id": 1, "event_type": "agent.created", "entity_type": "agent", "before": None, "after": {"a": 1}},
    "audit_seals": {
        "id": 1,
        "kind": "erasure",
        "content_digest": "d1",
        "chain_digest": "c1",
        "receipt_id": key(17),
        "amended": {"1": "d2"},
    },
    "entity_relationships": {
        "id": 1,
        "source_type": "agent",
        "source_id": str(key(3)),
        "target_type": "tool",
        "target_id": str(key(2)),
        "relationship_type": "uses",
        "created_by_event_id": 1,
    },
    "hosts": {"id": 1, "name": "Host", "name_key": "host"},
    "models": {"id": 1, "name": "gpt", "host_id": 1, "input_cost_per_1k": 0.25},
    "model_prices": {"id": 1, "model_id": 1, "valid_from": MOMENT, "input_nano_usd_per_million": 2_500_000_000},
    "token_usage": {
        "id": 1,
        "timestamp": MOMENT,
        "project_id": key(6),
        "model_id": 1,
        "input_tokens": 5,
        "output_tokens": 7,
        "cost_nano_usd": 1_500_000_000,
        "message_id": 1,
    },
    "budgets": {"id": 1, "scope_kind": "user", "scope_key": "ada", "user_id": "ada", "limit_nano_usd": 5_000_000_000},
    "budget_accounts": {"id": 1, "budget_id": 1, "scope_key": "ada", "starts_at": MOMENT, "spent_nano_usd": 7},
    "budget_reservations": {
        "id": 1,
        "reservation_uuid": key(16),
        "account_id": 1,
        "estimate_nano_usd": 9,
        "actual_nano_usd": 7,
        "state": "settled",
        "expires_at": MOMENT,
    },
    "credit_balance": {"id": 1, "credits_remaining": 24.5, "last_updated": MOMENT, "raw_response": {"left": "24.5"}},
    "credit_alerts": {"id": 1, "alert_type": "low_balance", "severity": "warning", "current_value": 24.5},
    "model_usage_stats": {"id": 1, "model_name": "gpt", "user_id": str(key(1)), "timestamp": MOMENT},
    "links": {
        "id": 1,
        "url": "https://xn--e1afmkfd.xn--p1ai/",
        "url_hash": "3b9ee4b9",
        "original_url": "https://пример.рф",
        "domain": "пример.рф",
        "timestamp": MOMENT,
        "analysis_result": {"topics": ["ü"]},
    },
    "games": {"id": 1, "user_id": str(key(1)), "game_type": "snake", "score": 466, "state_data": {"b": [0]}},
    "memories": {
        "id": 1,
        "user_id": str(key(1)),
        "agent_id": key(3),
        "conversation_id": key(11),
        "content": "likes 比萨 😀",
        "tags": ["food"],
        "timestamp": MOMENT,
    },
    "context_document_keys": {"id": 1, "document_id": key(7)},
    "memory_tags": {"memory_id": 1, "tag": "food"},
    "memory_links": {"id": 1, "source_id": 1, "target_id": 2, "weight": 0.5},
    "embedding_models": {"id": 1, "name": "hash", "dimensions": 2},
    "embeddings": {"id": 1, "model_id": 1, "memory_id": 1, "vector": b"\0\0\x80\x3f\0\0\0\0"},
    "tool_usage": {"id": 1, "timestamp": MOMENT, "tool_name": "web_search", "task_id": key(12), "message_id": 1},
    "queue": {"id": 1, "task_type": "answer", "payload": {"a": 1}, "user_id": str(key(1)), "response_id": 1},
    "queue_types": {"task_type": "answer", "max_running": 2, "rate_limit": 5, "rate_seconds": 1.5},
    "queue_schedules": {"name": "daily", "cron": "0 3 * * *", "task_type": "answer", "next_run_at": MOMENT},
    "queue_clocks": {"boot": "b", "started_microseconds": 1},
    "effect_log": {"id": 1, "key": "k", "job_id": 1, "step": "send"},
    "promises": {"id": 1, "chat_id": 5, "message_id": 7, "task_description": "do", "job_id": 1},
    "promise_dependencies": {"promise_id": 1, "depends_on_id": 2},
    "chat_state": {"id": 1, "chat_id": 5, "last_seen_message_id": 7},
    "prompts": {"id": 1, "name": "Greeting", "name_key": "greeting", "content": "Hello {{name}} 😀", "version": 2},
    "prompt_history": {"id": 1, "prompt_id": 1, "version": 1, "content": "Hello", "changed_by": "ada"},
    "prompt_labels": {"id": 1, "prompt_id": 1, "label": "production", "prompt_version": 2},
    "prompt_label_moves": {"id": 1, "prompt_id": 1, "label": "production", "from_version": 1, "to_version": 2},
    "capabilities_config": {"id": 1, "name": "Web", "name_key": "web", "config": {"limit": 5}, "version": 2},
    "capabilities_history": {"id": 1, "capability_id": 1, "version": 1, "config": {"limit": 4}},
    "config": {"id": 1, "config_key": "Limit", "config_key_key": "limit", "config_value": "5", "value_type": "int"},
    "config_history": {
        "id": 1,
        "config_id": 1,
        "config_key": "Limit",
        "config_key_key": "limit",
        "version": 1,
        "config_value": "4",
        "value_type": "int",
    },
    "feature_flags": {"id": 1, "flag_name": "Fast", "flag_name_key": "fast", "allowed_users": ["ada"]},
    "logs": {"id": 1, "timestamp": MOMENT, "level": "warn", "message": "текст 😀", "service": "api"},
    "goals": {"id": 1, "user_id": str(key(1)), "objective": "Learn", "deadline_at": MOMENT},
    "todos": {"id": 1, "user_id": str(key(1)), "name": "Home", "name_key": "home", "goal_id": 1},
    "todo_items": {"id": 1, "todo_id": 1, "position": 1, "content": "Read", "due_at": MOMENT},
    "agent_status": {"id": 1, "task_id": key(12), "agent_id": key(3), "status": "started"},
    "files": {"id": 1, "file_path": "/src/главная.py", "access_count": 1, "read_count": 1},
    "file_accesses": {"id": 1, "file_id": 1, "task_id": key(12), "operation": "read"},
    "documents": {"id": 1, "path": "docs/plan.md", "status": "archived", "task_id": key(12), "archived_at": MOMENT},
    "review_counters": {"id": 1, "entity_type": "agent", "entity_id": str(key(3)), "counter_type": "usage"},
    "optimization_opportunities": {
        "id": 1,
        "entity_type": "agent",
        "entity_id": str(key(3)),
        "opportunity_type": "slow",
        "created_by_event_id": 1,
    },
    "entity_effectiveness": {
        "id": 1,
        "entity_type": "agent",
        "entity_id": str(key(3)),
        "metric_name": "task_success_rate",
        "metric_value": 0.25,
        "event_id": 1,
    },
    "knowledge_usage": {"id": key(16), "document_id": key(7), "agent_id": key(3), "relevance": 0.5},
    "imports": {"id": key(18), "system": "tomcounsell", "file_name": "links.db", "source_digest": "e3b0c442"},
    "imported_rows": {"id": key(19), "import_id": key(18), "source_table": "links", "target_table": "links"},
    "knowledge_gaps": {"id": key(17), "topic": "Deploys", "topic_key": "deploys", "agent_id": key(3)},
}
# Rows that others refer to, beside the one of their table.
MORE_ROWS: dict[str, list[dict[str, Any]]] = {
    "tasks": [{"id": key(13), "tree_id": key(12), "parent_task_id": key(12), "instruction": "first this"}],
    "promises": [{"id": 2, "chat_id": 5, "message_id": 6, "task_description": "first this"}],
    "memories": [{"id": 2, "user_id": str(key(1)), "content": "cooks", "consolidated_into": 1, "timestamp": MOMENT}],
}


def insert_rows(connection: Connection) -> None:
    """Put the rows into the tables that are there and are empty."""
    # All tables at once: PostgreSQL's catalogs take long to ask for one after the other.
    present = {name: columns for (_, name), columns in inspect(connection).get_multi_columns().items()}
    for known in metadata.sorted_tables:
        if known.name not in present or read_table(connection, known.name):
            continue
        existing = {found["name"] for found in present[known.name]}
        for row in [ROWS[known.name], *MORE_ROWS.get(known.name, [])]:
            values = {name: value for name, value in row.items() if name in existing}
            target = table(known.name, *(column(name, known.c[name].type) for name in values))
            connection.execute(insert(target).values(values))


def read_rows(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables that are there, but for what FTS5 keeps behind an index in a form of its own."""
    names = set(inspect(connection).get_table_names()) - {"alembic_version"}
    names = {name for name in names if not name.endswith(("_fts_data", "_fts_idx", "_fts_docsize", "_fts_config"))}
    return {name: read_table(connection, name) for name in sorted(names)}


def read_table(connection: Connection, name: str) -> list[tuple[Any, ...]]:
    """Return all rows of one table in the order of its first column, in the types that the driver gives."""
    everything = select(text("*")).select_from(table(name)).order_by(text("1"))
    return [tuple(map(str, row)) for row in connection.execute(everything)]
