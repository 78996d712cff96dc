"""Counts as `counting.py` does, by managers of our own: their group commits, and their sessions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from counting import Shared, main, pause

from agent_system.database import DatabaseManager
from agent_system.managers.core.base import Manager
from agent_system.models import Agent
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Agents(Manager[Agent]):
    """Agents with their audit trail."""

    entity = Agent
    audited = "agent"


async def by_update(db: DatabaseManager, agent_id: UUID) -> int:
    return (await Agents(db).update(agent_id, {"instruction": "count"})).version


async def in_transaction(db: DatabaseManager, agent_id: UUID) -> int:
    async with db.transaction():
        await by_update(db, agent_id)
        return await by_update(db, agent_id)


async def in_session(db: DatabaseManager, agent_id: UUID) -> int:
    async with db.session() as session:
        agent = await session.get_one(Agent, agent_id)
        agent.version += 1
        await session.commit()
        return agent.version


def way(count_once: Callable[[DatabaseManager, UUID], Awaitable[int]]) -> Callable[[str, str, Shared], None]:
    async def count(path: str, agent_id: str, shared: Shared) -> None:
        settings = DatabaseSettings(durability="normal")
        async with DatabaseManager(path, settings=settings, auto_migrate=False) as db:
            while not shared.is_over:
                shared.committed = await count_once(db, UUID(agent_id))
                pause()

    return lambda path, agent_id, shared: asyncio.run(count(path, agent_id, shared))


if __name__ == "__main__":
    main({"managers": way(by_update), "transactions": way(in_transaction), "sessions": way(in_session)})
