"""How well models serve: one row for every call, as seed 003 keeps them."""

from datetime import datetime

from sqlalchemy import Index

from agent_system.models.base import TableModel
from agent_system.models.columns import Text
from agent_system.models.fields import (
    COUNTED_KEY,
    count_field,
    created_at_field,
    flag_field,
    int_key,
    meta_field,
    non_negative,
    real_field,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.types import Counter, JsonObject, RowId

__all__ = ["ModelUsage"]


class ModelUsage(TableModel, table=True):
    """One call of a model: how long it took, how it went, and what the model did with the tools."""

    __tablename__ = "model_usage_stats"
    __table_args__ = (
        Index("idx_usage_user_time", "user_id", "timestamp"),
        Index("idx_usage_model_time", "model_name", "timestamp"),
        Index("idx_usage_timestamp", "timestamp"),
        *non_negative(
            "input_length",
            "output_length",
            "response_time_ms",
            "capabilities_detected",
            "capabilities_executed",
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "estimated_cost",
        ),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the call.")
    model_name: str = text_field("Name of the model, as the runtime calls it.")
    user_id: str | None = reference(
        "user_identities.id",
        "Who asked; null when nobody did or when the person was deleted.",
        ondelete="SET NULL",
        key=Text,
    )
    message_id: str | None = text_field("The message that it was for, as its platform counts; null when none.", None)
    input_length: Counter | None = count_field("Characters that the model was given; null when not known.", None)
    output_length: Counter | None = count_field("Characters that the model wrote; null when not known.", None)
    response_time_ms: Counter | None = count_field("Milliseconds that it took; null when not known.", None)
    capabilities_detected: Counter = count_field("Tool calls that were found in the answer.")
    capabilities_executed: Counter = count_field("Those of them that were carried out.")
    capability_types: str = text_field("Which tools they called, separated by commas; empty when none.", "")
    success: bool = flag_field("Whether the call succeeded.", default=True)
    error_type: str | None = text_field("What kind of error ended it; null when none did.", None)
    prompt_tokens: Counter | None = count_field("Tokens that the model read; null when not reported.", None)
    completion_tokens: Counter | None = count_field("Tokens that the model wrote; null when not reported.", None)
    total_tokens: Counter | None = count_field("Tokens in all; null when not reported.", None)
    estimated_cost: float | None = real_field("US dollars that it probably cost; null: the price is not known.", None)
    timestamp: datetime = created_at_field("When the model was called, in UTC.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()
