"""The turn to write: one holder in a process at a time, and then the lock that other processes ask for too.

A group of single writes takes the turn once, a `transaction()` block or a writing `session()` holds it to its end.
Other processes are met with short busy timeouts and asynchronous back-off, 30 s in all (seed 003), so that a caller's
own timeout is honoured at once.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from agent_system.database.driver import is_busy, sqlite
from agent_system.database.lanes import roll_back, uncancelled
from agent_system.errors import DatabaseBusyError, TransactionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from agent_system.database.lanes import Lane

__all__ = ["Backoff", "Turn"]

# First wait and ceiling of the back-off while another process holds the lock; the wait doubles with full jitter
# (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
BACKOFF_FIRST_SECONDS = 0.002
BACKOFF_LIMIT_SECONDS = 0.05


class Turn:
    """The right to write: one holder at a time, in the order of asking.

    It is handed from holder to holder, so that nobody who asks at the right moment can pass those who wait.
    """

    only_reads = False

    def __init__(self, lock_timeout_seconds: float) -> None:
        self._timeout = lock_timeout_seconds
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._holder: asyncio.Task[Any] | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for it; may be asked on any thread."""
        return bool(self._waiting)

    def check_not_mine(self) -> None:
        """Raise TransactionError when the running task holds it: to wait would be to wait for itself."""
        if self._holder is not None and self._holder is asyncio.current_task():
            message = (
                "this task has a session() with an open transaction, so it would wait for itself: commit the session "
                "first, or open db.transaction() and use session() and the managers inside it"
            )
            raise TransactionError(message)

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
            TransactionError: The running task has it already.
        """
        self.check_not_mine()
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

    def pass_on(self) -> None:
        """Let it stay taken without the running task, which may wait for it again like everybody else."""
        self._holder = None

    def release(self) -> None:
        """Hand it to the one who waits longest."""
        self._holder = None
        while self._waiting:
            handed = self._waiting.popleft()
            if not handed.done():
                handed.set_result(None)
                return
        self._is_taken = False

    def limit(self) -> AbstractAsyncContextManager[None]:
        """No limit; see `SessionTurn`."""
        return nullcontext()

    def check(self) -> None:
        """Nothing to check; see `SessionTurn`."""

    async def begin(self, lane: Lane) -> None:
        """Take the turn and begin a write transaction on the lane, waiting for other processes.

        Raises:
            DatabaseBusyError: The turn or the file's lock did not come in time; the turn is not held then.
        """
        await self.begin_on(lambda: lane)

    async def begin_on(self, current: Callable[[], Lane]) -> Lane:
        """Do so on the lane that is in use when the turn has come: a broken one may have been replaced meanwhile.

        Raises:
            DatabaseBusyError: The turn or the file's lock did not come in time; the turn is not held then.
        """
        await self.acquire()
        lane = current()
        try:
            await self._begin_immediate(lane)
        except BaseException:
            try:
                await uncancelled(lane.run(roll_back, lane))
            finally:
                self.release()
            raise
        return lane

    def backoff(self) -> Backoff:
        """What waits for another process that has the file's lock, for as long as for the turn."""
        return Backoff(self._timeout)

    async def _begin_immediate(self, lane: Lane) -> None:
        backoff = self.backoff()
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
