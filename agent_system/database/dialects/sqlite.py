"""SQLite: one file, a writer, a reader, and pooled connections for sessions."""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy.exc import SQLAlchemyError

from agent_system.clock import utc_now
from agent_system.database.cache import CommitJournal, HotCache, TableEffects
from agent_system.database.checkpoints import Checkpointer
from agent_system.database.dialects.sqlite_changes import Announcer, SqliteChanges
from agent_system.database.dialects.sqlite_health import describe, ping
from agent_system.database.dialects.sqlite_queries import run_query
from agent_system.database.dialects.sqlite_scrub import scrub
from agent_system.database.dialects.sqlite_sizes import sizes_of
from agent_system.database.dialects.sqlite_slow import slow_queries_of
from agent_system.database.dialects.sqlite_transaction import SqliteTransaction
from agent_system.database.dialects.sqlite_upkeep import SqliteUpkeep
from agent_system.database.driver import is_broken, is_busy, sqlite
from agent_system.database.engine import (
    TRANSACTION_MODE,
    WRITE_TURN,
    create_engine,
    dispose,
    sqlite_connection_arguments,
)
from agent_system.database.executor import SqliteExecutor
from agent_system.database.inline import Courtesy, InlineReader
from agent_system.database.inline_writes import InlineWrites, wait_for_nothing
from agent_system.database.readings import Readings, ReadingTurn
from agent_system.database.recall import NO_RECALL, InStep, others_turn
from agent_system.database.session_turn import SessionTurn
from agent_system.database.translate import FAILURES, translate, translated
from agent_system.database.turns import Backoff, Turn
from agent_system.database.wal_index import WalIndex
from agent_system.database.work_queue import WorkQueue
from agent_system.database.writer import Writer
from agent_system.errors import StatementTimeoutError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import URL, Dialect, TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.database.adapter import FusedConnection
    from agent_system.database.dialects.base import EngineHealth, Hidden
    from agent_system.database.executor import Work
    from agent_system.database.lanes import Lane
    from agent_system.database.plans import Plan
    from agent_system.settings import DatabaseSettings

__all__ = ["SqliteBackend"]

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Post:
    """A connection that is checked out for good, its thread, and what runs statements on it."""

    connection: AsyncConnection
    lane: Lane
    executor: SqliteExecutor


