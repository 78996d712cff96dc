"""Gates that stop a transaction at a chosen place until the test lets it go on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
from sqlalchemy import event, make_url

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator

    from agent_system.database import DatabaseManager

# How long a thread may be stopped when the test itself has failed.
GATE_SECONDS = 20


class CommitGate(Protocol):
    """Stops transactions inside their COMMIT."""

    async def reached(self) -> None:
        """Wait until one has come so far."""

    async def open(self) -> None:
        """Let it go on, and all that come later."""


class SqliteGate:
    """Stops the thread of a connection when it comes to a statement."""

    def __init__(self, statement: str = "COMMIT") -> None:
        self._statement = statement
        self._loop = asyncio.get_running_loop()
        self._reached = asyncio.Event()
        self._opened = threading.Event()

    def watch(self, raw: sqlite3.Connection) -> None:
        """Stop this connection, which must be idle."""
        raw.set_trace_callback(self._trace)

    def _trace(self, statement: str) -> None:
        if statement.startswith(self._statement) and not self._opened.is_set():
            self._loop.call_soon_threadsafe(self._reached.set)
            self._opened.wait(GATE_SECONDS)

    async def reached(self) -> None:
        await self._reached.wait()

    async def open(self) -> None:
        self._opened.set()


@asynccontextmanager
async def sqlite_commit_gate(db: DatabaseManager) -> AsyncIterator[SqliteGate]:
    """Yield a closed gate in every COMMIT, be it the writer's or a session's."""
    gate = SqliteGate()
    gate.watch(writer_of(db))
    event.listen(db.engine.sync_engine, "checkout", lambda connection, *_: gate.watch(connection.lane.raw))
    yield gate


def writer_of(db: DatabaseManager) -> sqlite3.Connection:
    """Return the connection that writes, for hooks of the driver's own."""
    backend: Any = db._backend
    raw: sqlite3.Connection = backend._writing.lane.raw
    return raw


class PostgresGate:
    """Holds an advisory lock that a deferred trigger wants when the transaction commits."""

    KEY = 42
    TRIGGER = f"""
        CREATE FUNCTION stop_at_gate() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock_shared({KEY}); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER gate AFTER INSERT OR UPDATE OR DELETE ON notes
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stop_at_gate();
    """
    WAITING = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    async def reached(self) -> None:
        while await self._connection.fetchval(self.WAITING, self.KEY) is None:
            pass

    async def open(self) -> None:
        await self._connection.execute("SELECT pg_advisory_unlock_all()")


@asynccontextmanager
async def postgres_commit_gate(db: DatabaseManager) -> AsyncIterator[PostgresGate]:
    """Yield a closed gate in every COMMIT of a transaction that has written to `notes`."""
    dsn = make_url(db.url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(PostgresGate.TRIGGER)
        await connection.fetchval("SELECT pg_advisory_lock($1)", PostgresGate.KEY)
        yield PostgresGate(connection)
    finally:
        await connection.close()
