"""Looking for schedules whose time has come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_system.clock import utc_now

if TYPE_CHECKING:
    from agent_system.jobs.reporter import Patience
    from agent_system.managers.queue.queue import QueueManager

__all__ = ["run_schedules"]


async def run_schedules(queue: QueueManager, patience: Patience, poll_seconds: float) -> None:
    """Put the jobs of schedules into the queue, for ever.

    Args:
        poll_seconds: So often somebody looks whether there is a new schedule.
    """
    while True:
        await patience.until_done(queue.run_schedules)
        next_at = await patience.until_done(queue.schedules.next_at)
        wait = poll_seconds if next_at is None else (next_at - utc_now()).total_seconds()
        await asyncio.sleep(min(max(wait, 0.0), poll_seconds))