class SqliteBackend:
    """One open SQLite file."""

    def __init__(self, url: URL, settings: DatabaseSettings, temporary: Path | None = None) -> None:
        self._slow = slow_queries_of(settings)
        self._observed = {} if self._slow is None else {"connection_class": self._slow.connection_class()}
        self.engine = create_engine(url, settings, **self._observed)
        self._url = url
        self._path = str(url.database)
        self._announcer = Announcer(self._path)
        self._settings = settings
        self._temporary = temporary
        self._turn = Turn(settings.lock_timeout_seconds)
        self._last_commit: datetime | None = None
        self._connections: list[AsyncConnection] = []
        self._inline: InlineReader | None = None
        self.cache: HotCache | None = None
        self.recall = NO_RECALL
        self._wal_index: WalIndex | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._readings, self._courtesy = Readings(), Courtesy(lambda: self._writer.is_busy)
        self._upkeep = SqliteUpkeep(self._path, self._turn, self._lanes, self._readings, settings=settings)

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, for compiling statements."""
        return self.engine.dialect

    async def open(self) -> None:
        """Check the writer and the reader out of the pool for good."""
        settings = self._settings
        if self._slow is not None:
            self._slow.start(self.engine)
        self._writing = await self._check_out(writes=True)
        self._reading = await self._check_out(writes=False)
        if settings.inline_reads:
            arguments = sqlite_connection_arguments(self._url, settings, **self._observed)
            self._inline = InlineReader(*arguments, self._courtesy)
        self._wal_index = await self._reading.lane.run(WalIndex.of, self._path)
        if settings.hot_cache_size and self._wal_index is not None:
            effects = await self._reading.lane.run(TableEffects, self._reading.lane.raw)
            self.cache = HotCache(self._wal_index, effects, settings.hot_cache_size)
        self.recall = InStep(self.cache, self._inline, self._courtesy)
        self._checkpointer = Checkpointer(self._path, self._turn, self._lanes, settings=settings, index=self._wal_index)
        await self._writing.lane.run(self._set_up_writer, self._writing.executor)
        self._writer = Writer(
            self._writing.lane,
            self._writing.executor,
            self._turn,
            queue=WorkQueue(settings.write_group_size, settings.write_queue_limit),
            announce=self._announce,
            after_commit=self._after_commit,
            reopen=self._reopen_writer,
            inline=InlineWrites() if settings.writes_inline else None,
        )

    def _lanes(self) -> tuple[Lane, Lane]:
        return self._writing.lane, self._reading.lane

    async def _check_out(self, *, writes: bool) -> _Post:
        connection = await self.engine.connect()
        self._connections.append(connection)
        fairy = await connection.get_raw_connection()
        # SQLAlchemy types it as a plain DBAPI connection; every engine of ours has the fused adapter's.
        lane = cast("FusedConnection", fairy.dbapi_connection).lane
        return _Post(connection, lane, await lane.run(partial(SqliteExecutor, lane.raw, only_in_transaction=writes)))

    async def _replace(self, post: _Post, *, writes: bool) -> _Post:
        """Check another connection out for one that is broken."""
        logger.warning("a connection to %s is broken and is replaced", self._path)
        # When the last attempt to open one failed, it has been given back already.
        with suppress(ValueError):
            self._connections.remove(post.connection)
        with suppress(SQLAlchemyError, sqlite.Error, ValueError):
            await post.connection.invalidate()
            await post.connection.close()
        return await self._check_out(writes=writes)

    async def _reopen_writer(self) -> tuple[Lane, SqliteExecutor]:
        self._writing = await self._replace(self._writing, writes=True)
        await self._writing.lane.run(self._set_up_writer, self._writing.executor)
        return self._writing.lane, self._writing.executor

    def _set_up_writer(self, executor: SqliteExecutor) -> None:
        """Let the writer note what others commit, and what it commits itself, and set its connection up."""
        executor.schema.index = self._wal_index
        if self.cache is not None:
            executor.journal = CommitJournal(self.cache, executor.raw, executor.schema)
        self._checkpointer.keep_length(executor.raw)
        if self._settings.writes_inline:
            wait_for_nothing(executor.raw)

    async def close(self) -> None:
        """Finish accepted writes, give the long check-outs back and close the pool."""
        if hasattr(self, "_writer"):
            await self._writer.close()
            if self._renewal is not None:
                await self._renewal
            await self._checkpointer.close()
        if self._slow is not None:
            await self._slow.close()
        for mapped in (self.cache, self._wal_index):
            if mapped is not None:
                mapped.close()
        if self._inline is not None:
            self._inline.close()
        while self._connections:
            await self._connections.pop().close()
        await dispose(self.engine)
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)

    async def read(self, work: Work[T]) -> T:
        """Run a reading unit of work on the reader's thread; it is interrupted when it runs for too long."""
        limit = asyncio.timeout(self._settings.statement_timeout_seconds)
        try:
            async with limit:
                return await self._read(work)
        except FAILURES as exc:
            if limit.expired():
                raise StatementTimeoutError from None
            ours = translate(exc)
            raise ours from ours.__cause__

    async def _read(self, work: Work[T]) -> T:
        """Run it, again while another process keeps readers out, as one does that recovers the file."""
        backoff: Backoff | None = None
        while True:
            try:
                return await self._read_once(work)
            except (sqlite.Error, SQLAlchemyError) as exc:
                if not is_busy(exc):
                    raise
            backoff = backoff or Backoff(self._settings.lock_timeout_seconds)
            await backoff.wait()

    async def _read_once(self, work: Work[T]) -> T:
        post = self._reading
        try:
            return await post.lane.run_interruptible(work, post.executor)
        except (sqlite.Error, SQLAlchemyError, ValueError) as exc:
            if not is_broken(exc):
                raise
        if post is self._reading:
            self._reading = await self._replace(post, writes=False)
        return await self._reading.lane.run_interruptible(work, self._reading.executor)

    async def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """Run one compiled lookup: from the cache, on the loop's own thread where that is safe, or on the reader's."""
        if self._courtesy.is_due():
            await others_turn()
        cache = self.cache
        if cache is None or plan.hot is None:
            return await self._look_up(plan, parameters)
        key = (plan.hot, parameters[0])
        if (row := cache.get(key)) is not None:
            return [row]
        before = cache.header()
        rows = await self._look_up(plan, parameters)
        if rows:
            cache.put(key, rows[0], before)
        return rows

    async def _look_up(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        try:
            if self._inline is not None:
                if (rows := self._inline.fetch(plan, parameters)) is not None:
                    return rows
                self._inline.refusals += 1
            return await self._read(lambda executor: executor.fetch(plan, parameters))
        except FAILURES as exc:
            ours = translate(exc)
            raise ours from ours.__cause__

    @property
    def stamp(self) -> bytes | None:
        """What changes with every commit of any process, where the hot cache sees it."""
        return None if self.cache is None else self.cache.header()

    async def query(self, statement: TextClause, limit: int, hidden: Hidden) -> tuple[list[str], list[Any]]:
        """Run free SQL that can only read, and no hidden column."""
        with translated():
            return await run_query(self.engine, statement, limit, hidden)

    async def scrub(self, *, rebuild: bool) -> None:
        """Take away what deletions have left in the files."""
        await scrub(self._writing.lane, self._turn, self._settings.lock_timeout_seconds, rebuild=rebuild)

    def write(self, work: Work[T]) -> Coroutine[Any, Any, T]:
        """Run a writing unit of work in the next group commit."""
        return self._writer.submit(work)

    async def begin(self) -> SqliteTransaction:
        """Take the turn and begin a transaction on the writer."""
        try:
            await self._turn.begin_on(self._writing_lane)
        except (sqlite.Error, ValueError) as exc:
            if not is_broken(exc):
                raise
            # In its turn, or it would be taken from under a group that has got another one by now.
            await self._turn.acquire()
            try:
                await self._writer.reopen()
            finally:
                self._turn.release()
            await self._turn.begin_on(self._writing_lane)
        post = self._writing
        return SqliteTransaction(post.connection, post.lane, post.executor, self._end_transaction)

    def _writing_lane(self) -> Lane:
        return self._writing.lane

    def session_options(self, *, read_only: bool) -> dict[str, Any]:
        """A session that may write takes its turn when its transaction begins; a reading one needs none."""
        if read_only:
            return {TRANSACTION_MODE: "DEFERRED", WRITE_TURN: ReadingTurn(self._readings)}
        warn, timeout = self._settings.transaction_warn_seconds, self._settings.transaction_timeout_seconds
        turn = SessionTurn(self._turn, warn_seconds=warn, timeout_seconds=timeout)
        return {TRANSACTION_MODE: "IMMEDIATE", WRITE_TURN: turn}

    def check_may_write(self) -> None:
        """Refuse a write that would wait for a session of the same task."""
        self._turn.check_not_mine()

    def _end_transaction(self, committed: bool, broken: bool) -> None:  # noqa: FBT001 (called by SqliteTransaction alone)
        if broken:
            self._turn.pass_on()
            self._renewal = asyncio.get_running_loop().create_task(self._renew())
        else:
            self._turn.release()
        if committed:
            self._announce()
            self._after_commit()

    async def _renew(self) -> None:
        """Replace the writer that met an I/O error; the turn is kept, so that nobody writes on it any more."""
        try:
            await self._writer.replace()
        finally:
            self._turn.release()

    def _announce(self) -> None:
        self._announcer.announce(self._writing.executor)

    def _after_commit(self) -> None:
        self._last_commit = utc_now()
        self._checkpointer.consider()

    async def maintain(self, now: float) -> None:
        """Shorten the log, renew statistics and give free pages back, as far as it is due."""
        await self._upkeep.run(now)

    def changes(self) -> SqliteChanges:
        """Begin to watch for commits."""
        return SqliteChanges(self._path)

    async def sizes(self) -> dict[str, int | None]:
        """The bytes of each table with its indexes."""
        return await sizes_of(self.engine)

    async def health(self) -> EngineHealth:
        """Measure how the engine is; only `os.stat` touches the files."""
        latency, problem = await ping(self)
        return describe(
            self._path,
            self.engine,
            self.cache,
            write_queue_depth=self._writer.depth,
            last_sync_time=self._last_commit,
            latency_ms=latency,
            durability=self._settings.durability.value,
            problem=problem,
        )
