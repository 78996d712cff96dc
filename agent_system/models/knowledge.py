"""What agents know and do not know: what was done with documents, and what no document told."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    REQUIRED,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    int_field,
    meta_field,
    moment_field,
    non_negative,
    partial_index,
    present_index,
    real_field,
    reference,
    text_field,
    updated_at_field,
    uuid_key,
)
from agent_system.models.naming import keep_keys
from agent_system.types import Counter, Int64, JsonObject, KnowledgeGapStatus, KnowledgeUse

__all__ = ["KnowledgeGap", "KnowledgeUsage"]


class KnowledgeUsage(TableModel, table=True):
    """A document was put before an agent, or used by it; rows are added, never changed."""

    __tablename__ = "knowledge_usage"
    __table_args__ = (
        Index(None, "document_id", "created_at"),
        present_index("user_id"),
        present_index("task_id"),
        present_index("agent_id"),
        Index(None, "created_at"),
        enum_check("usage_type", KnowledgeUse),
        CheckConstraint("relevance BETWEEN 0 AND 1", name="relevance"),
    )

    id: UUID = uuid_key("Key of the use, a UUIDv7.")
    document_id: UUID = reference("context_documents.id", "The document.", ondelete="CASCADE", default=REQUIRED)
    user_id: UUID | None = reference("users.id", "For whom it was used; null: not known.", ondelete="CASCADE")
    content_version: Int64 | None = int_field("The version of its content; null when not known.", None)
    task_id: UUID | None = reference("tasks.id", "The task that it was for; null when none.", ondelete="SET NULL")
    agent_id: UUID | None = reference("agents.id", "The agent; null when not known.", ondelete="SET NULL")
    usage_type: KnowledgeUse = enum_field(KnowledgeUse.ASSEMBLED, "What was done with the document.")
    relevance: float | None = real_field("How well it fitted, 0 to 1; null when nobody judged.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When it was used, in UTC.")


class KnowledgeGap(TableModel, table=True):
    """Something that an agent needed to know and no document told."""

    __tablename__ = "knowledge_gaps"
    __table_args__ = (
        partial_index("user_id", "topic_key", where="status = 'open'", name="uq_knowledge_gaps_open", unique=True),
        partial_index(
            "topic_key", where="status = 'open' AND user_id IS NULL", name="uq_knowledge_gaps_shared_open", unique=True
        ),
        Index(None, "status", "occurrence_count"),
        present_index("user_id"),
        present_index("task_id"),
        present_index("agent_id"),
        present_index("resolved_by_document_id"),
        enum_check("status", KnowledgeGapStatus),
        *non_negative("occurrence_count"),
    )

    id: UUID = uuid_key("Key of the gap, a UUIDv7.")
    user_id: UUID | None = reference("users.id", "Whose gap it is; null: shared by all.", ondelete="CASCADE")
    topic_key: str = text_field("The topic as it is compared (casefolded), one open gap each; kept with `topic`.", None)
    topic: str = text_field("What it is about, in a few words.")
    description: str | None = text_field("What exactly was missing; null when not told.", None)
    category: str = text_field("Group of documents in which the answer would belong.", "general")
    status: KnowledgeGapStatus = enum_field(KnowledgeGapStatus.OPEN, "What became of it.")
    occurrence_count: Counter = count_field("How often it was missed while it was open.", 1)
    last_seen_at: datetime = created_at_field("When it was missed last, in UTC.")
    task_id: UUID | None = reference("tasks.id", "The task that missed it first; null: none.", ondelete="SET NULL")
    agent_id: UUID | None = reference("agents.id", "The agent that missed it first; null: none.", ondelete="SET NULL")
    resolved_by_document_id: UUID | None = reference(
        "context_documents.id", "The document that tells it now; null when none does.", ondelete="SET NULL"
    )
    resolution: str | None = text_field("How it was closed, or why it was dismissed; null: it was not.", None)
    resolved_at: datetime | None = moment_field("When it was closed, in whatever way; null: it is open.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


keep_keys(KnowledgeGap, "topic")
