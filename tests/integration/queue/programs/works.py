"""A worker process: says which jobs it begins, and writes a row for each in the transaction that completes it."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import sys

from agent_system import DatabaseManager, EntityManager
from agent_system.jobs import JobContext, Worker

url, options = sys.argv[1], json.loads(sys.argv[2])
until_idle = options.pop("until_idle", False)
worker = Worker(**options)


def say(**words: object) -> None:
    print(json.dumps(words), flush=True)


@worker.handler("write")
async def write(context: JobContext) -> None:
    say(begun=context.id)
    await asyncio.sleep(context.payload or 0)
    async with context.completing():
        await context.em.events.create({"event_type": "job.done", "entity_type": "job", "entity_id": str(context.id)})


@worker.handler("plain")
async def plain(context: JobContext) -> int:
    say(begun=context.id)
    return context.id


@worker.handler("wait")
async def wait(context: JobContext) -> str:
    say(begun=context.id)
    await asyncio.sleep(context.payload)
    return "waited"


async def main() -> None:
    async with DatabaseManager(url, auto_migrate=False) as db:
        say(ready=True)
        await worker.run(EntityManager(db), until_idle=until_idle)
    say(ended=True)


asyncio.run(main())
