"""`Follower`: an index in memory that follows a table by its log of changes, whoever writes to it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from agent_system.database.plans import compile_plan
from agent_system.managers.core.steps import in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import Plan
    from agent_system.search.change_log import ChangeLog, LogPlace

__all__ = ["MIB", "Follower", "Source", "allowed_bytes"]

T = TypeVar("T")

MIB = 1024 * 1024
# Of more changes than these the whole table is read again.
MOST_CHANGES = 30_000


def allowed_bytes(db: DatabaseManager) -> int:
    """How much memory one index may take, by the settings."""
    return db.settings.search_memory_mib * MIB


class InMemory(Protocol):
    """An index in memory."""

    @property
    def used_bytes(self) -> int:
        """How much memory its rows take."""


I = TypeVar("I", bound=InMemory)  # noqa: E741 (an index)


class Source(Protocol[I]):
    """What an index is made of; a row is a tuple that begins with its number."""

    part: int
    """Rows of one read."""
    on_loop: int
    """So many rows are taken in within a millisecond; more are on a thread."""

    def size_bytes(self, executor: Executor) -> int:
        """About how much memory the index is going to take."""

    def empty(self) -> I:
        """An index of nothing."""

    def read(self, executor: Executor, behind: int, among: Sequence[int] | None) -> list[Any]:
        """The next rows behind a number in their order, or the rows of some numbers."""

    def put(self, index: I, rows: Sequence[Any]) -> None:
        """Take rows in; those that are there are replaced."""

    def remove(self, index: I, numbers: AbstractSet[int]) -> None:
        """Let go of rows; a number without a row is no error."""


class Follower(Generic[I]):
    """An index in memory.

    Args:
        log: The log of the table.
        source: What it is made of.
        most_bytes: How much memory it may take.
        settle: Called when the whole table has been taken in.
    """

    def __init__(
        self,
        log: ChangeLog,
        source: Source[I],
        most_bytes: Callable[[DatabaseManager], int] = allowed_bytes,
        *,
        settle: Callable[[I], None] | None = None,
    ) -> None:
        self._log = log
        self._source = source
        self._most_bytes = most_bytes
        self._settle = settle
        # Whoever computes with the index holds it still.
        self._lock = asyncio.Lock()
        self.index: I | None = None
        """What is in memory; None while there is nothing."""
        self._place: LogPlace | None = None
        self._from_last: Plan | None = None
        # Of the database when the index was up to date.
        self._stamp: bytes | None = None

    async def use(self, db: DatabaseManager, compute: Callable[[I], T], *, on_loop: Callable[[I], bool]) -> T | None:
        """Compute something with an index that knows everything that was committed before the call.

        Args:
            db: The database, which may be bound to a scope.
            compute: What to compute.
            on_loop: Whether it takes less than about a millisecond; otherwise it is computed on a thread.

        Returns:
            None when there is to be no index: it would be too large, or a transaction is open, whose changes are nobody
            else's business yet.
        """
        if db.in_transaction:
            return None
        index = self.index
        if index is not None and not self._lock.locked() and self._is_current(db.stamp) and on_loop(index):
            # Nobody changes it before it is computed, for nothing here gives the loop to others.
            return compute(index)
        async with self._lock:
            index = await self._followed(db)
            if index is None:
                return None
            return compute(index) if on_loop(index) else await asyncio.to_thread(compute, index)

    async def _followed(self, db: DatabaseManager) -> I | None:
        index, place, stamp = self.index, self._place, db.stamp
        if index is None or place is None:
            return await self._load(db)
        if self._is_current(stamp):
            return index
        if await self._is_up_to_date(db, place):
            self._stamp = stamp
            return index
        changed, rows, end = await db.read(partial(self._changes, place=place))
        if changed is None:
            return await self._load(db)
        if changed:
            # Unknown until it is complete: a cancelled call leaves nothing half done.
            self.index = None
            self._source.remove(index, changed.difference(row[0] for row in rows))
            await self._take_in(index, rows)
            self.index = index
        self._place, self._stamp = end, stamp
        if index.used_bytes <= self._most_bytes(db):
            return index
        self.index = None
        return None

    def _is_current(self, stamp: bytes | None) -> bool:
        """Whether nobody has committed since: then there is nothing new in the log, which takes a statement to tell."""
        return stamp is not None and stamp == self._stamp

    async def _is_up_to_date(self, db: DatabaseManager, place: LogPlace) -> bool:
        """Whether nothing was logged since, as far as that can be told without a hop; False when it cannot."""
        # The log is nobody's own, so a scope has to ask in a unit of work.
        if db.is_scoped or not place.last:
            return False
        if self._from_last is None:
            statement = self._log.from_last()
            if statement is None:
                return False
            self._from_last = compile_plan(statement, db.dialect)
        rows = await db.fetch(self._from_last, self._from_last.encode({"last": place.last}))
        return [row[0] for row in rows] == [place.last]

    def _changes(self, executor: Executor, place: LogPlace) -> tuple[set[int] | None, list[Any], LogPlace]:
        trusted = executor.trusted
        changed, end = self._log.since(trusted, place)
        if changed is None or len(changed) > MOST_CHANGES:
            return None, [], end
        rows = [row for part in in_chunks(sorted(changed)) for row in self._source.read(trusted, 0, part)]
        return changed, rows, end

    async def _load(self, db: DatabaseManager) -> I | None:
        self.index = None

        def begin(executor: Executor) -> tuple[LogPlace, int]:
            # The log first: what is written while the table is read is read twice.
            return self._log.end(executor.trusted), self._source.size_bytes(executor.trusted)

        place, size = await db.read(begin)
        if size > self._most_bytes(db):
            return None
        index = self._source.empty()
        behind = 0
        while True:
            rows = await db.read(partial(self._read, behind=behind))
            await self._take_in(index, rows)
            if len(rows) < self._source.part:
                break
            behind = rows[-1][0]
        if self._settle is not None:
            await asyncio.to_thread(self._settle, index)
        self.index, self._place = index, place
        return index

    def _read(self, executor: Executor, behind: int) -> list[Any]:
        return self._source.read(executor.trusted, behind, None)

    async def _take_in(self, index: I, rows: Sequence[Any]) -> None:
        if len(rows) <= self._source.on_loop:
            self._source.put(index, rows)
        else:
            await asyncio.to_thread(self._source.put, index, rows)
