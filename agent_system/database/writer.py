"""The writer: one turn at a time to write to the file, for single writes in groups and for whole transactions.

Single writes of many coroutines are gathered and travel in one hop as one transaction (`groups.py`). A turn is a FIFO
lock: a group takes it once, a `transaction()` block or a writing `session()` holds it to its end, and nobody starves
because a group that comes back asks again behind those who wait. Other processes are met with short busy timeouts and
asynchronous back-off, 30 s in all (seed 003), so that a caller's own timeout is honoured at once.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from agent_system.database.driver import is_busy, sqlite
from agent_system.database.groups import GroupBusyError, Outcome, commit_group
from agent_system.database.lanes import Lane, uncancelled
from agent_system.database.translate import translate
from agent_system.errors import DatabaseBusyError, NotConnectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_system.database.executor import SqliteExecutor, Work

__all__ = ["Turn", "Writer"]

T = TypeVar("T")

# First wait and ceiling of the back-off while another process holds the lock; the wait doubles with full jitter
# (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
BACKOFF_FIRST_SECONDS = 0.002
BACKOFF_LIMIT_SECONDS = 0.05


class Turn:
    """The right to write: one holder at a time, in the order of asking."""

    def __init__(self, lock_timeout_seconds: float) -> None:
        self._lock = asyncio.Lock()
        self._timeout = lock_timeout_seconds
        self._holder: asyncio.Task[Any] | None = None

    @property
    def is_mine(self) -> bool:
        """Whether the running task holds it."""
        return self._holder is not None and self._holder is asyncio.current_task()

    async def acquire(self) -> None:
        """Wait for the turn.

        Raises:
            DatabaseBusyError: It did not come within the lock timeout.
        """
        if self._lock.locked():
            await self._acquire_in_time()
        else:
            await self._lock.acquire()
        self._holder = asyncio.current_task()

    async def _acquire_in_time(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._lock.acquire()
        except TimeoutError as exc:
            message = f"another transaction of this process held the writer for more than {self._timeout:g} s"
            raise DatabaseBusyError(message) from exc

    def release(self) -> None:
        """Let the next one have it."""
        self._holder = None
        self._lock.release()

    async def begin(self, lane: Lane) -> None:
        """Take the turn and begin a write transaction on the lane, waiting for other processes.

        Raises:
            DatabaseBusyError: The turn or the file's lock did not come in time; the turn is not held then.
        """
        await self.acquire()
        try:
            await self._begin_immediate(lane)
        except BaseException:
            await uncancelled(lane.run(_rollback, lane))
            self.release()
            raise

    async def _begin_immediate(self, lane: Lane) -> None:
        backoff = Backoff(self._timeout)
        while not await lane.run(_try_begin, lane):
            await backoff.wait()


class Backoff:
    """Waits longer and longer for a lock of another process, up to a deadline."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._deadline = asyncio.get_running_loop().time() + timeout_seconds
        self._delay = BACKOFF_FIRST_SECONDS

    async def wait(self) -> None:
        """Sleep for a while.

        Raises:
            DatabaseBusyError: The deadline has passed.
        """
        if asyncio.get_running_loop().time() >= self._deadline:
            message = f"another process held the database's write lock for more than {self._timeout:g} s"
            raise DatabaseBusyError(message)
        await asyncio.sleep(self._delay * random.random())  # noqa: S311 (jitter needs no secrecy)
        self._delay = min(self._delay * 2, BACKOFF_LIMIT_SECONDS)


def _try_begin(lane: Lane) -> bool:
    try:
        lane.raw.execute("BEGIN IMMEDIATE")
    except sqlite.OperationalError as exc:
        if is_busy(exc):
            return False
        raise
    return True


def _rollback(lane: Lane) -> None:
    if lane.raw.in_transaction:
        lane.raw.rollback()


class _Waiting:
    """One submitted work and the future that its caller awaits."""

    __slots__ = ("future", "work")

    def __init__(self, work: Work[Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future


class Writer:
    """Gathers single writes into groups and commits each group in one transaction."""

    def __init__(
        self,
        lane: Lane,
        executor: SqliteExecutor,
        turn: Turn,
        *,
        group_size: int,
        queue_limit: int,
        lock_timeout_seconds: float,
        after_commit: Callable[[], None],
    ) -> None:
        self._lane = lane
        self._executor = executor
        self._turn = turn
        self._group_size = group_size
        self._lock_timeout = lock_timeout_seconds
        self._after_commit = after_commit
        self._waiting: deque[_Waiting] = deque()
        self._queue_limit = queue_limit
        self._space = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def depth(self) -> int:
        """How many writes wait for their group now."""
        return len(self._waiting)

    async def submit(self, work: Work[T]) -> T:
        """Run one work in the next group and return its value after the commit.

        A caller that is cancelled while its work waits takes it back; later, the work is committed all the same.
        """
        if self._closed:
            raise NotConnectedError
        while len(self._waiting) >= self._queue_limit:
            self._space.clear()
            await self._space.wait()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(work, future))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain())
        return await future

    async def close(self) -> None:
        """Take no more work and wait until what was accepted is done."""
        self._closed = True
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._commit_next_group()
        finally:
            self._task = None

    async def _commit_next_group(self) -> None:
        try:
            await self._turn.acquire()
        except DatabaseBusyError as exc:
            self._fail(self._take(), exc)
            return
        group: list[_Waiting] = []
        try:
            # Taken only now: everything submitted while the turn was awaited travels in this hop.
            group = self._take()
            if group:
                outcomes = await self._commit(group)
                self._resolve(group, outcomes)
        except BaseException as exc:  # the writer goes on; whoever waits is told
            self._fail(group, exc)
            if not isinstance(exc, Exception):
                raise
        finally:
            self._turn.release()
        self._after_commit()

    async def _commit(self, group: list[_Waiting]) -> Sequence[Outcome]:
        backoff: Backoff | None = None
        while True:
            try:
                return await self._lane.run(commit_group, self._executor, [waiting.work for waiting in group])
            except GroupBusyError:
                backoff = backoff or Backoff(self._lock_timeout)
                await backoff.wait()
                # Whoever gave up meanwhile has nothing written; whoever came meanwhile may join.
                group[:] = [waiting for waiting in group if not waiting.future.done()]
                group.extend(self._take(self._group_size - len(group)))

    def _take(self, limit: int | None = None) -> list[_Waiting]:
        wanted = self._group_size if limit is None else limit
        group: list[_Waiting] = []
        while self._waiting and len(group) < wanted:
            waiting = self._waiting.popleft()
            if not waiting.future.done():
                group.append(waiting)
        self._space.set()
        return group

    def _resolve(self, group: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.future.done():
                continue
            if outcome.error is None:
                waiting.future.set_result(outcome.value)
            else:
                waiting.future.set_exception(translate(outcome.error))

    def _fail(self, group: Sequence[_Waiting], exc: BaseException) -> None:
        for waiting in group:
            if not waiting.future.done():
                waiting.future.set_exception(translate(exc))
