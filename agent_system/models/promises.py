"""What agents have promised in their chats, what waits for what, and how far each chat has been read."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, UniqueConstraint

from agent_system.models.base import TableModel
from agent_system.models.columns import BigInt, Text
from agent_system.models.fields import (
    COUNTED_KEY,
    REQUIRED,
    count_field,
    created_at_field,
    enum_check,
    enum_field,
    int_field,
    int_key,
    meta_field,
    moment_field,
    non_negative,
    present_index,
    real_field,
    reference,
    text_field,
    updated_at_field,
)
from agent_system.types import (
    Counter,
    DependencyPolicy,
    Fraction,
    Int64,
    JsonObject,
    Priority,
    PromiseStatus,
    PromiseType,
    RowId,
)

__all__ = ["ChatState", "Promise", "PromiseDependency"]


class Promise(TableModel, table=True):
    """Something that an agent said it would do."""

    __tablename__ = "promises"
    __table_args__ = (
        Index("idx_promises_status", "status"),
        Index("idx_promises_chat_id", "chat_id"),
        Index("idx_promises_created_at", "created_at"),
        present_index("user_id"),
        present_index("job_id"),
        enum_check("task_type", PromiseType),
        enum_check("status", PromiseStatus),
        CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
        CheckConstraint("progress BETWEEN 0 AND 1", name="progress"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the promise.")
    chat_id: Int64 = int_field("The chat in which it was made, as the platform counts.")
    message_id: Int64 = int_field("The message in which it was made, as the platform counts; no foreign key.")
    user_id: str | None = reference(
        "user_identities.id", "To whom it was made; null when not known.", ondelete="CASCADE", key=Text
    )
    task_description: str = text_field("What was promised.")
    task_type: PromiseType = enum_field(PromiseType.CODE, "What kind of work it is.")
    status: PromiseStatus = enum_field(PromiseStatus.PENDING, "Where it stands; waiting: for what it depends on.")
    priority: Priority = int_field("From 1 to 10; higher is done first.", 5)
    progress: Fraction | None = real_field("How much of it is done, 0 to 1; null when nobody says.", None)
    job_id: int | None = reference(
        "queue.id", "The job that keeps it; null: none yet, or it was purged.", ondelete="SET NULL", key=BigInt
    )
    result_summary: str | None = text_field("What came out of it, for people; null: nothing yet.", None)
    error_message: str | None = text_field("Why it was not kept; null when nothing went wrong.", None)
    started_at: datetime | None = moment_field("When the work on it began; null: it has not.")
    completed_at: datetime | None = moment_field("When it ended, in whatever way; null: it has not.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When it was made, in UTC.")
    updated_at: datetime = updated_at_field()


class PromiseDependency(TableModel, table=True):
    """A promise waits for another one."""

    __tablename__ = "promise_dependencies"
    __table_args__ = (
        CheckConstraint("promise_id <> depends_on_id", name="not_itself"),
        enum_check("on_failure", DependencyPolicy),
    )

    promise_id: int = reference(
        "promises.id", "The promise that waits.", ondelete="CASCADE", key=BigInt, primary_key=True, default=REQUIRED
    )
    depends_on_id: int = reference(
        "promises.id",
        "The promise that it waits for.",
        ondelete="CASCADE",
        key=BigInt,
        primary_key=True,
        default=REQUIRED,
        index=True,
    )
    on_failure: DependencyPolicy = enum_field(
        DependencyPolicy.FAIL, "What a failure of the other one does: fail (this one fails too), block or ignore."
    )
    created_at: datetime = created_at_field()


class ChatState(TableModel, table=True):
    """How far a chat has been read, and when the agent was there."""

    __tablename__ = "chat_state"
    __table_args__ = (
        UniqueConstraint("chat_id"),
        *non_negative("total_messages_scanned"),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the row.")
    chat_id: Int64 = int_field("The chat, as the platform counts; one row for each.")
    last_seen_message_id: Int64 | None = int_field("The last message that was read; null: none.", None)
    last_seen_at: datetime | None = moment_field("When the last message that was read was said; null: none was read.")
    bot_last_online_at: datetime | None = moment_field("When the agent came; null: never.")
    bot_last_offline_at: datetime | None = moment_field("When the agent left; null: never.")
    scan_completed_at: datetime | None = moment_field("When the chat was read to its end; null: never.")
    total_messages_scanned: Counter = count_field("How many messages were read in all.")
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field()
    updated_at: datetime = updated_at_field()
