"""How entities belong together: typed, weighted links between any two of them."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index

from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt
from agent_system.models.fields import (
    COUNTED_KEY,
    created_at_field,
    enum_check,
    int_key,
    json_field,
    meta_field,
    present_index,
    real_field,
    reference,
    required_enum_field,
    text_field,
    updated_at_field,
)
from agent_system.types import JsonObject, JsonValue, RelationshipType, RowId

__all__ = ["EntityRelationship"]


class EntityRelationship(TableModel, table=True):
    """One entity relates to another; polymorphic, so no foreign keys to the two."""

    __tablename__ = "entity_relationships"
    __table_args__ = (
        Index(
            "uq_entity_relationships_ends",
            "source_type",
            "source_id",
            "target_type",
            "target_id",
            "relationship_type",
            unique=True,
        ),
        Index("idx_entity_relationships_target", "target_type", "target_id", "relationship_type"),
        present_index("created_by_event_id"),
        enum_check("relationship_type", RelationshipType),
        CheckConstraint("strength >= 0 AND strength <= 1", name="strength"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the relationship.")
    source_type: str = text_field("Type of the entity that it starts from, such as agent.")
    source_id: str = text_field("Key of the entity that it starts from, as text.")
    target_type: str = text_field("Type of the entity that it leads to.")
    target_id: str = text_field("Key of the entity that it leads to, as text.")
    relationship_type: RelationshipType = required_enum_field(
        RelationshipType, "What the source does with the target; unique between the two together with them."
    )
    strength: float = real_field("How strong it is, from 0 to 1.", 1.0)
    context: JsonValue = json_field("Under which circumstances it holds; null: always.")
    created_by_event_id: int | None = reference(
        "events.id", "The event that made it; null when none did.", ondelete="SET NULL", key=BigInt
    )
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()
