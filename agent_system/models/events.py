"""What happened: the audit trail of agents, tasks, tools, documents and processes, and whatever callers add."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index

from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt
from agent_system.models.fields import (
    COUNTED_KEY,
    created_at_field,
    enum_check,
    enum_field,
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
    uuid_field,
)
from agent_system.types import EventOutcome, Int64, JsonObject, JsonValue, RowId, Severity

__all__ = ["Event"]


class Event(TableModel, table=True):
    """One thing that happened to one entity; rows are added, never changed.

    The last six columns belong to the sealing of events into a keyed hash chain; they stay NULL until a batch is
    sealed. The digest is of the salted payload, so that erasing a payload leaves the chain valid.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "entity_type", "entity_id", "id"),
        Index(None, "event_type", "created_at"),
        present_index("parent_event_id"),
        present_index("tree_id"),
        present_index("seal_id"),
        enum_check("outcome", EventOutcome),
        enum_check("severity", Severity),
        *non_negative("duration_ms"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the event; rises in the order of writing.")
    event_type: str = text_field("What happened, such as agent.created.")
    entity_type: str = text_field("Type of the entity that it happened to, such as agent.")
    entity_id: str = text_field("Key of the entity, as text; empty when it concerns the type as a whole.", "")
    actor: str | None = text_field("Who did it; null when not known.", None)
    before: JsonValue = json_field("The changed columns as they were; null for what is new.")
    after: JsonValue = json_field("The changed columns as they are; null for what was deleted.")
    data: JsonValue = json_field("What else belongs to the event; null when nothing does.")
    related_entities: JsonValue = json_field("Keys of other entities concerned, by type; null when none are.")
    parent_event_id: int | None = reference(
        "events.id",
        "The event that this one is a part or a result of; null when none.",
        ondelete="SET NULL",
        key=BigInt,
    )
    tree_id: UUID | None = uuid_field("The task tree in which it happened; null when in none.", None)
    outcome: EventOutcome | None = nullable_enum_field(EventOutcome, "How it ended; null when that has no meaning.")
    severity: Severity = enum_field(Severity.INFO, "How much it matters.")
    duration_ms: float | None = real_field("How long it took, in milliseconds; null when it took no time.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When it happened, in UTC.", index=True)
    payload_salt: str | None = text_field("Salt of the digest, hexadecimal; null until sealed.", None)
    payload_digest: str | None = text_field("Digest of the salted payload, hexadecimal; null until sealed.", None)
    previous_digest: str | None = text_field("The chain before this event, hexadecimal; null until sealed.", None)
    chain_digest: str | None = text_field("Keyed digest of the chain with this event; null until sealed.", None)
    seal_id: Int64 | None = int_field("The batch in which it was sealed; null until sealed.", None)
    key_id: str | None = text_field("Name of the key of the chain; null until sealed.", None)
