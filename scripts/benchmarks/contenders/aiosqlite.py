"""aiosqlite without an ORM: one connection that writes, one that reads, tuples in and out, no audit events."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiosqlite
from uuid_utils.compat import uuid7

from scripts.benchmarks.contenders.contender import pragmas
from scripts.benchmarks.contenders.raw import (
    APPEND_MESSAGE,
    COUNT_MESSAGE,
    GET_AGENT,
    INSERT_AGENT,
    INSERT_MESSAGE,
    LAST_MESSAGES,
    LIST_AGENTS,
    UPDATE_AGENT,
    now_text,
)
from scripts.benchmarks.templates import agent_values, message_values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path
    from uuid import UUID

    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["RawAiosqlite"]


class RawAiosqlite:
    """The driver that SQLAlchemy uses, used directly."""

    writes_events = False

    async def open(self, path: Path, options: Options) -> None:
        """Open both connections."""
        self._writer = await self._connect(path, options)
        self._reader = await self._connect(path, options)
        self._turn = asyncio.Lock()
        self._columns: dict[str, list[str]] = {}
        for table in ("agents", "messages"):
            rows = await self._reader.execute_fetchall(f"PRAGMA table_info({table})")
            self._columns[table] = [row[1] for row in rows]

    async def _connect(self, path: Path, options: Options) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(path, isolation_level=None, cached_statements=512)
        for statement in pragmas(options):
            await connection.execute_fetchall(statement)
        return connection

    async def close(self) -> None:
        """Close both."""
        await self._writer.close()
        await self._reader.close()

    async def create_message(self, row: Row) -> None:
        """Insert; the driver commits by itself."""
        async with self._turn:
            await self._writer.execute_insert(INSERT_MESSAGE, message_values(row, now_text()))

    async def create_agent(self, row: Row) -> None:
        """Insert; the driver commits by itself."""
        async with self._turn:
            await self._writer.execute_insert(INSERT_AGENT, agent_values(row, str(uuid7()), now_text()))

    async def create_messages(self, rows: Sequence[Row]) -> None:
        """Insert with executemany."""
        now = now_text()
        async with self._transaction():
            await self._writer.executemany(INSERT_MESSAGE, [message_values(row, now) for row in rows])

    async def update_agent(self, agent_id: UUID, changes: Row) -> None:
        """Update; the driver commits by itself."""
        parameters = (changes["description"], changes["status"], now_text(), str(agent_id))
        async with self._turn:
            await self._writer.execute_fetchall(UPDATE_AGENT, parameters)

    async def get_agent(self, agent_id: UUID) -> Any:
        """Select by key."""
        rows = list(await self._reader.execute_fetchall(GET_AGENT, (str(agent_id),)))
        return rows[0]

    async def last_messages(self, conversation_id: UUID, count: int) -> Sequence[Any]:
        """Select the end of the range."""
        return list(await self._reader.execute_fetchall(LAST_MESSAGES, (str(conversation_id), count)))

    async def list_agents(self, after: Any, count: int) -> tuple[Sequence[Any], Any]:
        """Select by keyset."""
        rows = list(await self._reader.execute_fetchall(LIST_AGENTS, (*(after or ("", "")), count)))
        return rows, (self.value(rows[-1], "name"), self.value(rows[-1], "id")) if len(rows) == count else None

    async def chat_turn(self, conversation_id: UUID, row: Row, count: int) -> Sequence[Any]:
        """Insert, count, select."""
        now, id_ = now_text(), str(conversation_id)
        async with self._transaction():
            inserted = await self._writer.execute_insert(APPEND_MESSAGE, (*message_values(row, now, id_), id_))
            message_id = inserted[0] if inserted else None
            await self._writer.execute_fetchall(COUNT_MESSAGE, (message_id, now, now, id_))
        return await self.last_messages(conversation_id, count)

    def value(self, item: Any, column: str) -> Any:
        """What stands in the tuple at the column's place."""
        columns = next(names for names in self._columns.values() if len(names) == len(item))
        return item[columns.index(column)]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        async with self._turn:
            await self._writer.execute_fetchall("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                await self._writer.rollback()
                raise
            await self._writer.commit()
