"""The DBAPI that SQLAlchemy sees: aiosqlite with one hop to the thread per statement instead of four.

SQLAlchemy's own adapter crosses to the connection's thread for the cursor, the statement, the rows and the close. Here
one function does all four, so an unchanged `AsyncSession` becomes about twice as fast. The adapter also owns what the
dialect's transaction hooks cannot do: begin with `BEGIN IMMEDIATE` once it is this connection's turn to write, and give
the turn back after the commit or rollback has really happened.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_dbapi
from sqlalchemy.util import await_only

from agent_system.database.cursors import FetchedCursor, execute, execute_many
from agent_system.database.driver import commit, is_broken, require_transaction, sqlite
from agent_system.database.lanes import Lane, uncancelled
from agent_system.errors import TransactionError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from agent_system.database.cursors import Fetched

__all__ = ["FusedConnection", "FusedDBAPI", "WriteTurn", "begin_on"]


class WriteTurn(Protocol):
    """The right to write to the file, one holder in a process at a time in the order of asking; or to read it."""

    only_reads: bool
    """Whether it is none to write."""

    async def begin(self, lane: Lane) -> None:
        """Wait for the turn, then for the lock of other processes, and begin the transaction."""

    def release(self) -> None:
        """Let the next one have it."""

    def limit(self) -> AbstractAsyncContextManager[None]:
        """What a statement runs in: it ends one that runs when the time of the transaction is over."""

    def check(self) -> None:
        """Raise TransactionTimeoutError when the time of the transaction is over."""


async def _limited(turn: WriteTurn, work: Awaitable[Fetched]) -> Fetched:
    async with turn.limit():
        return await work


def _execute(lane: Lane, operation: str, parameters: Any, *, in_transaction: bool) -> Fetched:
    if in_transaction and not lane.raw.in_transaction and operation.startswith("ROLLBACK TO"):
        return None, deque(), -1, None  # there is nothing left to take back
    if in_transaction:
        require_transaction(lane.raw)
    return execute(lane.raw, operation, parameters)


def _execute_many(lane: Lane, operation: str, parameters: Any, *, in_transaction: bool) -> Fetched:
    if in_transaction:
        require_transaction(lane.raw)
    return execute_many(lane.raw, operation, parameters)


def begin_on(lane: Lane, mode: str, *, only_reads: bool) -> None:
    """Begin a transaction on the lane's thread."""
    if only_reads:
        # It has no turn, so it must not become a writer by mistake.
        lane.raw.execute("PRAGMA query_only = ON")
    lane.raw.execute(f"BEGIN {mode}")


def _commit(lane: Lane, *, in_transaction: bool) -> None:
    if in_transaction:
        require_transaction(lane.raw)
    commit(lane.raw)


def _end(lane: Lane, function: Callable[[], None], *, only_reads: bool) -> None:
    try:
        function()
    finally:
        if only_reads:
            lane.raw.execute("PRAGMA query_only = OFF")


class FusedCursor(FetchedCursor):
    """A cursor whose statement has been executed, fetched and closed in one hop."""

    __slots__ = ("_connection",)

    server_side = False

    def __init__(self, connection: FusedConnection) -> None:
        super().__init__()
        self._connection = connection

    def execute(self, operation: str, parameters: Any = None) -> FusedCursor:
        self._run(_execute, operation, () if parameters is None else parameters)
        return self

    def executemany(self, operation: str, seq_of_parameters: Any) -> FusedCursor:
        self._run(_execute_many, operation, seq_of_parameters)
        return self

    def _run(self, function: Any, operation: str, parameters: Any) -> None:
        lane, in_transaction = self._connection.lane, self._connection.in_transaction
        turn = self._connection.turn
        if turn is not None:
            turn.check()
        fetching = lane.run_interruptible(function, lane, operation, parameters, in_transaction=in_transaction)
        self.take(await_only(fetching if turn is None else _limited(turn, fetching)))

    async def _async_soft_close(self) -> None:
        """Nothing to do: the driver's cursor is closed already."""


