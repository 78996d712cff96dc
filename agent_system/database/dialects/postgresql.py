"""PostgreSQL: every unit of work is a transaction of its own on a pooled connection."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import text

from agent_system.clock import utc_now
from agent_system.database.dialects.base import EngineHealth
from agent_system.database.dialects.postgresql_changes import PostgresChanges
from agent_system.database.dialects.postgresql_executor import PostgresExecutor
from agent_system.database.dialects.postgresql_queries import run_query
from agent_system.database.dialects.postgresql_upkeep import warn_of_long_transactions
from agent_system.database.engine import IDLE_LIMIT, create_engine, dispose
from agent_system.database.lanes import uncancelled
from agent_system.database.recall import NO_RECALL
from agent_system.database.slow_queries import SlowQueries
from agent_system.database.translate import is_serialization_failure, translated
from agent_system.errors import DatabaseError, TransactionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import URL, Connection, Dialect, TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.database.dialects.base import Hidden
    from agent_system.database.executor import Work
    from agent_system.database.plans import Plan
    from agent_system.settings import DatabaseSettings

__all__ = ["PostgresBackend"]

T = TypeVar("T")

# How often a unit of work is repeated after a deadlock or a serialisation failure, with full jitter in between.
RETRIES = 8
RETRY_FIRST_SECONDS = 0.005

# Its COMMIT would say nothing and do a ROLLBACK.
GIVEN_UP = "PostgreSQL gave this transaction up when one of its statements failed; nothing of it was written"


HEALTH = text(
    "SELECT current_setting('server_version'), pg_database_size(current_database()),"
    " current_setting('synchronous_commit')"
)


SIZES = text(
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
    " WHERE relkind IN ('r', 'm') AND relnamespace = current_schema()::regnamespace"
)


class _Answer(NamedTuple):
    """What the server tells about itself."""

    version: str = "unknown"
    size: int = 0
    synchronous_commit: str = "on"


class PostgresBackend:
    """One PostgreSQL database, reached through a pool."""

    def __init__(self, url: URL, settings: DatabaseSettings) -> None:
        self.engine = create_engine(url, settings)
        self.recall = NO_RECALL
        self._url = url
        self._settings = settings
        self._slow = self._observe()
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._last_commit: datetime | None = None
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._scrubbing = asyncio.Lock()

    def _observe(self) -> SlowQueries | None:
        if self._settings.slow_query_milliseconds is None:
            return None
        slow = SlowQueries(
            self._settings.slow_query_milliseconds / 1000, "EXPLAIN", self.session_options(read_only=True)
        )
        slow.listen(self.engine)
        return slow

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, for compiling statements."""
        return self.engine.dialect

    async def open(self) -> None:
        """Reach the server once, so that a wrong URL is told now."""
        async with self._autocommit.connect() as connection:
            await connection.execute(text("SELECT 1"))
        if self._slow is not None:
            self._slow.start(self.engine)

    async def close(self) -> None:
        """Wait for the units of work that were accepted, then close the connections."""
        await self._idle.wait()
        if self._slow is not None:
            await self._slow.close()
        await dispose(self.engine)

    async def read(self, work: Work[T]) -> T:
        """Run a reading unit of work on a pooled connection."""
        with translated(), self._accepted():
            async with self._autocommit.connect() as connection:
                return await connection.run_sync(_run, work)

    async def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """Run one compiled reading statement on a pooled connection."""
        return await self.read(lambda executor: executor.fetch(plan, parameters))

    @property
    def stamp(self) -> None:
        """Nothing: a server would have to be asked, and then it can be asked for the log as well."""

    async def query(self, statement: TextClause, limit: int, hidden: Hidden) -> tuple[list[str], list[Any]]:
        """Run free SQL that can only read, and no hidden column."""
        with translated():
            return await run_query(self.engine, statement, limit, hidden)

    async def scrub(self, *, rebuild: bool) -> None:
        """Let the server give the space of deleted rows free; its own logs and archives are its administrator's."""
        # One after the other: two at once would be in each other's way, and the server tries for five seconds to have
        # the end of a table for itself.
        async with self._scrubbing, self._autocommit.connect() as connection:
            await connection.exec_driver_sql("VACUUM FULL" if rebuild else "VACUUM")

    async def maintain(self, now: float) -> None:
        """Tell who keeps the server from taking dead rows away; the rest its autovacuum does."""
        del now
        with translated():
            async with self._autocommit.connect() as connection:
                await warn_of_long_transactions(connection, self._settings.long_read_seconds)

    async def write(self, work: Work[T]) -> T:
        """Run a writing unit of work as one transaction; repeated when the server broke a deadlock."""
        delay = RETRY_FIRST_SECONDS
        for remaining in range(RETRIES, -1, -1):
            try:
                with translated(), self._accepted():
                    return await self._write_once(work)
            except Exception as exc:
                if remaining == 0 or not is_serialization_failure(exc):
                    raise
            await asyncio.sleep(delay * random.random())  # noqa: S311 (jitter needs no secrecy)
            delay *= 2
        raise AssertionError

    @contextmanager
    def _accepted(self) -> Iterator[None]:
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _write_once(self, work: Work[T]) -> T:
        async with self.engine.connect() as connection:
            transaction = await connection.begin()
            try:
                result = await connection.run_sync(_run_whole, work)
            except BaseException:
                await uncancelled(transaction.rollback())
                raise
            await uncancelled(transaction.commit())
        self._last_commit = utc_now()
        return result

    async def begin(self) -> PostgresTransaction:
        """Begin a transaction on a connection of its own."""
        connection = await self.engine.connect()
        try:
            await connection.begin()
        except BaseException:
            await uncancelled(connection.close())
            raise
        return PostgresTransaction(self, connection)

    def session_options(self, *, read_only: bool) -> dict[str, Any]:
        """A reading session sees one snapshot and cannot write by mistake; a writing one may not stand still."""
        if read_only:
            return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        return {IDLE_LIMIT: self._settings.transaction_timeout_seconds}

    def check_may_write(self) -> None:
        """Nothing to refuse: every write has a connection of its own."""

    def note_commit(self) -> None:
        """Remember when this manager last committed."""
        self._last_commit = utc_now()

    def changes(self) -> PostgresChanges:
        """Begin to listen for notifications."""
        return PostgresChanges(self._url, self._settings)

    async def sizes(self) -> dict[str, int | None]:
        """The bytes of each table with its indexes and what is stored beside it."""
        async with self._autocommit.connect() as connection:
            return {str(name): int(size) for name, size in await connection.execute(SIZES)}

    async def health(self) -> EngineHealth:
        """Measure how the engine is."""
        pool: Any = self.engine.pool
        answer, problem = _Answer(), None
        started = time.perf_counter()
        try:
            with translated():
                async with self._autocommit.connect() as connection:
                    answer = _Answer(*(await connection.execute(HEALTH)).one())
        except DatabaseError as exc:
            problem = str(exc)
        latency = (time.perf_counter() - started) * 1000
        return EngineHealth(
            hot_cache_size=0,
            hot_cache_hits=0,
            hot_cache_misses=0,
            cold_storage_connected=problem is None,
            write_queue_depth=0,
            last_sync_time=self._last_commit,
            disk_usage=answer.size,
            wal_file_size=0,
            engine="postgresql",
            library_version=answer.version,
            library_verdict=f"PostgreSQL {answer.version}",
            latency_ms=round(latency, 3),
            pool_size=pool.size(),
            pool_checked_out=pool.checkedout(),
            durability="normal" if answer.synchronous_commit == "off" else "full",
            problem=problem,
        )


