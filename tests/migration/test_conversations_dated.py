"""Revision 0015 dates conversations without messages by their making, and takes that back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import column, insert, select, table

from agent_system.database.migrations import run_migrations
from agent_system.models import Conversation
from tests.migration.rows import key
from tests.migration.schema import connected

if TYPE_CHECKING:
    from sqlalchemy import Connection

MADE = datetime(2025, 1, 15, 12, 30, 45, 678901, tzinfo=UTC)
SAID = datetime(2025, 2, 1, tzinfo=UTC)
NAMES = ("id", "message_count", "last_message_at", "created_at")
columns: Any = Conversation.__table__.c  # type: ignore[attr-defined]  # a SQLModel class has it
conversations = table("conversations", *(column(name, columns[name].type) for name in NAMES))


def fill(connection: Connection) -> None:
    rows = [(key(1), 0, None, MADE), (key(2), 3, SAID, MADE)]
    connection.execute(insert(conversations), [dict(zip(NAMES, row, strict=True)) for row in rows])


def moments(connection: Connection) -> list[datetime | None]:
    statement = select(conversations.c.last_message_at).order_by(conversations.c.id)
    return list(connection.execute(statement).scalars())


async def test_conversations_without_messages_are_as_recent_as_their_making(database_url: str) -> None:
    await run_migrations(database_url, 14)
    async with connected(database_url) as connection:
        await connection.run_sync(fill)
    await run_migrations(database_url, 15)
    async with connected(database_url) as connection:
        assert await connection.run_sync(moments) == [MADE, SAID]
    await run_migrations(database_url, 14)
    async with connected(database_url) as connection:
        assert await connection.run_sync(moments) == [None, SAID]
