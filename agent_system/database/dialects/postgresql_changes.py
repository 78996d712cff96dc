"""Waiting for a notification of a PostgreSQL server: LISTEN on a connection of its own.

Connections die, and the worst of them without a word: so the connection is asked now and then whether it is still
there, and replaced when it does not answer. Whoever waits looks by himself at times all the same.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agent_system.database.dialects.postgresql_executor import CHANNEL
from agent_system.database.engine import create_engine, dispose

if TYPE_CHECKING:
    from sqlalchemy import URL

    from agent_system.database.dialects.base import Mark
    from agent_system.settings import DatabaseSettings

__all__ = ["PostgresChanges"]

logger = logging.getLogger(__name__)

PING_SECONDS = 10.0
PING_TIMEOUT_SECONDS = 5.0
RECONNECT_FIRST_SECONDS = 0.1
RECONNECT_LIMIT_SECONDS = 5.0


class PostgresChanges:
    """Counts notifications, and each new connection as one: what was sent in between was not heard."""

    def __init__(self, url: URL, settings: DatabaseSettings) -> None:
        self._engine = create_engine(url, settings.model_copy(update={"pool_size": 1, "pool_max_overflow": 0}))
        self._count = 0
        self._moved = asyncio.Event()
        self._lost = asyncio.Event()
        self._is_listening = False
        self._task = asyncio.get_running_loop().create_task(self._listen())

    @property
    def is_listening(self) -> bool:
        """Whether somebody tells when to look."""
        return self._is_listening

    @property
    def tells_of_work(self) -> bool:
        """It does: a look before the claim would be one more round trip."""
        return True

    def mark(self) -> Mark:
        """The present moment, to compare later ones with."""
        return self._count

    async def changed(self, since: Mark, timeout_seconds: float) -> bool:
        """Wait until something may have been committed since a moment; False when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._count == since:
                    self._moved.clear()
                    await self._moved.wait()
        return self._count != since

    async def close(self) -> None:
        """Listen no longer."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await dispose(self._engine)

    def _heard(self, *_notification: Any) -> None:
        self._count += 1
        self._moved.set()

    async def _listen(self) -> None:
        delay = RECONNECT_FIRST_SECONDS
        while True:
            try:
                async with self._engine.connect() as connection:
                    raw: Any = (await connection.get_raw_connection()).driver_connection
                    try:
                        await self._listen_on(raw)
                    finally:
                        await connection.invalidate()
            except Exception as exc:  # noqa: BLE001 (whatever it is, the listener goes on)
                logger.warning("the connection that listens for notifications is gone and is replaced: %s", exc)
            if self._is_listening:
                delay = RECONNECT_FIRST_SECONDS
            self._is_listening = False
            await asyncio.sleep(delay)
            delay = min(delay * 2, RECONNECT_LIMIT_SECONDS)

    async def _listen_on(self, raw: Any) -> None:
        self._lost.clear()
        raw.add_termination_listener(lambda _connection: self._lost.set())
        await raw.add_listener(CHANNEL, self._heard)
        self._is_listening = True
        self._heard()
        while not self._lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PING_SECONDS):
                    await self._lost.wait()
                    return
            # Over a half-open connection nothing ever comes, and nothing says so.
            await raw.execute("SELECT 1", timeout=PING_TIMEOUT_SECONDS)
