"""What it costs: providers, their models, and the tokens that every call used."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Relationship

from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt, Real
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    NanoDollarsAsDollars,
    computed_field,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    int_field,
    int_key,
    json_field,
    meta_field,
    non_negative,
    nullable_enum_field,
    present_index,
    real_field,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.models.naming import keep_keys
from agent_system.models.projects import Project
from agent_system.types import CostSource, Counter, Int64, JsonObject, JsonValue, LedgerEntryKind, RowId, UsageState

__all__ = ["Host", "Model", "TokenUsage"]


class Host(TableModel, table=True):
    """Who runs models: a provider or a server of one's own."""

    __tablename__ = "hosts"
    __table_args__ = COUNTED_KEY

    id: RowId = int_key("Key of the host.")
    name_key: str = text_field("The name as it is compared (casefolded), unique; kept with `name`.", None, unique=True)
    name: str = text_field("Name of the provider.")
    base_url: str | None = text_field("Address of its API; null when not known.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


keep_keys(Host, "name")


class Model(TableModel, table=True):
    """A model as one host offers it; a model that nobody named is `unknown`."""

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("name", "host_id"),
        *non_negative("input_cost_per_1k", "output_cost_per_1k"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the model.")
    name: str = text_field("Name of the model, as the host writes it; unique per host.")
    host_id: int = reference("hosts.id", "The host.", ondelete="CASCADE", key=BigInt, default=REQUIRED, index=True)
    input_cost_per_1k: float | None = real_field(
        "US dollars for 1,000 input tokens: the present price of a model with dated prices, and what a model without "
        "any is priced by, at all times. Null: no price is known.",
        None,
    )
    output_cost_per_1k: float | None = real_field(
        "US dollars for 1,000 output tokens, in the same sense. Null: no price is known.", None
    )
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()

    host: Host = Relationship(sa_relationship_kwargs={"viewonly": True, "lazy": "raise"})


class TokenUsage(TableModel, table=True):
    """The tokens and the cost of one call to a model, or a correction of an earlier cost.

    Token counts follow OpenTelemetry's GenAI conventions: input_tokens and output_tokens are totals, the other classes
    are parts of them. Money is counted in whole nano-dollars, so that sums are exact.
    """

    __tablename__ = "token_usage"
    __table_args__ = (
        Index("idx_token_usage_timestamp", "timestamp"),
        Index("idx_token_usage_project", "project_id", "timestamp"),
        Index("idx_token_usage_model", "model_id", "timestamp"),
        Index("idx_token_usage_user", "user_id", "timestamp"),
        Index("idx_token_usage_request", "request_id", "attempt", unique=True),
        present_index("agent_id"),
        present_index("task_id"),
        present_index("conversation_id"),
        present_index("message_id"),
        present_index("session_uuid"),
        present_index("corrects_id"),
        enum_check("kind", LedgerEntryKind),
        enum_check("usage_state", UsageState),
        enum_check("cost_source", CostSource),
        CheckConstraint("attempt >= 1", name="attempt"),
        CheckConstraint("cost_nano_usd >= 0 OR kind = 'correction'", name="cost_nano_usd"),
        CheckConstraint(
            "usage_state <> 'missing' OR (input_tokens IS NULL AND output_tokens IS NULL)", name="missing_is_not_zero"
        ),
        CheckConstraint(
            "coalesce(cache_read_input_tokens, 0) + coalesce(cache_creation_input_tokens, 0) <= input_tokens",
            name="cached_within_input",
        ),
        CheckConstraint(
            "coalesce(cache_creation_5m_input_tokens, 0) + coalesce(cache_creation_1h_input_tokens, 0)"
            " <= cache_creation_input_tokens",
            name="cache_creation_split",
        ),
        CheckConstraint("reasoning_output_tokens <= output_tokens", name="reasoning_within_output"),
        *non_negative(
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "cache_creation_5m_input_tokens",
            "cache_creation_1h_input_tokens",
            "reasoning_output_tokens",
            "response_time_ms",
        ),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the entry.")
    timestamp: datetime = created_at_field("When the model was called, in UTC.")
    kind: LedgerEntryKind = enum_field(LedgerEntryKind.USAGE, "usage: a call; correction: the cost of an earlier row.")
    project_id: UUID | None = reference(
        "projects.id", "The project that pays; null: none was named, or it was deleted.", ondelete="SET NULL"
    )
    model_id: int = reference(
        "models.id", "The model that was called.", ondelete="RESTRICT", key=BigInt, default=REQUIRED
    )
    user_id: str | None = text_field("Who caused it, in the caller's own words; null when not known.", None)
    agent_id: UUID | None = reference("agents.id", "The agent that called; null when none.", ondelete="SET NULL")
    task_id: UUID | None = reference("tasks.id", "The task that it was for; null when none.", ondelete="SET NULL")
    conversation_id: UUID | None = reference(
        "conversations.id", "The conversation that it was for; null when none.", ondelete="SET NULL"
    )
    message_id: int | None = reference(
        "messages.id", "The message that came of it; null when none.", ondelete="SET NULL", key=BigInt
    )
    session_uuid: str | None = text_field("Id of the runtime's session; null when not known.", None)
    role: str | None = text_field("What the call was made as, for reports by role; null when not said.", None)
    request_id: str | None = text_field("Id of the request; unique with `attempt`. Null when not known.", None)
    attempt: Int64 = int_field("Which attempt at the request it was, from 1.", 1)
    usage_state: UsageState = enum_field(UsageState.REPORTED, "What the counts are worth; missing is not zero.")
    input_tokens: Counter | None = count_field("All tokens that the model read; null when missing.", None)
    output_tokens: Counter | None = count_field("All tokens that the model wrote; null when missing.", None)
    total_tokens: int | None = computed_field(
        "input_tokens + output_tokens", BigInt, "Sum of the two, computed by the database; null when one is missing."
    )
    cache_read_input_tokens: Counter | None = count_field(
        "Those of input_tokens that came from a cache; null when not reported.", None
    )
    cache_creation_input_tokens: Counter | None = count_field(
        "Those of input_tokens that were written to a cache; null when not reported.", None
    )
    cache_creation_5m_input_tokens: Counter | None = count_field(
        "Those of cache_creation_input_tokens that are kept for five minutes; null when not reported.", None
    )
    cache_creation_1h_input_tokens: Counter | None = count_field(
        "Those of cache_creation_input_tokens that are kept for an hour; null when not reported.", None
    )
    reasoning_output_tokens: Counter | None = count_field(
        "Those of output_tokens that were reasoning; null when not reported.", None
    )
    cost_nano_usd: Int64 | None = int_field(
        "Cost in billionths of a US dollar; null: unpriced. Negative only in a correction.", None
    )
    cost_usd: float | None = computed_field(
        NanoDollarsAsDollars("cost_nano_usd"), Real, "Cost in US dollars, computed by the database; null: unpriced."
    )
    cost_source: CostSource | None = nullable_enum_field(
        CostSource, "Whether the cost was computed from prices or reported by the provider; null: unpriced."
    )
    corrects_id: int | None = reference(
        "token_usage.id", "The entry whose cost this one corrects; null in a usage.", ondelete="CASCADE", key=BigInt
    )
    response_time_ms: float | None = real_field("Milliseconds that the call took; null when not known.", None)
    success: bool = flag_field("Whether the call succeeded.", default=True)
    error_type: str | None = text_field("What kind of error ended the call; null when none did.", None)
    raw_usage: JsonValue = json_field("The usage as the provider reported it, for later pricing; null when none was.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When the entry was written first, in UTC.")
    updated_at: datetime = updated_at_field()

    model: Model = Relationship(sa_relationship_kwargs={"viewonly": True, "lazy": "raise"})
    project: Project | None = Relationship(sa_relationship_kwargs={"viewonly": True, "lazy": "raise"})
