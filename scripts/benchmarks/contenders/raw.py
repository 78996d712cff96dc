"""The floors: the plain driver without asyncio, with one commit per row, and with one transaction for all."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from scripts.benchmarks.contenders.contender import pragmas
from scripts.benchmarks.templates import (
    AGENT_COLUMNS,
    MESSAGE_COLUMNS,
    agent_values,
    insert_statement,
    message_values,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["BatchFloor", "RawFloor", "now_text"]

INSERT_MESSAGE = insert_statement("messages", MESSAGE_COLUMNS)
INSERT_AGENT = insert_statement("agents", AGENT_COLUMNS)
INSERT_EVENT = insert_statement("events", ("event_type", "entity_type", "entity_id", "before", "after", "created_at"))
GET_AGENT = "SELECT * FROM agents WHERE id = ?"
UPDATE_AGENT = """
    UPDATE agents SET description = ?, status = ?, version = version + 1, updated_at = ? WHERE id = ? RETURNING *
"""
LAST_MESSAGES = "SELECT * FROM messages WHERE conversation_id = ? ORDER BY id DESC LIMIT ?"
LIST_AGENTS = "SELECT * FROM agents WHERE (name, id) > (?, ?) ORDER BY name, id LIMIT ?"
APPEND_MESSAGE = f"""
    INSERT INTO messages ({", ".join(MESSAGE_COLUMNS)}, parent_id)
    VALUES ({", ".join("?" * len(MESSAGE_COLUMNS))}, (SELECT head_message_id FROM conversations WHERE id = ?))
"""
COUNT_MESSAGE = """
    UPDATE conversations SET head_message_id = ?, revision = revision + 1, message_count = message_count + 1,
    last_message_at = ?, updated_at = ? WHERE id = ?
"""
# What the columns that nobody gave hold after an insert; the audit event shows the row as a whole.
AGENT_DEFAULTS: dict[str, Any] = {
    "user_id": None,
    "description": None,
    "context_documents": [],
    "permissions": {},
    "constraints": {},
    "status": "idle",
    "state": "active",
    "created_by_task_id": None,
    "meta": {},
    "version": 1,
}


class RawFloor:
    """The plain driver as fast as it goes: prepared statements, tuples in and out, one commit per row."""

    writes_events = True

    async def open(self, path: Path, options: Options) -> None:
        """Connect on the loop's own thread."""
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        for statement in pragmas(options):
            self._connection.execute(statement)
        self._columns: dict[str, list[str]] = {}
        for table in ("agents", "messages"):
            self._columns[table] = [row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")]

    async def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    async def create_message(self, row: Row) -> None:
        """Insert; the driver commits by itself."""
        self._connection.execute(INSERT_MESSAGE, message_values(row, now_text()))

    async def create_agent(self, row: Row) -> None:
        """Insert the agent and its event."""
        with self._transaction():
            self._create_agent(row)

    async def create_messages(self, rows: Sequence[Row]) -> None:
        """Insert with executemany."""
        now = now_text()
        with self._transaction():
            self._connection.executemany(INSERT_MESSAGE, (message_values(row, now) for row in rows))

    async def update_agent(self, agent_id: UUID, changes: Row) -> None:
        """Read, update and write the event."""
        with self._transaction():
            self._update_agent(agent_id, changes)

    async def get_agent(self, agent_id: UUID) -> Any:
        """Select by key."""
        return self._connection.execute(GET_AGENT, (str(agent_id),)).fetchone()

    async def last_messages(self, conversation_id: UUID, count: int) -> Sequence[Any]:
        """Select the end of the range."""
        return self._connection.execute(LAST_MESSAGES, (str(conversation_id), count)).fetchall()

    async def list_agents(self, after: Any, count: int) -> tuple[Sequence[Any], Any]:
        """Select by keyset."""
        rows = self._connection.execute(LIST_AGENTS, (*(after or ("", "")), count)).fetchall()
        return rows, (self.value(rows[-1], "name"), self.value(rows[-1], "id")) if len(rows) == count else None

    async def chat_turn(self, conversation_id: UUID, row: Row, count: int) -> Sequence[Any]:
        """Insert, count, select."""
        with self._transaction():
            self._append(conversation_id, row)
        return await self.last_messages(conversation_id, count)

    def value(self, item: Any, column: str) -> Any:
        """What stands in the tuple at the column's place."""
        columns = next(names for names in self._columns.values() if len(names) == len(item))
        return item[columns.index(column)]

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection)

    def _create_agent(self, row: Row) -> None:
        now, id_ = now_text(), str(uuid7())
        values = agent_values(row, id_, now)
        self._connection.execute(INSERT_AGENT, values)
        after = {**AGENT_DEFAULTS, **row, "id": id_, "name_key": values[2], "created_at": now, "updated_at": now}
        event = ("agent.created", "agent", id_, None, json.dumps(after), now)
        self._connection.execute(INSERT_EVENT, event)

    def _update_agent(self, agent_id: UUID, changes: Row) -> None:
        now, id_ = now_text(), str(agent_id)
        before = self._connection.execute(GET_AGENT, (id_,)).fetchone()
        parameters = (changes["description"], changes["status"], now, id_)
        after = self._connection.execute(UPDATE_AGENT, parameters).fetchone()
        columns = self._columns["agents"]
        places = [(name, columns.index(name)) for name in (*changes, "updated_at")]
        images = ({name: row[place] for name, place in places} for row in (before, after))
        event = ("agent.updated", "agent", id_, *map(json.dumps, images), now)
        self._connection.execute(INSERT_EVENT, event)

    def _append(self, conversation_id: UUID, row: Row) -> None:
        now, id_ = now_text(), str(conversation_id)
        cursor = self._connection.execute(APPEND_MESSAGE, (*message_values(row, now, id_), id_))
        self._connection.execute(COUNT_MESSAGE, (cursor.lastrowid, now, now, id_))


class BatchFloor(RawFloor):
    """One transaction for all rows, which it builds from the same dictionaries, with the same audit events."""

    async def batch(self, operation: str, arguments: Sequence[Any]) -> None:
        """Do all of them between one BEGIN and one COMMIT."""
        with self._transaction():
            if operation == "create_message":
                now = now_text()
                self._connection.executemany(INSERT_MESSAGE, (message_values(row, now) for row in arguments))
            elif operation == "create_agent":
                for row in arguments:
                    self._create_agent(row)
            else:
                for agent_id, changes in arguments:
                    self._update_agent(agent_id, changes)


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT; a generator-based context manager would cost as much as an insert."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def now_text() -> str:
    """The time as the columns hold it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
