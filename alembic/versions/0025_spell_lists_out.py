"""Spell the lists of CHECK constraints out on SQLite.

For the list of an IN in a CHECK, SQLite makes a table of its own, anew for each row: 1.2 µs, and a message has three of
them. `a = 'x' OR a = 'y'` says the same without it. PostgreSQL makes an array of the list when the table is made.

A constraint that means the same is changed where SQLite keeps it as text, as
https://www.sqlite.org/lang_altertable.html#otheralter describes; no row is touched. A library that lets nobody write
there (SQLITE_DBCONFIG_DEFENSIVE) keeps the lists, which is no less right.

The downgrade makes lists of them again; no row is lost.
"""

from __future__ import annotations

from alembic import context, op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# Table, column, and the texts that it may hold.
LISTS = (
    ("agents", "status", "idle thinking coding testing error offline"),
    ("agents", "state", "active inactive deprecated testing archived"),
    ("audit_seals", "kind", "events erasure"),
    ("budget_reservations", "state", "held settled released expired"),
    ("budgets", "period", "day month total"),
    ("budgets", "scope_kind", "global user session project agent"),
    ("config", "value_type", "string int float bool json"),
    ("config_history", "value_type", "string int float bool json"),
    ("context_documents", "status", "active inactive deprecated testing archived"),
    ("conversations", "status", "active archived"),
    ("credit_alerts", "severity", "info warning critical"),
    ("documents", "status", "active archived deleted"),
    ("effect_log", "state", "pending done unknown"),
    ("embeddings_changes", "operation", "insert update delete"),
    (
        "entity_relationships",
        "relationship_type",
        "uses depends_on creates optimizes triggers references contains inherits",
    ),
    ("events", "outcome", "success failure partial error timeout"),
    ("events", "severity", "debug info warning error critical"),
    ("file_accesses", "operation", "read write edit delete search"),
    ("games", "status", "active completed abandoned"),
    ("goals", "status", "not_started in_progress blocked completed cancelled"),
    ("knowledge_gaps", "status", "open resolved dismissed"),
    ("knowledge_usage", "usage_type", "assembled read cited rejected"),
    ("links", "analysis_status", "pending success error"),
    ("logs", "level", "debug info warn error fatal"),
    ("memories", "kind", "long_term short_term passive"),
    ("memories", "status", "active archived consolidated"),
    ("memories_changes", "operation", "insert update delete"),
    ("memory_links", "link_type", "related shared_tags supports contradicts supersedes"),
    ("message_feedback", "rating", "negative neutral positive"),
    ("messages", "role", "user assistant agent system tool developer"),
    ("messages", "streaming_state", "none streaming complete stopped interrupted"),
    ("messages_changes", "operation", "insert update delete"),
    ("optimization_opportunities", "effort_estimate", "low medium high"),
    ("optimization_opportunities", "status", "pending in_progress completed rejected"),
    ("process_instances", "status", "pending running waiting completed failed cancelled rolling_back rolled_back"),
    ("processes", "status", "active inactive deprecated testing archived"),
    ("projects", "status", "active archived deleted"),
    ("promise_dependencies", "on_failure", "fail block ignore"),
    ("promises", "status", "pending waiting in_progress completed failed cancelled"),
    ("promises", "task_type", "code search analysis"),
    ("queue", "status", "pending in_progress completed failed cancelled"),
    ("review_counters", "counter_type", "usage creation modification error success failure"),
    ("review_counters", "frequency", "threshold periodic hybrid"),
    ("task_dependencies", "on_failure", "fail block ignore"),
    ("tasks", "status", "created pending queued running waiting on_hold completed failed stopped cancelled"),
    ("todo_items", "status", "pending in_progress completed cancelled"),
    ("token_usage", "kind", "usage correction"),
    ("token_usage", "usage_state", "reported estimated partial missing"),
    ("token_usage", "cost_source", "computed reported"),
    ("tool_usage", "state", "requested running done failed interrupted"),
    ("tools", "status", "active inactive deprecated testing archived"),
    ("users", "role", "user admin"),
)


def upgrade() -> None:
    _rewrite({(table, column): (_list(column, texts), _spell_out(column, texts)) for table, column, texts in LISTS})


def downgrade() -> None:
    _rewrite({(table, column): (_spell_out(column, texts), _list(column, texts)) for table, column, texts in LISTS})


def _list(column: str, texts: str) -> str:
    quoted = ", ".join(f"'{text}'" for text in texts.split())
    return f"{column} IN ({quoted})"


def _spell_out(column: str, texts: str) -> str:
    return " OR ".join(f"{column} = '{text}'" for text in texts.split())


def _rewrite(conditions: dict[tuple[str, str], tuple[str, str]]) -> None:
    if op.get_context().dialect.name != "sqlite":
        return
    op.execute("PRAGMA writable_schema = ON")
    if not _is_writable():
        op.execute("PRAGMA writable_schema = OFF")
        return
    for (table, column), (old, new) in conditions.items():
        name = f"CONSTRAINT ck_{table}_{column} CHECK"
        before, after = (f"{name} ({condition})".replace("'", "''") for condition in (old, new))
        changed = f"replace(sql, '{before}', '{after}')"
        op.execute(f"UPDATE sqlite_master SET sql = {changed} WHERE type = 'table' AND name = '{table}'")
    op.execute("PRAGMA writable_schema = RESET")
    # Other connections read the schema again when somebody has made something.
    op.execute("CREATE TABLE lists_are_spelled_out (id INTEGER)")
    op.execute("DROP TABLE lists_are_spelled_out")


def _is_writable() -> bool:
    if context.is_offline_mode():
        return True
    try:
        op.get_bind().exec_driver_sql("UPDATE sqlite_master SET sql = sql WHERE false")
    except Exception as exc:
        if "may not be modified" not in str(exc):
            raise
        return False
    return True
