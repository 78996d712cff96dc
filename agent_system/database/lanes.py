"""One aiosqlite connection as a lane: functions travel to its thread in one hop and can be interrupted safely.

aiosqlite offers no public way to run a function of ours on its thread, so `Connection._execute`, `_tx`, `_conn`,
`_connection`, `_thread` and `_running` are used here and nowhere else, but for `_thread`, which `adapter.py` makes a
daemon; `tests/unit/test_private_api.py` names what breaks when they change.
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from agent_system.database.nearness import Nearness

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    import aiosqlite

__all__ = ["STOPPED", "Lane", "roll_back", "uncancelled"]

CLOSED = "Connection closed"
STOPPED = "a unit of work raised StopIteration"

T = TypeVar("T")
P = ParamSpec("P")


async def uncancelled(work: Awaitable[T]) -> T:
    """Await something that must not be abandoned half-way: a commit, a rollback, a close.

    A cancellation is remembered, the work is finished, and only then `CancelledError` goes on. So a caller that is told
    of a cancellation knows that the connection is clean.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            if task.cancelled():
                raise
            cancelled = exc
        except BaseException:  # noqa: BLE001 (task.result() below raises it again)
            break
    if cancelled is not None:
        # The task's own error, if it had one, is the cause that a reader of the traceback wants to see.
        raise cancelled from task.exception()
    return task.result()


class _Call:
    """The life of one interruptible call; every change happens under the lane's lock."""

    __slots__ = ("abandoned", "running")

    def __init__(self) -> None:
        self.running = False
        self.abandoned = False


class Lane:
    """Runs functions on the thread that owns one SQLite connection, in the order in which they were sent."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._guard = threading.Lock()
        # Who has it works with the connection: the lane's thread, or one that does a function itself.
        self._at_work = threading.Lock()
        self.nearness = Nearness(connection._thread.native_id)  # noqa: SLF001 (see the module docstring)
        """On which processor its thread is."""
        self._waiting = 0

    @property
    def raw(self) -> sqlite3.Connection:
        """The driver's connection; to be used only by a function that the lane runs."""
        return self._connection._conn  # noqa: SLF001 (see the module docstring)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the thread; a cancelled caller leaves, the function goes on to its end."""
        connection: Any = self._connection
        if not connection._running:  # noqa: SLF001 (see the module docstring)
            raise ValueError(CLOSED)
        placed = self.nearness.place(is_alone=not self._waiting)
        self._waiting += 1
        try:
            result: T = await connection._execute(self._work, function, *args, **kwargs)  # noqa: SLF001 (see the module docstring)
        finally:
            self._waiting -= 1
            self.nearness.learn(placed)
        return result

    def post(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Send a function to the thread and return at once; for callbacks, where nothing can be awaited."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        connection: Any = self._connection
        if connection._running and connection._connection:  # noqa: SLF001 (see the module docstring)
            connection._tx.put_nowait((future, partial(self._work, function, *args, **kwargs)))  # noqa: SLF001 (see there)
        else:
            # Its thread has ended, and nobody would ever answer.
            future.set_exception(ValueError(CLOSED))
        return future

    def call(
        self,
        then: Callable[[T | None, BaseException | None], None],
        function: Callable[..., T],
        *args: Any,
        is_alone: bool,
    ) -> None:
        """Send a function to the thread and return at once; `then` gets its value or its error, on the loop.

        A future would tell it one round of the loop later.

        Args:
            is_alone: Whether one caller waits for it.
        """
        loop = asyncio.get_running_loop()
        placed = 0.0

        def run() -> None:
            try:
                value = self._work(function, *args)
            except BaseException as exc:  # noqa: BLE001 (whoever waits is told)
                loop.call_soon_threadsafe(answer, None, exc)
            else:
                loop.call_soon_threadsafe(answer, value, None)

        def answer(value: T | None, error: BaseException | None) -> None:
            self.nearness.learn(placed)
            then(value, error)

        connection: Any = self._connection
        if connection._running and connection._connection:  # noqa: SLF001 (see the module docstring)
            placed = self.nearness.place(is_alone=is_alone)
            connection._tx.put_nowait((None, run))  # noqa: SLF001 (see there)
        else:
            # Its thread has ended, and nobody would ever answer.
            loop.call_soon(then, None, ValueError(CLOSED))

    def call_here(
        self, then: Callable[[T | None, BaseException | None], None], function: Callable[..., T], *args: Any
    ) -> bool:
        """Run a function on the calling thread, the event loop's; False when the lane's thread is at work.

        `then` gets its value or its error. What a signal's handler has raised goes on.
        """
        if not self._at_work.acquire(blocking=False):
            return False
        value, error = None, None
        try:
            value = function(*args)
        except BaseException as exc:  # noqa: BLE001 (whoever waits is told)
            error = exc
        finally:
            self._at_work.release()
        then(value, error)
        if error is not None and not isinstance(error, Exception):
            raise error
        return True

    def _work(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._at_work:
            return function(*args, **kwargs)

    async def run_interruptible(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the thread; when the caller is cancelled, its statement is interrupted.

        `interrupt()` strikes whatever runs at that moment, so it is sent only while this very call is running, under a
        lock that the end of the call takes too. A call that has not begun yet never begins.
        """
        call = _Call()

        def guarded() -> T:
            with self._guard:
                if call.abandoned:
                    raise asyncio.CancelledError
                call.running = True
            try:
                return function(*args, **kwargs)
            except StopIteration as exc:
                # A future refuses it, and its caller would wait for ever.
                raise RuntimeError(STOPPED) from exc
            finally:
                with self._guard:
                    call.running = False

        try:
            return await self.run(guarded)
        except asyncio.CancelledError:
            with self._guard:
                call.abandoned = True
                if call.running:
                    self.raw.interrupt()
            raise


def roll_back(lane: Lane) -> None:
    """Take back what is open on a lane, if anything is; for the lane's thread."""
    if lane.raw.in_transaction:
        lane.raw.rollback()
