"""What each engine needs around a migration, so that it happens wholly or not at all.

| | SQLite | PostgreSQL |
|---|---|---|
| one at a time | BEGIN IMMEDIATE | an advisory lock that the transaction holds |
| tables are rebuilt without losing rows | foreign keys off before BEGIN, checked before COMMIT | they stay on |
| tables are rebuilt without losing triggers | saved and made again, see rebuild.py | nothing is rebuilt |
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.pool import NullPool

from agent_system.clock import utc_now
from agent_system.database.child import ask
from agent_system.database.dialects.rebuild import keep_what_rebuilds_lose
from agent_system.database.dialects.sqlite_direct import run_directly
from agent_system.database.driver import sqlite
from agent_system.database.engine import WRITE_TURN, create_engine
from agent_system.database.lanes import uncancelled
from agent_system.database.translate import translated
from agent_system.database.turns import Turn
from agent_system.errors import DatabaseBusyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from agent_system.settings import DatabaseSettings

__all__ = ["MigrationGuard", "SchemaState", "exclusively", "guard_for", "migration_engine", "read_state"]

T = TypeVar("T")
P = ParamSpec("P")

logger = logging.getLogger(__name__)

VERSION_TABLE = "alembic_version"

# Another process may be migrating a large database: longer than any wait for an ordinary write.
LOCK_TIMEOUT_SECONDS = 120.0
PEEK_PAUSE_SECONDS = 0.02

# An arbitrary constant, for which no other program should be asking: "agent_sy" in ASCII.
ADVISORY_LOCK = 0x6167656E745F7379


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaState:
    """What a database holds: the revisions that it says it is at; where it says none, the names of its tables."""

    revisions: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    @property
    def revision(self) -> str | None:
        """The revision, or None for a database without one."""
        return self.revisions[0] if self.revisions else None


class MigrationGuard(Protocol):
    """The differences between the engines."""

    engine_arguments: dict[str, Any]
    rebuilds_tables: bool

    async def peek(self, url: URL, settings: DatabaseSettings, engine: AsyncEngine | None = None) -> SchemaState:
        """Read the state without changing anything in the database, not even its journal mode.

        A server is asked on a connection of `engine`, or on one of its own.
        """

    async def save(self, url: URL, revision: str) -> None:
        """Keep a verified copy of a database that is about to be migrated from a revision."""

    async def lock(self, connection: AsyncConnection) -> AsyncConnection:
        """Begin the transaction that nobody else may migrate beside."""

    async def run(
        self,
        connection: AsyncConnection,
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run alembic's synchronous code in the connection's transaction."""

    def watch(self, connection: Connection) -> None:
        """Keep what the engine would lose when a table is rebuilt."""

    def violations(self, connection: Connection) -> list[str]:
        """Find the rows that refer to nothing."""


