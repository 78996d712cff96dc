"""What a worker does now and then: it looks for schedules whose time has come, and keeps things in order."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from agent_system.clock import utc_now
from agent_system.errors import AgentSystemError, NotConnectedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agent_system.entity_manager import EntityManager
    from agent_system.jobs.reporter import Patience
    from agent_system.managers.queue.queue import QueueManager

    Chore: TypeAlias = Callable[[EntityManager], Awaitable[object]]

__all__ = ["do_chores", "repeat_chores", "run_schedules"]

logger = logging.getLogger("agent_system.jobs")


async def do_chores(em: EntityManager, chores: Mapping[Chore, float], patience: Patience) -> None:
    """Do each chore once; one that fails is logged, and keeps no other from being done."""
    for chore in chores:
        try:
            await patience.until_done(partial(chore, em))
        except NotConnectedError:
            raise
        except AgentSystemError:
            logger.exception("%s failed, and is tried again later", chore)


async def repeat_chores(em: EntityManager, chores: Mapping[Chore, float], patience: Patience) -> None:
    """Do each chore again and again, for ever; so many seconds lie between two times."""

    async def repeat(chore: Chore, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await do_chores(em, {chore: seconds}, patience)

    await asyncio.gather(*(repeat(chore, seconds) for chore, seconds in chores.items()))


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
