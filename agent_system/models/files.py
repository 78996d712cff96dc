"""Which files of the project were used by whom, and the documents among them that somebody looks after."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index

from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    int_key,
    meta_field,
    moment_field,
    non_negative,
    partial_index,
    present_index,
    reference,
    required_enum_field,
    text_field,
    updated_at_field,
)
from agent_system.types import Counter, DocumentStatus, FileOperation, JsonObject, RowId

__all__ = ["Document", "File", "FileAccess"]


class File(TableModel, table=True):
    """A file of the project, with how often it was used."""

    __tablename__ = "files"
    __table_args__ = (
        Index(None, "user_id", "file_path", unique=True),
        partial_index("file_path", where="user_id IS NULL", name="uq_files_shared_file_path", unique=True),
        Index(None, "access_count"),
        Index(None, "last_accessed_at"),
        *non_negative("access_count", "read_count", "write_count", "edit_count", "size_bytes"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the file.")
    user_id: UUID | None = reference("users.id", "Whose use it is; null: shared by all.", ondelete="CASCADE")
    file_path: str = text_field("Path of the file as the tools name it, unique per owner.")
    access_count: Counter = count_field("How often it was used, in whatever way.")
    read_count: Counter = count_field("How often it was read.")
    write_count: Counter = count_field("How often it was written whole.")
    edit_count: Counter = count_field("How often a part of it was changed.")
    size_bytes: Counter | None = count_field("How large it was when it was last used; null when not known.", None)
    content_hash: str | None = text_field("Digest of its content at that time; null when not known.", None)
    first_seen_at: datetime = created_at_field("When it was used first, in UTC.")
    last_accessed_at: datetime = created_at_field("When it was used last, in UTC.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class FileAccess(TableModel, table=True):
    """One use of a file; rows are added, never changed."""

    __tablename__ = "file_accesses"
    __table_args__ = (
        Index(None, "file_id", "timestamp"),
        present_index("task_id", "file_id"),
        present_index("session_uuid"),
        Index("idx_file_accesses_timestamp", "timestamp"),
        enum_check("operation", FileOperation),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the use; rises in the order of writing.")
    timestamp: datetime = created_at_field("When the file was used, in UTC.")
    file_id: int = reference("files.id", "The file.", ondelete="CASCADE", key=BigInt, default=REQUIRED)
    task_id: UUID | None = reference("tasks.id", "The task that used it; null when none did.", ondelete="SET NULL")
    session_uuid: str | None = text_field("Id of the runtime's session; null when not known.", None)
    operation: FileOperation = required_enum_field(FileOperation, "What was done to it.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()


class Document(TableModel, table=True):
    """A document of the project that somebody looks after, such as a plan or an analysis."""

    __tablename__ = "documents"
    __table_args__ = (
        Index(None, "user_id", "path", unique=True),
        partial_index("path", where="user_id IS NULL", name="uq_documents_shared_path", unique=True),
        present_index("task_id"),
        Index(None, "status", "updated_at"),
        enum_check("status", DocumentStatus),
        CheckConstraint("archived_at IS NOT NULL OR status <> 'archived'", name="archived_at"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the document.")
    user_id: UUID | None = reference("users.id", "Whose document it is; null: shared by all.", ondelete="CASCADE")
    path: str = text_field("Path of the document, unique per owner.")
    status: DocumentStatus = enum_field(DocumentStatus.ACTIVE, "Where it stands.")
    task_id: UUID | None = reference("tasks.id", "The task that made it; null when none did.", ondelete="SET NULL")
    notes: str | None = text_field("Why it was archived, or whatever else is to be remembered; null: nothing.", None)
    archived_at: datetime | None = moment_field("When it was archived; null: it is not.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()
