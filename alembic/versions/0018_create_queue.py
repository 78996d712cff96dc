"""Create the queue, promises and the log of effects.

Seed 003's queue with leases, schedules and limits, which also holds seed 000's server tasks and missed messages; seed
000's promises with what waits for what; the log of what jobs do outside of the database.

The downgrade drops the tables queue, queue_types, queue_schedules, queue_clocks, effect_log, promises,
promise_dependencies and chat_state with all their rows.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
REAL = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    create_queue()
    create_queue_types()
    create_queue_schedules()
    create_queue_clocks()
    create_effect_log()
    create_promises()
    create_promise_dependencies()
    create_chat_state()


def downgrade() -> None:
    op.drop_table("chat_state")
    op.drop_table("promise_dependencies")
    op.drop_table("promises")
    op.drop_table("effect_log")
    op.drop_table("queue_clocks")
    op.drop_table("queue_schedules")
    op.drop_table("queue_types")
    op.drop_table("queue")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[Any], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_queue() -> None:
    op.create_table(
        "queue",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("task_type", TEXT, nullable=False),
        sa.Column("payload", JSON, server_default="{}", nullable=False),
        sa.Column("priority", INTEGER, server_default=sa.text("5"), nullable=False),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("retries", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("max_retries", INTEGER, server_default=sa.text("3"), nullable=False),
        sa.Column("error_message", TEXT),
        sa.Column("result", JSON),
        sa.Column("progress", REAL),
        sa.Column("assigned_to", TEXT),
        sa.Column("created_by", TEXT),
        sa.Column("user_id", TEXT),
        sa.Column("chat_id", INTEGER),
        sa.Column("respond_to", JSON),
        sa.Column("responded", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("memorized", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("response_id", INTEGER),
        sa.Column("scheduled_for", MOMENT),
        sa.Column("due_at", MOMENT, server_default=now()),
        sa.Column("ready_at", MOMENT),
        sa.Column("expires_at", MOMENT),
        sa.Column("timeout_seconds", REAL),
        sa.Column("dedupe_key", TEXT),
        sa.Column("concurrency_key", TEXT),
        sa.Column("lease_token", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("lease_expires_at", MOMENT),
        sa.Column("started_at", MOMENT),
        sa.Column("completed_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'in_progress', 'completed', 'failed', 'cancelled')", name=op.f("ck_queue_status")
        ),
        sa.CheckConstraint("lease_token >= 0", name=op.f("ck_queue_lease_token")),
        sa.CheckConstraint("max_retries >= 0", name=op.f("ck_queue_max_retries")),
        sa.CheckConstraint("priority BETWEEN 1 AND 10", name=op.f("ck_queue_priority")),
        sa.CheckConstraint("progress BETWEEN 0 AND 1", name=op.f("ck_queue_progress")),
        sa.CheckConstraint("retries >= 0", name=op.f("ck_queue_retries")),
        sa.CheckConstraint("timeout_seconds > 0", name=op.f("ck_queue_timeout_seconds")),
        sa.ForeignKeyConstraint(
            ["response_id"], ["messages.id"], name=op.f("fk_queue_response_id_messages"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_queue_user_id_user_identities"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue")),
        sqlite_autoincrement=True,
    )
    partial_index(op.f("idx_queue_chat_id"), "queue", ["chat_id"], where="chat_id IS NOT NULL")
    partial_index(op.f("idx_queue_completed_at"), "queue", ["completed_at"], where="completed_at IS NOT NULL")
    partial_index(
        op.f("idx_queue_dedupe_key"),
        "queue",
        ["dedupe_key"],
        where="dedupe_key IS NOT NULL AND completed_at IS NULL",
        unique=True,
    )
    partial_index(op.f("idx_queue_due_at"), "queue", ["due_at"], where="due_at IS NOT NULL")
    partial_index(
        op.f("idx_queue_expires_at"), "queue", ["expires_at"], where="expires_at IS NOT NULL AND completed_at IS NULL"
    )
    partial_index(
        op.f("idx_queue_ready"), "queue", [sa.text("priority DESC"), "ready_at", "id"], where="ready_at IS NOT NULL"
    )
    partial_index(
        op.f("idx_queue_ready_type"),
        "queue",
        ["task_type", sa.text("priority DESC"), "ready_at", "id", "concurrency_key"],
        where="ready_at IS NOT NULL",
    )
    partial_index(op.f("idx_queue_response_id"), "queue", ["response_id"], where="response_id IS NOT NULL", unique=True)
    partial_index(
        op.f("idx_queue_running"), "queue", ["lease_expires_at", "task_type"], where="lease_expires_at IS NOT NULL"
    )
    partial_index(
        op.f("idx_queue_running_key"),
        "queue",
        ["concurrency_key"],
        where="concurrency_key IS NOT NULL AND lease_expires_at IS NOT NULL",
    )
    partial_index(op.f("idx_queue_scheduled_for"), "queue", ["scheduled_for"], where="scheduled_for IS NOT NULL")
    op.create_index(op.f("idx_queue_status"), "queue", ["status"])
    partial_index(op.f("idx_queue_user_id"), "queue", ["user_id"], where="user_id IS NOT NULL")


def create_queue_types() -> None:
    op.create_table(
        "queue_types",
        sa.Column("task_type", TEXT, nullable=False),
        sa.Column("is_paused", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("paused_by", TEXT),
        sa.Column("paused_at", MOMENT),
        sa.Column("max_running", INTEGER),
        sa.Column("max_running_per_key", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("rate_limit", INTEGER),
        sa.Column("rate_seconds", REAL),
        sa.Column("recent_starts", JSON, server_default="[]", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("(rate_limit IS NULL) = (rate_seconds IS NULL)", name=op.f("ck_queue_types_rate_is_whole")),
        sa.CheckConstraint("max_running >= 0", name=op.f("ck_queue_types_max_running")),
        sa.CheckConstraint("max_running_per_key >= 1", name=op.f("ck_queue_types_max_running_per_key")),
        sa.CheckConstraint("rate_limit >= 1", name=op.f("ck_queue_types_rate_limit")),
        sa.CheckConstraint("rate_seconds > 0", name=op.f("ck_queue_types_rate_seconds")),
        sa.PrimaryKeyConstraint("task_type", name=op.f("pk_queue_types")),
    )


def create_queue_schedules() -> None:
    op.create_table(
        "queue_schedules",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("cron", TEXT, nullable=False),
        sa.Column("timezone", TEXT, server_default="UTC", nullable=False),
        sa.Column("task_type", TEXT, nullable=False),
        sa.Column("payload", JSON, server_default="{}", nullable=False),
        sa.Column("priority", INTEGER, server_default=sa.text("5"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("next_run_at", MOMENT, nullable=False),
        sa.Column("last_run_at", MOMENT),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("priority BETWEEN 1 AND 10", name=op.f("ck_queue_schedules_priority")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queue_schedules")),
    )
    op.create_index(op.f("idx_queue_schedules_next_run_at"), "queue_schedules", ["next_run_at"])


def create_queue_clocks() -> None:
    op.create_table(
        "queue_clocks",
        sa.Column("boot", TEXT, nullable=False),
        sa.Column("started_microseconds", INTEGER, nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("boot", name=op.f("pk_queue_clocks")),
    )


def create_effect_log() -> None:
    op.create_table(
        "effect_log",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("job_id", INTEGER, nullable=False),
        sa.Column("step", TEXT, nullable=False),
        sa.Column("arguments", JSON),
        sa.Column("state", TEXT, server_default="pending", nullable=False),
        sa.Column("attempt", INTEGER, server_default=sa.text("1"), nullable=False),
        sa.Column("result", JSON),
        sa.Column("note", TEXT),
        sa.Column("completed_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'done', 'unknown')", name=op.f("ck_effect_log_state")),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_effect_log_attempt")),
        sa.ForeignKeyConstraint(["job_id"], ["queue.id"], name=op.f("fk_effect_log_job_id_queue"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_effect_log")),
        sa.UniqueConstraint("key", name=op.f("uq_effect_log_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_effect_log_job_id"), "effect_log", ["job_id"])
    partial_index(op.f("idx_effect_log_unresolved"), "effect_log", ["state", "id"], where="state <> 'done'")


def create_promises() -> None:
    op.create_table(
        "promises",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("chat_id", INTEGER, nullable=False),
        sa.Column("message_id", INTEGER, nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("task_description", TEXT, nullable=False),
        sa.Column("task_type", TEXT, server_default="code", nullable=False),
        sa.Column("status", TEXT, server_default="pending", nullable=False),
        sa.Column("priority", INTEGER, server_default=sa.text("5"), nullable=False),
        sa.Column("progress", REAL),
        sa.Column("job_id", INTEGER),
        sa.Column("result_summary", TEXT),
        sa.Column("error_message", TEXT),
        sa.Column("started_at", MOMENT),
        sa.Column("completed_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'waiting', 'in_progress', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_promises_status"),
        ),
        sa.CheckConstraint("task_type IN ('code', 'search', 'analysis')", name=op.f("ck_promises_task_type")),
        sa.CheckConstraint("priority BETWEEN 1 AND 10", name=op.f("ck_promises_priority")),
        sa.CheckConstraint("progress BETWEEN 0 AND 1", name=op.f("ck_promises_progress")),
        sa.ForeignKeyConstraint(["job_id"], ["queue.id"], name=op.f("fk_promises_job_id_queue"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_identities.id"], name=op.f("fk_promises_user_id_user_identities"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promises")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_promises_chat_id"), "promises", ["chat_id"])
    op.create_index(op.f("idx_promises_created_at"), "promises", ["created_at"])
    partial_index(op.f("idx_promises_job_id"), "promises", ["job_id"], where="job_id IS NOT NULL")
    op.create_index(op.f("idx_promises_status"), "promises", ["status"])
    partial_index(op.f("idx_promises_user_id"), "promises", ["user_id"], where="user_id IS NOT NULL")


def create_promise_dependencies() -> None:
    op.create_table(
        "promise_dependencies",
        sa.Column("promise_id", INTEGER, nullable=False),
        sa.Column("depends_on_id", INTEGER, nullable=False),
        sa.Column("on_failure", TEXT, server_default="fail", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint(
            "on_failure IN ('fail', 'block', 'ignore')", name=op.f("ck_promise_dependencies_on_failure")
        ),
        sa.CheckConstraint("promise_id <> depends_on_id", name=op.f("ck_promise_dependencies_not_itself")),
        sa.ForeignKeyConstraint(
            ["depends_on_id"],
            ["promises.id"],
            name=op.f("fk_promise_dependencies_depends_on_id_promises"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["promise_id"],
            ["promises.id"],
            name=op.f("fk_promise_dependencies_promise_id_promises"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("promise_id", "depends_on_id", name=op.f("pk_promise_dependencies")),
    )
    op.create_index(op.f("idx_promise_dependencies_depends_on_id"), "promise_dependencies", ["depends_on_id"])


def create_chat_state() -> None:
    op.create_table(
        "chat_state",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("chat_id", INTEGER, nullable=False),
        sa.Column("last_seen_message_id", INTEGER),
        sa.Column("last_seen_at", MOMENT),
        sa.Column("bot_last_online_at", MOMENT),
        sa.Column("bot_last_offline_at", MOMENT),
        sa.Column("scan_completed_at", MOMENT),
        sa.Column("total_messages_scanned", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("total_messages_scanned >= 0", name=op.f("ck_chat_state_total_messages_scanned")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_state")),
        sa.UniqueConstraint("chat_id", name=op.f("uq_chat_state_chat_id")),
        sqlite_autoincrement=True,
    )