class SqliteGuard:
    """SQLite."""

    engine_arguments: dict[str, Any] = {"foreign_keys": False}  # noqa: RUF012 (the Protocol's member, never changed)
    rebuilds_tables = True

    async def peek(self, url: URL, settings: DatabaseSettings, engine: AsyncEngine | None = None) -> SchemaState:
        """Open the file without any PRAGMA: an ordinary connection would turn a foreign file into WAL mode."""
        del engine
        deadline = time.monotonic() + settings.lock_timeout_seconds
        while True:
            try:
                with translated():
                    return await asyncio.to_thread(_peek_sqlite, Path(str(url.database)))
            except DatabaseBusyError:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(PEEK_PAUSE_SECONDS)

    async def save(self, url: URL, revision: str) -> None:
        """Copy the file into `backups` beside it, whatever its rows refer to: the migration looks at that."""
        path = Path(str(url.database))
        moment = utc_now()
        name = f"{path.stem}.before-migration-of-{revision}-{moment:%Y%m%dT%H%M%S%fZ}.db"
        folder = path.parent / "backups"
        options = {"created_at": moment.isoformat(), "gzip": False, "whole": False}
        await ask("copy", source=str(path), target=str(folder / name), **options)
        logger.info("copied %s to %s before its migration", path, folder / name)

    async def lock(self, connection: AsyncConnection) -> AsyncConnection:
        """Take the write lock; whoever else migrates or writes is waited for."""
        connection = await connection.execution_options(**{WRITE_TURN: Turn(LOCK_TIMEOUT_SECONDS)})
        await connection.begin()
        return connection

    async def run(
        self,
        connection: AsyncConnection,
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run it on the connection's own thread: all revisions are 2,800 statements, and a hop costs up to 0.3 ms."""
        return await run_directly(connection, work, *args, **kwargs)

    def watch(self, connection: Connection) -> None:
        """Alembic rebuilds tables here."""
        keep_what_rebuilds_lose(connection)

    def violations(self, connection: Connection) -> list[str]:
        """Ask SQLite, which does not check while the keys are off."""
        rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        return [
            f"{table} row {rowid} refers to a row of {parent} that is not there" for table, rowid, parent, _ in rows
        ]


class PostgresGuard:
    """PostgreSQL."""

    engine_arguments: dict[str, Any] = {}  # noqa: RUF012 (the Protocol's member, never changed)
    rebuilds_tables = False

    async def peek(self, url: URL, settings: DatabaseSettings, engine: AsyncEngine | None = None) -> SchemaState:
        """Ask the server."""
        if engine is not None:
            async with engine.connect() as connection:
                return await connection.run_sync(_peek_postgres)
        own = migration_engine(url, settings)
        try:
            return await self.peek(url, settings, own)
        finally:
            await uncancelled(own.dispose())

    async def save(self, url: URL, revision: str) -> None:
        """Nothing: a server's backups are its administrator's, and `agent-system backup` makes one."""

    async def lock(self, connection: AsyncConnection) -> AsyncConnection:
        """Take the advisory lock; it ends with the transaction, so a killed process leaves none behind."""
        milliseconds = str(round(LOCK_TIMEOUT_SECONDS * 1_000))
        await connection.execute(text("SELECT set_config('lock_timeout', :value, true)"), {"value": milliseconds})
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        return connection

    async def run(
        self,
        connection: AsyncConnection,
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run it in SQLAlchemy's greenlet bridge, where each statement awaits the server."""
        return await connection.run_sync(work, *args, **kwargs)

    def watch(self, connection: Connection) -> None:
        """Nothing gets lost."""

    def violations(self, connection: Connection) -> list[str]:
        """None: PostgreSQL checks at every statement."""
        del connection
        return []


_GUARDS: dict[str, MigrationGuard] = {"sqlite": SqliteGuard(), "postgresql": PostgresGuard()}


def guard_for(backend: str) -> MigrationGuard:
    """Return the guard of an engine, by the name that SQLAlchemy gives it."""
    return _GUARDS[backend]


def migration_engine(url: URL, settings: DatabaseSettings) -> AsyncEngine:
    """Make an engine whose connections are for migrations only: they wait long and leave foreign keys alone."""
    patient = {"lock_timeout_seconds": LOCK_TIMEOUT_SECONDS, "statement_timeout_seconds": None}
    guard = guard_for(url.get_backend_name())
    return create_engine(url, settings.model_copy(update=patient), poolclass=NullPool, **guard.engine_arguments)


@asynccontextmanager
async def exclusively(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Yield a connection in the only transaction that may migrate now; it commits at the end or leaves no trace.

    Raises:
        DatabaseBusyError: Somebody else held the lock for too long.
    """
    async with engine.connect() as connection:
        try:
            yield await guard_for(engine.dialect.name).lock(connection)
        except BaseException:
            await uncancelled(connection.rollback())
            raise
        await uncancelled(connection.commit())


def read_state(connection: Connection) -> SchemaState:
    """Read the state of the database behind a connection."""
    revisions = MigrationContext.configure(connection).get_current_heads()
    tables = set() if revisions else set(inspect(connection).get_table_names()) - {VERSION_TABLE}
    return SchemaState(revisions=revisions, tables=tuple(sorted(tables)))


def _peek_postgres(connection: Connection) -> SchemaState:
    # At every connect(): whether there is a table takes alembic ten times as long to find out as to read it.
    if connection.exec_driver_sql(f"SELECT to_regclass('{VERSION_TABLE}') IS NOT NULL").scalar_one():
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()
        if revisions := tuple(map(str, found)):
            return SchemaState(revisions=revisions)
    return read_state(connection)


def _peek_sqlite(path: Path) -> SchemaState:
    if not path.exists() or path.stat().st_size == 0:
        return SchemaState()
    # Read-only leaves a -wal and a -shm beside a file in WAL mode; read-write removes them, but would first copy a -wal
    # that is there already into the file.
    mode = "ro" if path.with_name(f"{path.name}-wal").exists() else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    with closing(sqlite.connect(uri, uri=True, timeout=0.1, isolation_level=None)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        names = {name for (name,) in found if not name.startswith("sqlite_")}
        revisions: list[tuple[str]] = []
        if VERSION_TABLE in names:
            revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return SchemaState(
        revisions=tuple(str(revision) for (revision,) in revisions), tables=tuple(sorted(names - {VERSION_TABLE}))
    )
