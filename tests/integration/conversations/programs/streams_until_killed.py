"""Streams messages and says after each acknowledged step what was written, until somebody kills it."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count

from agent_system import DatabaseManager, EntityManager
from agent_system.settings import DatabaseSettings


async def talk(em: EntityManager, name: str) -> None:
    conversation = await em.conversations.create({"title": name})
    async with em.messages.stream(conversation.id, {"role": "assistant"}, flush_seconds=0.01) as stream:
        text = ""
        for number in count():
            word = f"{name} {number}\0 "
            text += word
            await stream.write(word)
            if number % 5 == 0:
                await stream.flush()
                print(json.dumps([stream.message.id, text]), flush=True)
            await asyncio.sleep(0)


async def main(url: str) -> None:
    settings = DatabaseSettings(durability="full")
    async with DatabaseManager(url, settings=settings, auto_migrate=False) as db, asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(talk(EntityManager(db), f"stream {number}"))


asyncio.run(main(*sys.argv[1:]))
