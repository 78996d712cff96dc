"""What may be spent: limits, what is spent and set aside in each of their periods, and each single reservation."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint

from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    int_key,
    meta_field,
    moment_field,
    non_negative,
    partial_index,
    present_index,
    reference,
    text_field,
    updated_at_field,
    uuid_field,
)
from agent_system.types import BudgetPeriod, BudgetScope, Counter, JsonObject, ReservationState, RowId

__all__ = ["Budget", "BudgetAccount", "BudgetReservation"]


class Budget(TableModel, table=True):
    """How much may be spent by somebody, or by everybody, in a day, in a month or altogether."""

    __tablename__ = "budgets"
    __table_args__ = (
        partial_index(
            "scope_kind",
            "scope_key",
            "period",
            where="scope_key IS NOT NULL",
            name="uq_budgets_scope_kind_scope_key_period",
            unique=True,
        ),
        partial_index(
            "scope_kind", "period", where="scope_key IS NULL", name="uq_budgets_scope_kind_period", unique=True
        ),
        present_index("user_id"),
        enum_check("scope_kind", BudgetScope),
        enum_check("period", BudgetPeriod),
        CheckConstraint("scope_kind <> 'global' OR scope_key IS NULL", name="global_has_no_key"),
        CheckConstraint("scope_key <> ''", name="scope_key"),
        *non_negative("limit_nano_usd"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the budget.")
    scope_kind: BudgetScope = enum_field(BudgetScope.GLOBAL, "Whose spending is limited.")
    scope_key: str | None = text_field(
        "Which user, session, project or agent; null: all together, or each one of them that has no budget of its own.",
        None,
    )
    period: BudgetPeriod = enum_field(BudgetPeriod.DAY, "How long it lasts before it begins anew, in UTC.")
    limit_nano_usd: Counter = count_field(
        "The most that may be spent in one period, in billionths of a US dollar.", REQUIRED
    )
    is_active: bool = flag_field("Whether it is kept to; spending is not counted while it is not.", default=True)
    user_id: str | None = text_field("The user whose own budget it is, the same as scope_key; null for others.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class BudgetAccount(TableModel, table=True):
    """What has been spent and what is set aside of one budget in one period."""

    __tablename__ = "budget_accounts"
    __table_args__ = (
        UniqueConstraint("budget_id", "scope_key", "starts_at"),
        present_index("user_id"),
        *non_negative("spent_nano_usd", "reserved_nano_usd"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the account.")
    budget_id: int = reference("budgets.id", "The budget.", ondelete="CASCADE", key=BigInt, default=REQUIRED)
    scope_key: str = text_field(
        "Which user, session, project or agent of a budget for each of them; empty for the budget of all together.", ""
    )
    starts_at: datetime = moment_field(
        "When the period began, in UTC; 1970-01-01 for a budget that never begins anew.", REQUIRED
    )
    spent_nano_usd: Counter = count_field("The sum of the settled reservations, in billionths of a US dollar.")
    reserved_nano_usd: Counter = count_field("The sum of the reservations still held, in billionths of a US dollar.")
    user_id: str | None = text_field("The user who spends it; null when it is no budget of users.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class BudgetReservation(TableModel, table=True):
    """What one call set aside in one account, and what it cost in the end."""

    __tablename__ = "budget_reservations"
    __table_args__ = (
        UniqueConstraint("reservation_uuid", "account_id"),
        Index(None, "account_id", "state", "expires_at"),
        partial_index("expires_at", where="state = 'held'", name="idx_budget_reservations_held"),
        present_index("user_id"),
        enum_check("state", ReservationState),
        CheckConstraint("(state = 'settled') = (actual_nano_usd IS NOT NULL)", name="actual_when_settled"),
        *non_negative("estimate_nano_usd", "actual_nano_usd"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the row.")
    reservation_uuid: UUID = uuid_field("The reservation; it has a row in the account of every budget that applied.")
    account_id: int = reference("budget_accounts.id", "The account.", ondelete="CASCADE", key=BigInt, default=REQUIRED)
    estimate_nano_usd: Counter = count_field("What was set aside, in billionths of a US dollar.", REQUIRED)
    actual_nano_usd: Counter | None = count_field(
        "What it cost, in billionths of a US dollar; null until it is settled.", None
    )
    state: ReservationState = enum_field(ReservationState.HELD, "What became of it.")
    expires_at: datetime = moment_field("When it stops counting if nobody settles or releases it.", REQUIRED)
    ended_at: datetime | None = moment_field("When it was settled, released or expired; null while it is held.")
    user_id: str | None = text_field("Who spends, in the caller's own words; null when not said.", None)
    session_uuid: str | None = text_field("Id of the runtime's session; null when not said.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()
