"""What agents remember: memories, the words to find them by, and how they hang together."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint

from agent_system.models import memory_triggers, search_tables
from agent_system.models.base import TableModel, metadata
from agent_system.models.columns import BigInt, Text
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    flag_field,
    int_field,
    int_key,
    json_array_field,
    meta_field,
    moment_field,
    non_negative,
    partial_index,
    present_index,
    real_field,
    reference,
    text_field,
    text_key,
    updated_at_field,
    version_field,
)
from agent_system.models.triggers import keep_in_database
from agent_system.types import (
    Counter,
    Importance,
    Int64,
    JsonArray,
    JsonObject,
    MemoryKind,
    MemoryLinkType,
    MemoryStatus,
    RowId,
    StringList,
)

__all__ = ["Memory", "MemoryLink", "MemoryTag"]


class Memory(TableModel, table=True):
    """Something to remember about somebody or something."""

    __tablename__ = "memories"
    __table_args__ = (
        # What every recall of one person reads. A search reads keys here alone.
        Index("idx_memories_user_id", "user_id", "timestamp", "status", "expires_at"),
        Index("idx_memories_timestamp", "timestamp"),
        Index("idx_memories_importance", "importance"),
        present_index("guild_id", "timestamp"),
        present_index("channel_id", "timestamp"),
        present_index("agent_id", "timestamp"),
        present_index("project_id", "timestamp"),
        present_index("conversation_id"),
        present_index("session_uuid"),
        present_index("consolidated_into"),
        present_index("expires_at"),
        partial_index(
            "scope_key", "kind", "content_hash", where="status = 'active'", name="uq_memories_content", unique=True
        ),
        enum_check("kind", MemoryKind),
        enum_check("status", MemoryStatus),
        CheckConstraint("importance BETWEEN 1 AND 10", name="importance"),
        *non_negative("recall_count"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the memory.")
    user_id: str | None = reference(
        "user_identities.id", "The identity whose memory it is; null: nobody's own.", ondelete="CASCADE", key=Text
    )
    guild_id: str | None = text_field("The server or team that it belongs to; null when none.", None)
    channel_id: str | None = text_field("The channel that it belongs to; null when none.", None)
    agent_id: UUID | None = reference("agents.id", "The agent whose memory it is; null when none.", ondelete="CASCADE")
    project_id: UUID | None = reference(
        "projects.id", "The project that it belongs to; null when none.", ondelete="CASCADE"
    )
    conversation_id: UUID | None = reference(
        "conversations.id", "The conversation that it comes from; null when none is known.", ondelete="SET NULL"
    )
    session_uuid: str | None = text_field("The runtime's session that it comes from; null when none.", None)
    kind: MemoryKind = enum_field(MemoryKind.LONG_TERM, "Told or consolidated, of one session, or overheard.")
    category: str = text_field("Group that the memory belongs to.", "general")
    status: MemoryStatus = enum_field(MemoryStatus.ACTIVE, "active: it is recalled; otherwise only kept.")
    content: str = text_field("What is remembered.")
    tags: StringList = json_array_field("Words to find it by, each once.")
    context: str = text_field("On what occasion, in free words.", "")
    timestamp: datetime = created_at_field("When what is remembered was said or happened, in UTC.")
    importance: Importance = int_field("How much it matters, from 1 to 10.", 5)
    pinned: bool = flag_field("Whether it never fades.", default=False)
    expires_at: datetime | None = moment_field("When it is forgotten and deleted; null: never.")
    recall_count: Counter = count_field("How often it was recalled.")
    last_recalled_at: datetime | None = moment_field("When it was recalled last; null: never.")
    faded_at: datetime | None = moment_field("When its importance last fell because nobody recalled it; null: never.")
    content_hash: str | None = text_field(
        "Digest of the content as it is compared; null in a row that other programs wrote.", None
    )
    scope_key: str | None = text_field(
        "Digest of whose memory it is, within which one content is remembered once; null in a row that other programs "
        "wrote.",
        None,
    )
    extra_terms: str | None = text_field(
        "Words that the index would not find in the texts, such as those of scripts without blanks; null: none.", None
    )
    consolidated_from: JsonArray = json_array_field("Keys of the memories that it was made of.")
    consolidated_into: Int64 | None = reference(
        "memories.id",
        "The memory that this one became a part of; null when of none.",
        ondelete="SET NULL",
        key=BigInt,
    )
    meta: JsonObject = meta_field()
    version: Int64 = version_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


class MemoryTag(TableModel, table=True):
    """One tag of one memory: triggers keep these rows from `memories.tags`, so that tags have an index."""

    __tablename__ = "memory_tags"
    __table_args__ = (Index(None, "tag", "memory_id"), {"sqlite_with_rowid": False})

    memory_id: int = reference(
        "memories.id", "The memory.", ondelete="CASCADE", key=BigInt, default=REQUIRED, primary_key=True
    )
    tag: str = text_key("The tag, as the memory has it.")
    created_at: datetime = created_at_field("When the memory got the tag, in UTC.")


class MemoryLink(TableModel, table=True):
    """That two memories have to do with each other."""

    __tablename__ = "memory_links"
    __table_args__ = (
        UniqueConstraint("source_id", "target_id", "link_type"),
        enum_check("link_type", MemoryLinkType),
        CheckConstraint("weight BETWEEN 0 AND 1", name="weight"),
        CheckConstraint("source_id <> target_id", name="ends"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the link.")
    source_id: int = reference(
        "memories.id", "The memory that it goes from.", ondelete="CASCADE", key=BigInt, default=REQUIRED
    )
    target_id: int = reference(
        "memories.id", "The memory that it leads to.", ondelete="CASCADE", key=BigInt, default=REQUIRED, index=True
    )
    link_type: MemoryLinkType = enum_field(MemoryLinkType.RELATED, "What the one is to the other.")
    weight: float = real_field("How close they are, from 0 to 1.", 1.0)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()


keep_in_database(metadata, sqlite=memory_triggers.SQLITE, postgresql=memory_triggers.POSTGRESQL)
# Here, because memories are the last of the tables that have an index.
keep_in_database(metadata, sqlite=search_tables.SQLITE, postgresql=search_tables.POSTGRESQL)
