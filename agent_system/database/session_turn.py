"""The turn of a session that may write: it ends by itself when the session keeps it for too long.

A session commits when its owner says so, and an owner that waits for a model or was forgotten would keep every writer
of the file waiting. So its transaction is warned about and then rolled back, as that of `db.transaction()` is.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agent_system.database.lanes import roll_back
from agent_system.errors import TransactionTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_system.database.lanes import Lane
    from agent_system.database.turns import Turn

__all__ = ["SessionTurn"]

logger = logging.getLogger(__name__)


class SessionTurn:
    """Takes the turn for one session, and gives it back after a while whatever the session does.

    Args:
        turn: The turn of the process.
        warn_seconds: A transaction that is open for longer is warned about.
        timeout_seconds: One that is open for longer is rolled back.
    """

    only_reads = False

    def __init__(self, turn: Turn, *, warn_seconds: float, timeout_seconds: float) -> None:
        self._turn = turn
        self._warn_seconds = warn_seconds
        self._timeout_seconds = timeout_seconds
        self._timers: tuple[asyncio.TimerHandle, ...] = ()
        self._transactions = 0
        self._is_held = False
        self._is_expired = False

    async def begin(self, lane: Lane) -> None:
        """Wait for the turn and begin a transaction whose time runs from now on."""
        await self._turn.begin(lane)
        self._transactions += 1
        self._is_held, self._is_expired = True, False
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        name = task.get_name() if task is not None else "?"
        self._timers = (
            loop.call_later(self._warn_seconds, self._warn, name),
            loop.call_later(self._timeout_seconds, self._expire, lane, name),
        )

    def release(self) -> None:
        """Let the next one have the turn."""
        for timer in self._timers:
            timer.cancel()
        if self._is_held:
            self._is_held = False
            self._turn.release()

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """End a statement that runs when the time is over.

        Raises:
            TransactionTimeoutError: It is over.
        """
        self.check()
        limit = asyncio.timeout_at(self._timers[-1].when())
        try:
            async with limit:
                yield
        except TimeoutError:
            if limit.expired():
                raise self._error() from None
            raise

    def check(self) -> None:
        """Raise TransactionTimeoutError when the time of the present transaction is over."""
        if self._is_expired:
            raise self._error()

    def _error(self) -> TransactionTimeoutError:
        message = (
            f"the transaction of this session was open for more than {self._timeout_seconds:g} s and was rolled back "
            "so that others can write; do slow work, such as calling a model, before or after it"
        )
        return TransactionTimeoutError(message)

    def _warn(self, name: str) -> None:
        logger.warning("a session of task %s has been writing for more than %g s", name, self._warn_seconds)

    def _expire(self, lane: Lane, name: str) -> None:
        logger.error("a session of task %s was writing for too long and is rolled back", name)
        self._is_expired = True
        number = self._transactions

        def release(rolled_back: asyncio.Future[Any]) -> None:
            # A connection that cannot roll back has lost the transaction; the error is the session's to meet.
            rolled_back.cancelled() or rolled_back.exception()
            if number == self._transactions:
                self.release()

        # Sent to the thread at once: a BEGIN that comes later comes behind it.
        lane.post(roll_back, lane).add_done_callback(release)
