"""Tasks that read a count, add one and write it back, as an agent runtime does with its state."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_system import DatabaseManager, EntityManager
from agent_system.errors import ConflictError

if TYPE_CHECKING:
    from uuid import UUID


async def add_one(em: EntityManager, counter: UUID) -> None:
    """Add one; whoever finds that somebody else was first begins anew."""
    while True:
        agent = await em.agents.require(counter)
        changed = {"configuration": {"count": agent.configuration["count"] + 1}}
        try:
            await em.agents.update(counter, changed, expected_version=agent.version)
        except ConflictError:
            continue
        return


async def count_up(url: str, counter: UUID, tasks: int, times: int) -> None:
    """Let so many tasks add one so many times each."""

    async def often(em: EntityManager) -> None:
        for _ in range(times):
            await add_one(em, counter)

    async with DatabaseManager(url, auto_migrate=False) as db:
        em = EntityManager(db)
        await asyncio.gather(*(often(em) for _ in range(tasks)))


def count_up_in_process(url: str, counter: UUID, tasks: int, times: int) -> None:
    """Run as a process."""
    asyncio.run(count_up(url, counter, tasks, times))
