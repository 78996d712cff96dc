"""Writes in every way there is and says so after each acknowledgement, until somebody kills it."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count

from sqlalchemy import text

from agent_system import DatabaseManager
from agent_system.settings import DatabaseSettings

ADD = text("INSERT INTO notes (title, amount) VALUES (:title, 0)")


def acknowledge(title: str) -> None:
    print(json.dumps(title), flush=True)


async def write_alone(db: DatabaseManager, name: str) -> None:
    for number in count():
        title = f"{name} {number}"
        await db.write(lambda executor, title=title: executor.execute(ADD, {"title": title}))
        acknowledge(title)


async def write_transactions(db: DatabaseManager, name: str) -> None:
    for number in count():
        first, second = f"{name} {number} first", f"{name} {number} second"
        async with db.transaction():
            await db.write(lambda executor, title=first: executor.execute(ADD, {"title": title}))
            await db.write(lambda executor, title=second: executor.execute(ADD, {"title": title}))
        acknowledge(first)
        acknowledge(second)


async def write_sessions(db: DatabaseManager, name: str) -> None:
    for number in count():
        async with db.session() as session:
            await session.exec(ADD, params={"title": f"{name} {number}"})
            await session.commit()
        acknowledge(f"{name} {number}")


async def main(url: str, name: str) -> None:
    settings = DatabaseSettings(durability="full", checkpoint_pages=50)
    async with DatabaseManager(url, settings=settings, auto_migrate=False) as db, asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(write_alone(db, f"{name} alone {number}"))
        for number in range(2):
            tasks.create_task(write_transactions(db, f"{name} transaction {number}"))
        tasks.create_task(write_sessions(db, f"{name} session"))


asyncio.run(main(*sys.argv[1:]))
