"""Does with a database what programs do, and tells which of its files Python was asked to open meanwhile."""

# ruff: noqa: T201 (it speaks through its output)
from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agent_system.database import DatabaseManager
from agent_system.managers.core.base import Manager
from agent_system.models import Agent

path = sys.argv[1]
opened: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    # The driver's connections open files in SQLite's own code, which closes them as it must.
    if event != "sqlite3.connect" and any(str(argument).startswith(path) for argument in arguments):
        opened.append(f"{event}: {arguments[0]}")


class Agents(Manager[Agent]):
    """Agents with their audit trail, in the hot cache."""

    entity = Agent
    audited = "agent"
    hot = True


def descriptors() -> set[tuple[str, str]]:
    """The open files of the database."""
    links = {(link.name, str(link.readlink())) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    return {link for link in links if link[1].startswith(path)}


async def work(db: DatabaseManager, name: str) -> None:
    agents = Agents(db)
    many = await agents.create_many([{"name": f"{name} {number}"} for number in range(20)])
    for agent in many:
        for _ in range(2):
            await agents.get_by_id(agent.id)
        await agents.update(agent.id, {"instruction": "x" * 1_000})
    async with db.transaction():
        await agents.delete(many[0].id)
    async with db.session() as session:
        await session.merge(Agent(id=many[1].id, name=f"{name} merged"))
        await session.commit()
    await agents.list(limit=10)
    await db.health()
    backend: Any = db._backend
    await backend._checkpointer.checkpoint()


async def main() -> None:
    async with DatabaseManager(path, durability="normal") as db:
        await work(db, "first")
        held = descriptors()
        await work(db, "second")
        # SQLite keeps those of the second manager, too, until it holds no lock.
        async with DatabaseManager(path, durability="normal") as second:
            await work(second, "third")
        closed = held - descriptors()
    print(json.dumps({"opened": opened, "closed": sorted(closed), "left": sorted(descriptors())}), flush=True)


sys.addaudithook(watch)
asyncio.run(main())
