"""The databases that measurements begin with: built once by the plain driver, copied for each measurement."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from uuid_utils.compat import uuid7

from agent_system.database.migrations import run_migrations
from agent_system.models.naming import name_key
from scripts.benchmarks.ledger_rows import fill_ledger
from scripts.benchmarks.rows import IDENTITIES, agent_row, identity, message_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from scripts.benchmarks.rows import Row

__all__ = ["AGENT_COLUMNS", "MESSAGE_COLUMNS", "Templates", "agent_values", "insert_statement", "message_values"]

MESSAGE_COLUMNS = ("uid", "conversation_id", "user_id", "role", "content", "metadata", "created_at", "updated_at")
AGENT_COLUMNS = (
    "id",
    "name",
    "name_key",
    "instruction",
    "specialization",
    "capabilities",
    "configuration",
    "created_at",
    "updated_at",
)
STAMPS = ("created_at", "updated_at")
# So many that no two of 64 coroutines write to the same one at a time: without a lock some contenders lose updates.
CHATS = 500
INDEXING = tuple(f"messages{log}_a{event}" for log in ("", "_changes") for event in "iud")
LONG_AGO = "2020-01-01 00:00:00.000000"


def insert_statement(table: str, columns: Sequence[str]) -> str:
    """An INSERT of these columns; the others get the defaults of the schema."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def message_values(row: Row, now: str, conversation_id: str | None = None) -> tuple[Any, ...]:
    """The values of MESSAGE_COLUMNS, as a careful user of the plain driver builds them from a caller's dictionary."""
    return (
        str(uuid7()),
        conversation_id,
        row["user_id"],
        row["role"],
        row["content"],
        json.dumps(row.get("meta", {})),
        now,
        now,
    )


def agent_values(row: Row, id_: str, now: str) -> tuple[Any, ...]:
    """The values of AGENT_COLUMNS."""
    return (
        id_,
        row["name"],
        name_key(row["name"]),
        row["instruction"],
        row["specialization"],
        json.dumps(row["capabilities"]),
        json.dumps(row["configuration"]),
        now,
        now,
    )


class Templates:
    """A folder of databases to begin with, each made when it is first asked for.

    `empty` has only people, `agents` has agents, `history` has conversations with messages, `chat` fewer of them;
    `ledger` has calls to models and to tools and a thousand agents with tools, `ledger_names` only what calls name.

    Args:
        agents: How many agents the template `agents` holds.
        conversations: How many conversations the template `history` holds.
        messages: How many messages it holds, spread evenly and interleaved over the conversations.
        usage_rows: How many calls to models, and to tools, the template `ledger` holds.
        searchable: Whether messages are kept in the full-text index and in the log of its changes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        agents: int,
        conversations: int,
        messages: int,
        usage_rows: int,
        searchable: bool = True,
    ) -> None:
        self._folder = folder
        self._agents = agents
        self._conversations = conversations
        self._messages = messages
        self._usage_rows = usage_rows
        self._searchable = searchable

    def path(self, name: str) -> Path:
        """The file of a template."""
        path = self._folder / f"{name}.db"
        if not path.exists():
            fill: dict[str, Callable[[sqlite3.Connection], None]] = {
                "empty": lambda _: None,
                "agents": self._fill_agents,
                "history": partial(self._fill_history, conversations=self._conversations),
                "ledger": partial(fill_ledger, rows=self._usage_rows),
                "ledger_names": partial(fill_ledger, rows=0),
                "chat": partial(self._fill_history, conversations=max(CHATS, self._conversations // 4)),
            }
            self._build(path, fill[name])
        return path

    def _build(self, path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
        schema = self._folder / "schema.db"
        if not schema.exists():
            asyncio.run(run_migrations(str(schema)))
        unfinished = path.with_suffix(".part")
        shutil.copyfile(schema, unfinished)
        with closing(sqlite3.connect(unfinished)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            with connection:
                people = (
                    (identity(number), identity(number), LONG_AGO, LONG_AGO, "{}") for number in range(IDENTITIES)
                )
                columns = ("id", "display_name", "created_at", "updated_at", "metadata")
                connection.executemany(insert_statement("user_identities", columns), people)
                fill(connection)
                for trigger in () if self._searchable else INDEXING:
                    connection.execute(f"DROP TRIGGER {trigger}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        unfinished.rename(path)

    def _fill_agents(self, connection: sqlite3.Connection) -> None:
        rows = (agent_values(agent_row(number), str(uuid7()), LONG_AGO) for number in range(self._agents))
        connection.executemany(insert_statement("agents", AGENT_COLUMNS), rows)

    def _fill_history(self, connection: sqlite3.Connection, *, conversations: int) -> None:
        ids = [str(uuid7()) for _ in range(conversations)]
        each = self._messages // self._conversations
        count = len(ids) * each
        columns = ("id", "title", "head_message_id", "revision", "message_count", "last_message_at", *STAMPS)
        connection.executemany(
            insert_statement("conversations", columns),
            (
                (id_, f"conversation {number}", count - len(ids) + number + 1, each, each, LONG_AGO, LONG_AGO, LONG_AGO)
                for number, id_ in enumerate(ids)
            ),
        )
        insert = insert_statement("messages", ("id", "parent_id", *MESSAGE_COLUMNS))
        connection.executemany(insert, _history(ids, count))


def _history(ids: Sequence[str], count: int) -> Iterator[tuple[Any, ...]]:
    """Messages of all conversations in turn; each follows the one before it in its conversation."""
    for number in range(count):
        parent_id = number + 1 - len(ids) if number >= len(ids) else None
        yield (number + 1, parent_id, *message_values(message_row(number), LONG_AGO, ids[number % len(ids)]))
