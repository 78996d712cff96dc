"""What agents read: documents, and every version that their content had."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Relationship

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    created_at_field,
    enum_check,
    enum_field,
    int_field,
    int_key,
    json_array_field,
    meta_field,
    present_index,
    reference,
    text_field,
    updated_at_field,
    uuid_field,
    uuid_key,
    version_field,
)
from agent_system.models.naming import keep_keys
from agent_system.types import Int64, JsonObject, LifecycleStatus, RowId, StringList

__all__ = ["ContextDocument", "ContextDocumentKey", "DocumentVersion"]


class DocumentVersion(TableModel, table=True):
    """The content of a document as it was from one change to the next; rows are added, never changed."""

    __tablename__ = "document_versions"
    __table_args__ = (
        Index(None, "document_id", "version", unique=True),
        CheckConstraint("version >= 1", name="version"),
    )

    id: UUID = uuid_key("Key of the version, a UUIDv7.")
    document_id: UUID = reference("context_documents.id", "The document.", ondelete="CASCADE", default=REQUIRED)
    version: Int64 = int_field("Number of the version, from 1.")
    title: str | None = text_field("The title at that time; null when it had none.", None)
    content: str = text_field("The whole content.")
    author: str | None = text_field("Who wrote it; null when not known.", None)
    reason: str | None = text_field("Why it was changed; null when not given.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When the content became this, in UTC.")


class ContextDocument(TableModel, table=True):
    """A document that agents are given to read."""

    __tablename__ = "context_documents"
    __table_args__ = (
        present_index("user_id"),
        present_index("parent_document_id"),
        enum_check("status", LifecycleStatus),
        CheckConstraint("content_version >= 1", name="content_version"),
    )

    id: UUID = uuid_key("Key of the document, a UUIDv7.")
    user_id: UUID | None = reference("users.id", "Owner; null: shared by all.", ondelete="CASCADE")
    parent_document_id: UUID | None = reference(
        "context_documents.id", "The document that it is a part or a clone of; null when none.", ondelete="SET NULL"
    )
    name_key: str = text_field("The name as it is looked up (casefolded); kept with `name`.", None, index=True)
    name: str = text_field("Name by which agents ask for the document.")
    title: str | None = text_field("Title for people; null: the name will do.", None)
    content: str = text_field("The whole content.", "")
    content_version: Int64 = int_field("Number of the newest row in document_versions.", 1)
    format: str = text_field("How the content is written, such as markdown, text or json.", "markdown")
    category: str = text_field("Group that the document belongs to.", "general", index=True)
    tags: StringList = json_array_field("Words to find it by.")
    access_level: str = text_field("Who may read it, as the runtime understands it.", "internal")
    status: LifecycleStatus = enum_field(LifecycleStatus.ACTIVE, "Whether the document is in use; archived: deleted.")
    updated_by: str | None = text_field("Who changed the content last; null when not known.", None)
    extra_terms: str | None = text_field(
        "Words that the index would not find in the texts, such as those of scripts without blanks; null: none.", None
    )
    created_by_task_id: UUID | None = uuid_field(
        "The task that made it; no foreign key, for it may have been deleted. Null when no task did.", None
    )
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()

    versions: list[DocumentVersion] = Relationship(
        sa_relationship_kwargs={"viewonly": True, "lazy": "raise", "order_by": "DocumentVersion.version"}
    )


keep_keys(ContextDocument, "name")


class ContextDocumentKey(TableModel, table=True):
    """The number of a document, by which SQLite's full-text index knows it; a trigger gives it."""

    __tablename__ = "context_document_keys"
    __table_args__ = (UniqueConstraint("document_id"), COUNTED_KEY)

    id: RowId = int_key("The number.")
    document_id: UUID = reference("context_documents.id", "The document.", ondelete="CASCADE", default=REQUIRED)
    created_at: datetime = created_at_field("When the document got it, in UTC.")
