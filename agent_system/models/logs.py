"""What programs report about themselves."""

from datetime import datetime

from sqlalchemy import Index

from agent_system.models.base import TableModel
from agent_system.models.fields import (
    COUNTED_KEY,
    created_at_field,
    enum_check,
    enum_field,
    int_key,
    meta_field,
    text_field,
)
from agent_system.types import JsonObject, LogLevel, RowId

__all__ = ["LogEntry"]


class LogEntry(TableModel, table=True):
    """One line of a log; never changed."""

    __tablename__ = "logs"
    __table_args__ = (
        Index("idx_logs_timestamp", "timestamp"),
        Index("idx_logs_level", "level", "timestamp"),
        Index("idx_logs_service", "service", "timestamp"),
        enum_check("level", LogLevel),
        COUNTED_KEY,
    )

    id: RowId = int_key("Key of the entry.")
    timestamp: datetime = created_at_field("When it happened, in UTC.")
    level: LogLevel = enum_field(LogLevel.INFO, "How grave it is.")
    message: str = text_field("What happened.")
    service: str | None = text_field("The part of the system that says so; null when not said.", None)
    meta: JsonObject = meta_field()
    created_at: datetime = created_at_field("When the entry was written, in UTC.")