class FusedConnection(AsyncAdapt_aiosqlite_connection):
    """SQLAlchemy's view of one aiosqlite connection."""

    __slots__ = ("_only_reads", "in_transaction", "lane", "turn")

    _cursor_cls = FusedCursor  # type: ignore[assignment]  # the base wants its own cursor class; ours has its interface

    def __init__(self, dbapi: Any, connection: aiosqlite.Connection) -> None:
        super().__init__(dbapi, connection)  # type: ignore[arg-type]  # aiosqlite is what the base is written for
        self.lane = Lane(connection)
        self.turn: WriteTurn | None = None
        """Whose turn it is, while this connection has it."""
        self._only_reads = False
        self.in_transaction = False
        """Whether SQLAlchemy believes that a transaction is open."""

    def begin(self, mode: str, turn: WriteTurn | None) -> None:
        """Begin a transaction unless one is open; with a turn, as a writer in its order; DEFERRED, to read only."""
        if not self.lane.raw.in_transaction:
            self._begin(mode, turn)
        self.in_transaction = True

    def _begin(self, mode: str, turn: WriteTurn | None) -> None:
        if turn is None:
            self._only_reads = mode == "DEFERRED"
            await_only(self.lane.run(begin_on, self.lane, mode, only_reads=self._only_reads))
            return
        self._only_reads = turn.only_reads
        await_only(turn.begin(self.lane))
        self.turn = turn

    def commit(self) -> None:
        """Commit, and let the next writer have its turn."""
        turn = self.turn
        try:
            self._end(partial(_commit, self.lane, in_transaction=self.in_transaction))
        except TransactionError:
            if turn is not None:
                turn.check()
            raise

    def rollback(self) -> None:
        """Roll back, and let the next writer have its turn; a connection that is closed has nothing left to undo.

        The pool rolls back each connection that it gets: after a commit there is nothing to do, and no thread is asked.
        """
        try:
            if self.in_transaction or self._only_reads or self.turn is not None or self.lane.raw.in_transaction:
                self._end(self.lane.raw.rollback)
        except (sqlite.ProgrammingError, ValueError) as exc:
            if not is_broken(exc):
                raise
            self._give_back_turn()

    def close(self) -> None:
        """Close the connection and end its thread."""
        try:
            super().close()
        finally:
            self._give_back_turn()

    def terminate(self) -> None:
        """Close the connection without waiting for it."""
        try:
            super().terminate()
        finally:
            self._give_back_turn()

    def _end(self, function: Any) -> None:
        only_reads, self._only_reads = self._only_reads, False
        self.in_transaction = False
        try:
            await_only(uncancelled(self.lane.run(_end, self.lane, function, only_reads=only_reads)))
        finally:
            if not self.lane.raw.in_transaction:
                self._give_back_turn()

    def _give_back_turn(self) -> None:
        turn, self.turn = self.turn, None
        if turn is not None:
            turn.release()


class _Opening:
    """Opens a connection on its thread; aiosqlite forgets to close the one of a caller who was cancelled meanwhile."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        self._connector = connector
        self._guard = threading.Lock()
        self._opened: sqlite3.Connection | None = None
        self._is_abandoned = False

    def __call__(self) -> sqlite3.Connection:
        opened = self._connector()
        with self._guard:
            self._opened = opened
            if self._is_abandoned:
                opened.close()
        return opened

    def abandon(self) -> None:
        """Close what has been opened, or as soon as it is."""
        with self._guard:
            self._is_abandoned = True
            if self._opened is not None:
                self._opened.close()


def _while_it_is_heard(work: Callable[[], None], loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Let a connection's thread end in silence when it has an answer for a loop that is closed: nobody waits for it.

    So it is after a connect that failed or was cancelled just before its program ended.
    """

    def run() -> None:
        try:
            work()
        except RuntimeError:
            if not loop.is_closed():
                raise

    return run


class FusedDBAPI(AsyncAdapt_aiosqlite_dbapi):
    """The module object for `create_async_engine(module=...)`."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite)

    def connect(self, *_args: Any, **arguments: Any) -> FusedConnection:
        """Open a connection on a thread of its own."""
        opening = _Opening(arguments["connector"])
        connection = aiosqlite.Connection(opening, iter_chunk_size=64)
        thread = connection._thread  # noqa: SLF001 (guarded by tests/unit/test_private_api.py)
        # A program that forgets disconnect() must still be able to end.
        thread.daemon = True
        thread.run = _while_it_is_heard(thread.run, asyncio.get_running_loop())  # type: ignore[method-assign]
        try:
            return FusedConnection(self, await_only(connection))
        except BaseException:
            opening.abandon()
            raise
