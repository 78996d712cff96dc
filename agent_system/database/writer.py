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
from functools import partial
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
    """The right to write: one holder at a time, in the order of asking.

    It is handed from holder to holder, so that nobody who asks at the right moment can pass those who wait.
    """

    def __init__(self, lock_timeout_seconds: float) -> None:
        self._timeout = lock_timeout_seconds
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._holder: asyncio.Task[Any] | None = None

    @property
    def is_mine(self) -> bool:
        """Whether the running task holds it."""
        return self._holder is not None and self._holder is asyncio.current_task()

    def try_acquire(self) -> bool:
        """Take the turn if nobody has it; the holder is then no task but the caller's own callbacks."""
        if self._is_taken:
            return False
        self._is_taken = True
        return True

    async def acquire(self) -> None:
        """Wait for the turn.

        Raises:
            DatabaseBusyError: It did not come within the lock timeout.
        """
        if not self.try_acquire():
            await self._wait()
        self._holder = asyncio.current_task()

    async def _wait(self) -> None:
        handed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(handed)
        try:
            async with asyncio.timeout(self._timeout):
                await handed
        except BaseException as exc:
            if handed.done() and not handed.cancelled():
                # It was handed over in the very moment of giving up.
                self.release()
            if isinstance(exc, TimeoutError):
                message = f"another transaction of this process held the writer for more than {self._timeout:g} s"
                raise DatabaseBusyError(message) from exc
            raise

    def release(self) -> None:
        """Hand it to the one who waits longest."""
        self._holder = None
        while self._waiting:
            handed = self._waiting.popleft()
            if not handed.done():
                handed.set_result(None)
                return
        self._is_taken = False

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
    """Gathers single writes into groups and commits each group in one transaction.

    What is submitted in one iteration of the loop travels in one hop. It is driven by callbacks and not by a task,
    which saves a single writer two rounds of the loop; a task is needed only to wait for the turn or another process.
    """

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
        self._queue_limit = queue_limit
        self._lock_timeout = lock_timeout_seconds
        self._after_commit = after_commit
        self._waiting: deque[_Waiting] = deque()
        self._space = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
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
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Waiting(work, future))
        if self._idle.is_set():
            self._idle.clear()
            loop.call_soon(self._ask_for_turn)
        return await future

    async def close(self) -> None:
        """Take no more work and wait until what was accepted is done."""
        self._closed = True
        await self._idle.wait()

    def _ask_for_turn(self) -> None:
        if self._turn.try_acquire():
            self._send()
        else:
            self._task = asyncio.get_running_loop().create_task(self._wait_for_turn())

    async def _wait_for_turn(self) -> None:
        try:
            await self._turn.acquire()
        except DatabaseBusyError as exc:
            self._fail(self._take(), exc)
            self._go_on()
        else:
            self._send()

    def _send(self) -> None:
        # Taken only now: everything submitted while the turn was awaited travels in this hop.
        group = self._take()
        if group:
            self._post(group)
        else:
            self._finish()

    def _post(self, group: list[_Waiting]) -> None:
        works = [waiting.work for waiting in group]
        answer = self._lane.post(commit_group, self._executor, works)
        answer.add_done_callback(partial(self._answered, group))

    def _answered(self, group: list[_Waiting], answer: asyncio.Future[Sequence[Outcome]]) -> None:
        error = answer.exception()
        if isinstance(error, GroupBusyError):
            self._task = asyncio.get_running_loop().create_task(self._try_until_free(group))
            return
        if error is not None:
            self._fail(group, error)
        else:
            self._resolve(group, answer.result())
        self._finish()

    async def _try_until_free(self, group: list[_Waiting]) -> None:
        """Another process has the lock; the turn is kept, so that nobody of this process asks in between."""
        backoff = Backoff(self._lock_timeout)
        try:
            while True:
                await backoff.wait()
                # Whoever gave up meanwhile has nothing written; whoever came meanwhile may join.
                group[:] = [waiting for waiting in group if not waiting.future.done()]
                group.extend(self._take(self._group_size - len(group)))
                try:
                    works = [waiting.work for waiting in group]
                    outcomes = await self._lane.run(commit_group, self._executor, works)
                except GroupBusyError:
                    continue
                self._resolve(group, outcomes)
                break
        except BaseException as exc:  # noqa: BLE001 (the writer goes on; whoever waits is told)
            self._fail(group, exc)
        self._finish()

    def _finish(self) -> None:
        self._turn.release()
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._ask_for_turn)
        else:
            self._idle.set()

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
        self._after_commit()
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
