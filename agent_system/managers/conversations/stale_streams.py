"""When a message that is being streamed has lost the program that writes it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from agent_system.models import metadata
from agent_system.types import StreamingState

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement

__all__ = ["STREAM_IS_STALE", "is_stale_stream"]

STREAM_IS_STALE = timedelta(hours=1)
"""A stream without a new chunk for so long has lost its program."""


def is_stale_stream(now: datetime) -> ColumnElement[bool]:
    """The condition of messages whose streaming nobody goes on with."""
    messages = metadata.tables["messages"]
    is_streaming = messages.c.streaming_state == StreamingState.STREAMING
    return is_streaming & (messages.c.updated_at < now - STREAM_IS_STALE)
