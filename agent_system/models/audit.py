"""The seals of the audit chain."""

from datetime import datetime
from uuid import UUID

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    count_field,
    created_at_field,
    enum_check,
    int_field,
    int_key,
    json_object_field,
    non_negative,
    reference,
    required_enum_field,
    text_field,
    updated_at_field,
)
from agent_system.types import Int64, JsonObject, RowId, SealKind

__all__ = ["AuditSeal"]


class AuditSeal(TableModel, table=True):
    """One link of the audit chain: it vouches for a batch of events, or for what an erasure has left of some.

    Links are numbered from 1 without a gap, and each has the digest of the one before it, so that none can be changed
    or left out by somebody who has not got the key.
    """

    __tablename__ = "audit_seals"
    __table_args__ = (enum_check("kind", SealKind), *non_negative("event_count"))

    id: RowId = int_key("Number of the link, from 1 without a gap.")
    kind: SealKind = required_enum_field(SealKind, "What it vouches for: events or erasure.")
    first_event_id: Int64 | None = int_field("The lowest key of its events; null when it has none.", None)
    last_event_id: Int64 | None = int_field("The highest key of its events; null when it has none.", None)
    event_count: Int64 = count_field("How many events it vouches for.")
    content_digest: str = text_field("Digest of what it vouches for, hexadecimal.")
    previous_digest: str = text_field("The chain digest of the link before it; empty for the first.", "")
    chain_digest: str = text_field("Keyed digest of all of the above, hexadecimal; empty when there was no key.", "")
    key_id: str | None = text_field("Name of the key of the chain; null when there was none.", None)
    receipt_id: UUID | None = reference(
        "erasure_receipts.id", "The receipt of the erasure; null for events.", ondelete="RESTRICT", index=True
    )
    amended: JsonObject = json_object_field("The digest of what is left of each event that was emptied, by key.")
    created_at: datetime = created_at_field("When it was sealed, in UTC.")
    updated_at: datetime = updated_at_field()