class PostgresTransaction:
    """A transaction on one pooled connection."""

    def __init__(self, backend: PostgresBackend, connection: AsyncConnection) -> None:
        self._backend = backend
        self._connection = connection
        self._failure: BaseException | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the transaction is still open; a cancelled statement ends its connection."""
        return self._connection.in_transaction() and not self._connection.invalidated

    async def run(self, work: Work[T], *, isolate: bool) -> T:
        """Run a unit of work; isolated by a savepoint, because PostgreSQL gives a transaction up after any error."""
        if isolate:
            return await self._connection.run_sync(_run_isolated, work)
        return await self._connection.run_sync(self._run_bare, work)

    def _run_bare(self, connection: Connection, work: Work[T]) -> T:
        executor = PostgresExecutor(connection)
        try:
            return work(executor)
        finally:
            self._failure = self._failure or executor.failure

    async def connection(self) -> AsyncConnection:
        """SQLAlchemy's connection."""
        return self._connection

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._connection.exec_driver_sql(f"SAVEPOINT {name}")

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint."""
        await self._connection.exec_driver_sql(f"RELEASE SAVEPOINT {name}")

    async def rollback_to(self, name: str) -> None:
        """Take back what was done since the savepoint."""
        await self._connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {name}")
        await self._connection.exec_driver_sql(f"RELEASE SAVEPOINT {name}")
        self._failure = None

    async def commit(self) -> None:
        """Commit; a cancellation waits until it is known what became of it."""
        if self._failure is not None:
            await self.rollback()
            raise TransactionError(GIVEN_UP) from self._failure
        await uncancelled(self._end(self._connection.commit))
        self._backend.note_commit()

    async def rollback(self) -> None:
        """Roll back."""
        await uncancelled(self._end(self._connection.rollback))

    async def _end(self, function: Any) -> None:
        try:
            await function()
        finally:
            await self._connection.close()


def _run(connection: Connection, work: Work[T]) -> T:
    return work(PostgresExecutor(connection))


def _run_whole(connection: Connection, work: Work[T]) -> T:
    executor = PostgresExecutor(connection)
    result = work(executor)
    if executor.failure is not None:
        raise TransactionError(GIVEN_UP) from executor.failure
    return result


def _run_isolated(connection: Connection, work: Work[T]) -> T:
    with connection.begin_nested():
        return work(PostgresExecutor(connection))
