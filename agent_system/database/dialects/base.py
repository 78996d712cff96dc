"""What an engine has to offer: everything that differs between SQLite and PostgreSQL stands behind these names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Dialect, TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from agent_system.database.executor import Work
    from agent_system.database.plans import Plan
    from agent_system.database.recall import Recall

__all__ = ["Backend", "BackendTransaction", "Changes", "EngineHealth", "Hidden", "Mark"]

T = TypeVar("T")
Mark: TypeAlias = object
"""A moment in the life of a database, as `Changes.mark` gives it."""
Hidden: TypeAlias = "Mapping[str, Collection[str]]"
"""Tables with the columns of theirs that free SQL may not read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineHealth:
    """Figures of the engine; the first six are seed 003's, under its names."""

    hot_cache_size: int
    """Rows in the hot cache."""
    cold_storage_connected: bool
    """Whether the database answered a query just now."""
    write_queue_depth: int
    """Writes that wait for their group commit."""
    last_sync_time: datetime | None
    """Last commit that this manager made; None before the first."""
    disk_usage: int
    """Bytes of the database, with its write-ahead log."""
    wal_file_size: int
    """Bytes of the write-ahead log; 0 on PostgreSQL, where it belongs to the server."""
    hot_cache_hits: int
    """Lookups that the hot cache answered since connect()."""
    hot_cache_misses: int
    """Lookups of hot tables that it did not answer."""
    engine: str
    """`sqlite` or `postgresql`."""
    library_version: str
    """Version of the SQLite library or of the server."""
    library_verdict: str
    """Whether that version is known to be safe for how it is used."""
    latency_ms: float
    """How long the query took that tested the connection."""
    pool_size: int
    """Connections that the pool keeps."""
    pool_checked_out: int
    """Connections that are in use now."""
    durability: str
    """What an acknowledged write survives: `full` or `normal`."""
    problem: str | None = None
    """Why the database did not answer; None when it did."""


class BackendTransaction(Protocol):
    """A write transaction that has begun on one connection."""

    @property
    def is_alive(self) -> bool:
        """Whether the database still has the transaction open."""

    async def run(self, work: Work[T], *, isolate: bool) -> T:
        """Run a unit of work in it; isolated, a failure takes back what the work alone has done."""

    async def connection(self) -> AsyncConnection:
        """SQLAlchemy's connection, with the transaction begun in SQLAlchemy's books too."""

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint."""

    async def rollback_to(self, name: str) -> None:
        """Take back what was done since the savepoint."""

    async def commit(self) -> None:
        """Make it durable and give the connection back."""

    async def rollback(self) -> None:
        """Take everything back and give the connection back; never fails because the transaction is gone."""


class Changes(Protocol):
    """Tells whether somebody, in whatever process, has committed something.

    It only shortens the wait of those who look by themselves now and then: it may tell of a change that was none, and
    on PostgreSQL it tells only of those whose unit of work called `Executor.notify`.
    """

    @property
    def is_listening(self) -> bool:
        """Whether somebody tells when to look; otherwise changes are looked for all the time."""

    @property
    def tells_of_work(self) -> bool:
        """Whether it tells only of what somebody wanted to be told of, so that to look before is a waste of time."""

    def mark(self) -> Mark:
        """The present moment, to compare later ones with."""

    async def changed(self, since: Mark, timeout_seconds: float) -> bool:
        """Wait until something may have been committed since a moment; False when the time is over."""

    async def close(self) -> None:
        """Give back what it holds."""


class Backend(Protocol):
    """One open database.

    `read`, `fetch` and `write` raise errors of ours; what the other methods raise is translated by the manager.
    """

    engine: AsyncEngine
    recall: Recall
    """What answers lookups at once, when it is open."""

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, for compiling statements."""

    @property
    def stamp(self) -> bytes | None:
        """What changes with every commit of any process; None where nobody can tell."""

    async def open(self) -> None:
        """Open the connections that live as long as the manager."""

    async def close(self) -> None:
        """Finish accepted writes and close every connection."""

    async def read(self, work: Work[T]) -> T:
        """Run a reading unit of work outside of any transaction."""

    async def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """Run one compiled reading statement and return the driver's rows."""

    async def query(self, statement: TextClause, limit: int, hidden: Hidden) -> tuple[list[str], list[Any]]:
        """Run free SQL that can only read, and no hidden column; returns the columns and at most `limit` rows."""

    async def scrub(self, *, rebuild: bool) -> None:
        """Take away what deletions have left behind; with `rebuild`, also what was deleted long ago."""

    async def maintain(self, now: float) -> None:
        """Do what the database needs from time to time, as far as it is due.

        Args:
            now: Seconds by a clock that only rises.
        """

    async def write(self, work: Work[T]) -> T:
        """Run a writing unit of work as one transaction."""

    async def begin(self) -> BackendTransaction:
        """Begin a write transaction."""

    def session_options(self, *, read_only: bool) -> dict[str, Any]:
        """Execution options for a session's own connection."""

    def check_may_write(self) -> None:
        """Raise TransactionError when the running task would wait for itself."""

    def changes(self) -> Changes:
        """Begin to watch for commits."""

    async def sizes(self) -> dict[str, int | None]:
        """The bytes of each table with its indexes; None where the engine cannot tell."""

    async def health(self) -> EngineHealth:
        """Measure how the engine is."""
