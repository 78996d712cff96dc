"""A write transaction on SQLite's writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from agent_system.database.driver import commit, is_broken, require_transaction, sqlite
from agent_system.database.lanes import uncancelled
from agent_system.errors import OutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.database.executor import SqliteExecutor, Work
    from agent_system.database.lanes import Lane

__all__ = ["SqliteTransaction"]

T = TypeVar("T")


class SqliteTransaction:
    """A write transaction on the writer; it holds the turn until it ends."""

    def __init__(
        self, connection: AsyncConnection, lane: Lane, executor: SqliteExecutor, on_end: Callable[[bool, bool], None]
    ) -> None:
        self._connection = connection
        self._lane = lane
        self._executor = executor
        self._on_end = on_end
        self._broken = False

    @property
    def is_alive(self) -> bool:
        """Whether SQLite still has the transaction open; RAISE(ROLLBACK) and a full disk end it."""
        try:
            return self._lane.raw.in_transaction
        except (sqlite.Error, ValueError):
            return False  # its connection has been closed

    async def run(self, work: Work[T], *, isolate: bool) -> T:
        """Run a unit of work on the writer's thread; a cancelled caller's statement is interrupted."""
        function = _run_isolated if isolate else _run
        try:
            return await self._lane.run_interruptible(function, work, self._executor)
        except (sqlite.Error, SQLAlchemyError) as exc:
            self._broken = self._broken or is_broken(exc)
            raise

    async def connection(self) -> AsyncConnection:
        """SQLAlchemy's connection, with the transaction begun in its books too."""
        if not self._connection.in_transaction():
            await self._connection.begin()
        return self._connection

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._execute(f"SAVEPOINT {name}")

    async def release(self, name: str) -> None:
        """Keep what was done since the savepoint."""
        await self._execute(f"RELEASE {name}")

    async def rollback_to(self, name: str) -> None:
        """Take back what was done since the savepoint."""
        await self._execute(f"ROLLBACK TO {name}")
        await self._execute(f"RELEASE {name}")

    async def _execute(self, statement: str) -> None:
        await self._lane.run(_execute, self._lane, statement)

    async def commit(self) -> None:
        """Commit; a cancellation waits until it is known what became of it."""
        await uncancelled(self._end(_commit, commits=True))

    async def rollback(self) -> None:
        """Roll back; nothing happens when the transaction is gone already, with its connection even."""
        try:
            await uncancelled(self._end(_rollback, commits=False))
        except (sqlite.Error, ValueError) as exc:
            if not is_broken(exc):
                raise

    async def _end(self, function: Callable[[Lane], None], *, commits: bool) -> None:
        committed = False
        try:
            await self._lane.run(function, self._lane)
            committed = commits
        except (sqlite.Error, OutcomeUnknownError) as exc:
            self._broken = self._broken or is_broken(exc)
            raise
        finally:
            try:
                if self._connection.in_transaction():
                    # The database's transaction is over; this closes SQLAlchemy's books.
                    await self._connection.rollback()
            finally:
                self._on_end(committed, self._broken)


# Whether the transaction is still there is asked on the connection's thread: only there is it sure that no statement of
# the transaction, given up by its caller, is still running.


def _execute(lane: Lane, statement: str) -> None:
    require_transaction(lane.raw)
    lane.raw.execute(statement)


def _commit(lane: Lane) -> None:
    require_transaction(lane.raw)
    commit(lane.raw)


def _rollback(lane: Lane) -> None:
    lane.raw.rollback()


def _run(work: Work[T], executor: SqliteExecutor) -> T:
    require_transaction(executor.raw)
    return work(executor)


def _run_isolated(work: Work[T], executor: SqliteExecutor) -> T:
    raw = executor.raw
    require_transaction(raw)
    raw.execute("SAVEPOINT work")
    try:
        result = work(executor)
        require_transaction(raw)
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK TO work")
            raw.execute("RELEASE work")
        raise
    raw.execute("RELEASE work")
    return result
