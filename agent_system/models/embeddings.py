"""Vectors that stand for texts: any number of models side by side, never mixed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint

from agent_system.models import search_changes
from agent_system.models.base import TableModel, metadata
from agent_system.models.columns import BigInt, Text
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    created_at_field,
    flag_field,
    int_field,
    int_key,
    meta_field,
    partial_index,
    present_index,
    reference,
    text_field,
    updated_at_field,
    vector_field,
)
from agent_system.models.triggers import keep_in_database
from agent_system.types import Int64, JsonObject, RowId

__all__ = ["Embedding", "EmbeddingModel"]


class EmbeddingModel(TableModel, table=True):
    """A space of vectors: vectors of two models cannot be compared."""

    __tablename__ = "embedding_models"
    __table_args__ = (
        UniqueConstraint("provider", "name", "dimensions"),
        CheckConstraint("dimensions >= 1", name="dimensions"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the model.")
    provider: str = text_field("Who computes the vectors.", "local")
    name: str = text_field("Name of the model, as its provider writes it.")
    dimensions: Int64 = int_field("How many numbers a vector has.")
    is_normalised: bool = flag_field("Whether every vector has the length 1.", default=True)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class Embedding(TableModel, table=True):
    """The vector of one text in one model; it goes with the text, and can go without it."""

    __tablename__ = "embeddings"
    __table_args__ = (
        partial_index("memory_id", "model_id", where="memory_id IS NOT NULL", unique=True),
        partial_index("message_id", "model_id", where="message_id IS NOT NULL", unique=True),
        partial_index("context_document_id", "model_id", where="context_document_id IS NOT NULL", unique=True),
        present_index("user_id"),
        CheckConstraint(
            "CASE WHEN memory_id IS NULL THEN 0 ELSE 1 END + CASE WHEN message_id IS NULL THEN 0 ELSE 1 END"
            " + CASE WHEN context_document_id IS NULL THEN 0 ELSE 1 END = 1",
            name="owner",
        ),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the embedding.")
    model_id: int = reference(
        "embedding_models.id", "The model.", ondelete="CASCADE", key=BigInt, default=REQUIRED, index=True
    )
    memory_id: Int64 | None = reference(
        "memories.id", "The memory whose text it is; null when it is another one's.", ondelete="CASCADE", key=BigInt
    )
    message_id: Int64 | None = reference(
        "messages.id", "The message whose text it is; null when it is another one's.", ondelete="CASCADE", key=BigInt
    )
    context_document_id: UUID | None = reference(
        "context_documents.id", "The document whose text it is; null when it is another one's.", ondelete="CASCADE"
    )
    user_id: str | None = reference(
        "user_identities.id",
        "The identity whose text it is, by which vectors are cleared; null: nobody's own.",
        ondelete="CASCADE",
        key=Text,
    )
    text_hash: str | None = text_field("Digest of the text that it was made of; null when not known.", None)
    vector: bytes = vector_field("The numbers as float32, little-endian, one after the other.")
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


keep_in_database(metadata, sqlite=search_changes.SQLITE, postgresql=search_changes.POSTGRESQL)
