"""What is left at a provider, and the alerts when it is little."""

from datetime import datetime

from sqlalchemy import Index

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    COUNTED_KEY,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    int_field,
    int_key,
    json_field,
    meta_field,
    moment_field,
    real_field,
    text_field,
    updated_at_field,
)
from agent_system.types import AlertSeverity, Int64, JsonObject, JsonValue, RowId

__all__ = ["CreditAlert", "CreditBalance"]


class CreditBalance(TableModel, table=True):
    """What a provider said at one moment about the money that is left with it."""

    __tablename__ = "credit_balance"
    __table_args__ = (Index("idx_credit_provider_time", "provider", "last_updated"), COUNTED_KEY)

    id: RowId = int_key("Key of the snapshot.")
    provider: str = text_field("The provider, in its usual spelling.", "openrouter")
    credits_remaining: float | None = real_field("US dollars that are left; null when the provider did not say.", None)
    credits_used: float | None = real_field("US dollars used so far; null when the provider did not say.", None)
    daily_spend: float | None = real_field("US dollars spent on this day; null when the provider did not say.", None)
    monthly_spend: float | None = real_field(
        "US dollars spent in this month; null when the provider did not say.", None
    )
    rate_limit_remaining: Int64 | None = int_field(
        "Requests that are left until `rate_limit_reset`; null when the provider did not say.", None
    )
    rate_limit_reset: datetime | None = moment_field(
        "When the count of requests begins anew, in UTC; null when the provider did not say."
    )
    last_updated: datetime = created_at_field("When the provider was asked, in UTC.")
    raw_response: JsonValue = json_field("The provider's whole answer; null when it was not kept.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class CreditAlert(TableModel, table=True):
    """Something about the credits that somebody should know."""

    __tablename__ = "credit_alerts"
    __table_args__ = (
        Index("idx_alerts_type_time", "alert_type", "created_at"),
        Index("idx_credit_alerts_active", "acknowledged", "created_at"),
        enum_check("severity", AlertSeverity),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the alert.")
    alert_type: str = text_field("Kind of alert: low_balance, rate_limit, daily_limit, or one of the caller's own.")
    provider: str | None = text_field("The provider that it is about; null when about none.", None)
    threshold_value: float | None = real_field("The limit that was passed; null when there is none.", None)
    current_value: float | None = real_field("The value that passed it; null when there is none.", None)
    message: str | None = text_field("The alert in words; null when the numbers say it all.", None)
    severity: AlertSeverity = enum_field(AlertSeverity.INFO, "How urgent it is.")
    acknowledged: bool = flag_field("Whether somebody has taken note.", default=False)
    acknowledged_at: datetime | None = moment_field("When somebody took note; null: not yet.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When the limit was passed, in UTC.")
    updated_at: datetime = updated_at_field()
