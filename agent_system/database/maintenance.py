"""What a connected manager does in the background from time to time, and what ends with it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from agent_system.errors import AgentSystemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.database.dialects.base import Backend

__all__ = ["Maintenance"]

logger = logging.getLogger(__name__)


class Maintenance:
    """Calls the engine's upkeep again and again.

    Between two rounds there is only a timer, no task: a program that forgets to disconnect can end.

    Args:
        backend: The engine.
        every_seconds: How long after a round the next one begins; None: never by itself.
        clock: Seconds that only rise.
    """

    def __init__(
        self, backend: Backend, every_seconds: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._every_seconds = every_seconds
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def start(self) -> None:
        """Begin to wait for the first round."""
        if self._every_seconds is not None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(self._every_seconds, self._begin)

    async def round(self) -> None:
        """Do everything that is due."""
        await self._backend.maintain(self._clock())

    async def close(self) -> None:
        """End a round that runs, and the waiting for the next one."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="agent_system maintenance")

    async def _run(self) -> None:
        try:
            await self.round()
        except AgentSystemError as exc:
            # The next round may do better, and whoever is concerned by the cause meets it too.
            logger.warning("maintenance was put off: %s", exc)
        finally:
            self._task = None
            self.start()
