"""Create the tables of budgets, of credits and their alerts, and of how well models serve.

A budget has an account for each of its periods, in which reservations set money aside before a call and settle it
afterwards; counters and rows are kept in one transaction, so that they always agree.

The downgrade drops the tables budgets, budget_accounts, budget_reservations, credit_balance, credit_alerts and
model_usage_stats with all their rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# The types as they were decided when this revision landed; nothing here follows later changes of the models.
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
REAL = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UUID = sa.Uuid().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    create_budgets()
    create_budget_accounts()
    create_budget_reservations()
    create_credit_balance()
    create_credit_alerts()
    create_model_usage_stats()


def downgrade() -> None:
    op.drop_table("model_usage_stats")
    op.drop_table("credit_alerts")
    op.drop_table("credit_balance")
    op.drop_table("budget_reservations")
    op.drop_table("budget_accounts")
    op.drop_table("budgets")


def now() -> sa.TextClause:
    if op.get_context().dialect.name == "sqlite":
        return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")
    return sa.text("now()")


def partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("scope_kind", TEXT, server_default="global", nullable=False),
        sa.Column("scope_key", TEXT),
        sa.Column("period", TEXT, server_default="day", nullable=False),
        sa.Column("limit_nano_usd", INTEGER, nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("scope_kind <> 'global' OR scope_key IS NULL", name=op.f("ck_budgets_global_has_no_key")),
        sa.CheckConstraint("limit_nano_usd >= 0", name=op.f("ck_budgets_limit_nano_usd")),
        sa.CheckConstraint("period IN ('day', 'month', 'total')", name=op.f("ck_budgets_period")),
        sa.CheckConstraint("scope_key <> ''", name=op.f("ck_budgets_scope_key")),
        sa.CheckConstraint(
            "scope_kind IN ('global', 'user', 'session', 'project', 'agent')", name=op.f("ck_budgets_scope_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
        sqlite_autoincrement=True,
    )
    partial_index(op.f("idx_budgets_user_id"), "budgets", ["user_id"], where="user_id IS NOT NULL")
    partial_index(
        op.f("uq_budgets_scope_kind_period"),
        "budgets",
        ["scope_kind", "period"],
        where="scope_key IS NULL",
        unique=True,
    )
    partial_index(
        op.f("uq_budgets_scope_kind_scope_key_period"),
        "budgets",
        ["scope_kind", "scope_key", "period"],
        where="scope_key IS NOT NULL",
        unique=True,
    )


def create_budget_accounts() -> None:
    op.create_table(
        "budget_accounts",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("budget_id", INTEGER, nullable=False),
        sa.Column("scope_key", TEXT, server_default="", nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("spent_nano_usd", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("reserved_nano_usd", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("reserved_nano_usd >= 0", name=op.f("ck_budget_accounts_reserved_nano_usd")),
        sa.CheckConstraint("spent_nano_usd >= 0", name=op.f("ck_budget_accounts_spent_nano_usd")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_accounts")),
        sa.UniqueConstraint(
            "budget_id", "scope_key", "starts_at", name=op.f("uq_budget_accounts_budget_id_scope_key_starts_at")
        ),
        sa.ForeignKeyConstraint(
            ["budget_id"], ["budgets.id"], name=op.f("fk_budget_accounts_budget_id_budgets"), ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    partial_index(op.f("idx_budget_accounts_user_id"), "budget_accounts", ["user_id"], where="user_id IS NOT NULL")


def create_budget_reservations() -> None:
    op.create_table(
        "budget_reservations",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("reservation_uuid", UUID, nullable=False),
        sa.Column("account_id", INTEGER, nullable=False),
        sa.Column("estimate_nano_usd", INTEGER, nullable=False),
        sa.Column("actual_nano_usd", INTEGER),
        sa.Column("state", TEXT, server_default="held", nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("user_id", TEXT),
        sa.Column("session_uuid", TEXT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("actual_nano_usd >= 0", name=op.f("ck_budget_reservations_actual_nano_usd")),
        sa.CheckConstraint(
            "(state = 'settled') = (actual_nano_usd IS NOT NULL)",
            name=op.f("ck_budget_reservations_actual_when_settled"),
        ),
        sa.CheckConstraint("estimate_nano_usd >= 0", name=op.f("ck_budget_reservations_estimate_nano_usd")),
        sa.CheckConstraint(
            "state IN ('held', 'settled', 'released', 'expired')", name=op.f("ck_budget_reservations_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_reservations")),
        sa.UniqueConstraint(
            "reservation_uuid", "account_id", name=op.f("uq_budget_reservations_reservation_uuid_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["budget_accounts.id"],
            name=op.f("fk_budget_reservations_account_id_budget_accounts"),
            ondelete="CASCADE",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("idx_budget_reservations_account_id_state_expires_at"),
        "budget_reservations",
        ["account_id", "state", "expires_at"],
    )
    partial_index(op.f("idx_budget_reservations_held"), "budget_reservations", ["expires_at"], where="state = 'held'")
    partial_index(
        op.f("idx_budget_reservations_user_id"), "budget_reservations", ["user_id"], where="user_id IS NOT NULL"
    )


def create_credit_balance() -> None:
    op.create_table(
        "credit_balance",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("provider", TEXT, server_default="openrouter", nullable=False),
        sa.Column("credits_remaining", REAL),
        sa.Column("credits_used", REAL),
        sa.Column("daily_spend", REAL),
        sa.Column("monthly_spend", REAL),
        sa.Column("rate_limit_remaining", INTEGER),
        sa.Column("rate_limit_reset", MOMENT),
        sa.Column("last_updated", MOMENT, server_default=now(), nullable=False),
        sa.Column("raw_response", JSON),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_balance")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_credit_provider_time"), "credit_balance", ["provider", "last_updated"])


def create_credit_alerts() -> None:
    op.create_table(
        "credit_alerts",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("alert_type", TEXT, nullable=False),
        sa.Column("provider", TEXT),
        sa.Column("threshold_value", REAL),
        sa.Column("current_value", REAL),
        sa.Column("message", TEXT),
        sa.Column("severity", TEXT, server_default="info", nullable=False),
        sa.Column("acknowledged", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("acknowledged_at", MOMENT),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("severity IN ('info', 'warning', 'critical')", name=op.f("ck_credit_alerts_severity")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_alerts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_alerts_type_time"), "credit_alerts", ["alert_type", "created_at"])
    op.create_index(op.f("idx_credit_alerts_active"), "credit_alerts", ["acknowledged", "created_at"])


def create_model_usage_stats() -> None:
    op.create_table(
        "model_usage_stats",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("model_name", TEXT, nullable=False),
        sa.Column("user_id", TEXT),
        sa.Column("message_id", TEXT),
        sa.Column("input_length", INTEGER),
        sa.Column("output_length", INTEGER),
        sa.Column("response_time_ms", INTEGER),
        sa.Column("capabilities_detected", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("capabilities_executed", INTEGER, server_default=sa.text("0"), nullable=False),
        sa.Column("capability_types", TEXT, server_default="", nullable=False),
        sa.Column("success", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("error_type", TEXT),
        sa.Column("prompt_tokens", INTEGER),
        sa.Column("completion_tokens", INTEGER),
        sa.Column("total_tokens", INTEGER),
        sa.Column("estimated_cost", REAL),
        sa.Column("timestamp", MOMENT, server_default=now(), nullable=False),
        sa.Column("metadata", JSON, server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now(), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now(), nullable=False),
        sa.CheckConstraint("capabilities_detected >= 0", name=op.f("ck_model_usage_stats_capabilities_detected")),
        sa.CheckConstraint("capabilities_executed >= 0", name=op.f("ck_model_usage_stats_capabilities_executed")),
        sa.CheckConstraint("completion_tokens >= 0", name=op.f("ck_model_usage_stats_completion_tokens")),
        sa.CheckConstraint("estimated_cost >= 0", name=op.f("ck_model_usage_stats_estimated_cost")),
        sa.CheckConstraint("input_length >= 0", name=op.f("ck_model_usage_stats_input_length")),
        sa.CheckConstraint("output_length >= 0", name=op.f("ck_model_usage_stats_output_length")),
        sa.CheckConstraint("prompt_tokens >= 0", name=op.f("ck_model_usage_stats_prompt_tokens")),
        sa.CheckConstraint("response_time_ms >= 0", name=op.f("ck_model_usage_stats_response_time_ms")),
        sa.CheckConstraint("total_tokens >= 0", name=op.f("ck_model_usage_stats_total_tokens")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_usage_stats")),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_identities.id"],
            name=op.f("fk_model_usage_stats_user_id_user_identities"),
            ondelete="SET NULL",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("idx_usage_model_time"), "model_usage_stats", ["model_name", "timestamp"])
    op.create_index(op.f("idx_usage_timestamp"), "model_usage_stats", ["timestamp"])
    op.create_index(op.f("idx_usage_user_time"), "model_usage_stats", ["user_id", "timestamp"])
