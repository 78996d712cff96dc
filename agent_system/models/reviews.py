"""What reviews look at: counters that make one due, figures of how well things do, and what could be done better."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index

from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt
from agent_system.models.fields import (
    COUNTED_KEY,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    int_field,
    int_key,
    json_field,
    meta_field,
    moment_field,
    non_negative,
    nullable_enum_field,
    partial_index,
    present_index,
    real_field,
    reference,
    required_enum_field,
    text_field,
    updated_at_field,
)
from agent_system.types import (
    Counter,
    CounterType,
    Effort,
    Int64,
    JsonObject,
    JsonValue,
    OpportunityStatus,
    ReviewFrequency,
    RowId,
)

__all__ = ["EffectivenessMetric", "OptimizationOpportunity", "ReviewCounter"]


class ReviewCounter(TableModel, table=True):
    """Counts something about an entity until a review of it is due, and begins again."""

    __tablename__ = "review_counters"
    __table_args__ = (
        Index(None, "entity_type", "entity_id", "counter_type", unique=True),
        present_index("next_review_at"),
        enum_check("counter_type", CounterType),
        enum_check("frequency", ReviewFrequency),
        CheckConstraint("threshold >= 1", name="threshold"),
        CheckConstraint("period_seconds > 0", name="period_seconds"),
        CheckConstraint("frequency = 'threshold' OR period_seconds IS NOT NULL", name="period"),
        *non_negative("count", "total_count", "review_count"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the counter.")
    entity_type: str = text_field("Type of the entity, such as agent.")
    entity_id: str = text_field("Key of the entity, as text.")
    counter_type: CounterType = required_enum_field(CounterType, "What is counted.")
    count: Counter = count_field("How often it happened since the last review.")
    total_count: Counter = count_field("How often it happened in all.")
    threshold: Int64 = int_field("The count at which a review is due.", 100)
    frequency: ReviewFrequency = enum_field(
        ReviewFrequency.THRESHOLD, "When a review is due: at the threshold, after the period, or at either."
    )
    period_seconds: float | None = real_field("Seconds from one review to the next; null: time does not matter.", None)
    review_count: Counter = count_field("How many reviews have become due.")
    last_review_at: datetime | None = moment_field("When a review became due last; null: none has.")
    next_review_at: datetime | None = moment_field("When one will be due by time; null: time does not matter.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class OptimizationOpportunity(TableModel, table=True):
    """Something that could be done better."""

    __tablename__ = "optimization_opportunities"
    __table_args__ = (
        partial_index(
            "entity_type",
            "entity_id",
            "opportunity_type",
            where="status IN ('pending', 'in_progress')",
            name="uq_optimization_opportunities_open",
            unique=True,
        ),
        Index(None, "status", "potential_impact"),
        Index(None, "entity_type", "entity_id"),
        present_index("created_by_event_id"),
        enum_check("effort_estimate", Effort),
        enum_check("status", OpportunityStatus),
        *non_negative("occurrence_count"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the opportunity.")
    entity_type: str = text_field("Type of the entity that could do better, such as agent.")
    entity_id: str = text_field("Key of the entity, as text.")
    opportunity_type: str = text_field("What kind of opportunity, such as repeated_failures or slow.")
    description: str = text_field("What could be done better, for people.", "")
    potential_impact: float = real_field("How much it would help, as whoever found it reckons; larger is more.", 0.0)
    effort_estimate: Effort | None = nullable_enum_field(Effort, "How much work it would be; null when not known.")
    status: OpportunityStatus = enum_field(OpportunityStatus.PENDING, "What becomes of it; one per kind is open.")
    occurrence_count: Counter = count_field("How often it was found while it was open.", 1)
    created_by_event_id: int | None = reference(
        "events.id", "The event that led to it; null when none did.", ondelete="SET NULL", key=BigInt
    )
    result: str | None = text_field("What came of it, or why it was rejected; null until it is closed.", None)
    completed_at: datetime | None = moment_field("When it was closed, in whatever way; null: it is open.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class EffectivenessMetric(TableModel, table=True):
    """A figure of how well an entity did at one time; rows are added, never changed."""

    __tablename__ = "entity_effectiveness"
    __table_args__ = (
        Index("idx_entity_effectiveness_entity", "entity_type", "entity_id", "metric_name", "measured_at"),
        Index("idx_entity_effectiveness_metric", "entity_type", "metric_name", "measured_at"),
        present_index("event_id"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the figure; rises in the order of writing.")
    entity_type: str = text_field("Type of the entity, such as agent.")
    entity_id: str = text_field("Key of the entity, as text.")
    metric_name: str = text_field("What was measured, such as task_success_rate.")
    metric_value: float = real_field("The figure, in the metric's own unit.")
    measured_at: datetime = created_at_field("When it was measured, in UTC.")
    event_id: int | None = reference(
        "events.id", "The event that it was measured at; null when at none.", ondelete="SET NULL", key=BigInt
    )
    context: JsonValue = json_field("What it was made of, as JSON; null when not recorded.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
