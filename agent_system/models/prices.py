"""What models cost: dated prices for each class of tokens."""

from datetime import datetime

from sqlalchemy import UniqueConstraint

from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    count_field,
    created_at_field,
    int_key,
    meta_field,
    moment_field,
    non_negative,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.types import Counter, JsonObject, RowId

__all__ = ["ModelPrice"]


class ModelPrice(TableModel, table=True):
    """What a model costs from a moment on, until the next moment that it has prices for.

    Prices are whole nano-dollars for a million tokens, so that every list price is exact: $0.0375 are 37,500,000. A
    model that has dated prices is priced by them alone; one that has none, by the two columns of its own row.
    """

    __tablename__ = "model_prices"
    __table_args__ = (
        UniqueConstraint("model_id", "valid_from", "above_input_tokens"),
        *non_negative(
            "above_input_tokens",
            "input_nano_usd_per_million",
            "output_nano_usd_per_million",
            "cache_read_nano_usd_per_million",
            "cache_creation_5m_nano_usd_per_million",
            "cache_creation_1h_nano_usd_per_million",
        ),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the price.")
    model_id: int = reference("models.id", "The model.", ondelete="CASCADE", key=BigInt, default=REQUIRED)
    valid_from: datetime = moment_field("The first moment at which the price holds, in UTC.", REQUIRED)
    above_input_tokens: Counter = count_field(
        "Providers charge long prompts more: the price holds for calls with more input tokens than this; 0: for others."
    )
    input_nano_usd_per_million: Counter | None = count_field(
        "Nano-dollars for a million input tokens outside of any cache; null: not known.", None
    )
    output_nano_usd_per_million: Counter | None = count_field(
        "Nano-dollars for a million output tokens, reasoning included; null: not known.", None
    )
    cache_read_nano_usd_per_million: Counter | None = count_field(
        "Nano-dollars for a million tokens read from a cache; null: as other input.", None
    )
    cache_creation_5m_nano_usd_per_million: Counter | None = count_field(
        "Nano-dollars for a million tokens written to a cache for five minutes; null: as other input.", None
    )
    cache_creation_1h_nano_usd_per_million: Counter | None = count_field(
        "Nano-dollars for a million tokens written to a cache for an hour; null: as those for five minutes.", None
    )
    source: str | None = text_field("Where the price was taken from; null when not said.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()
