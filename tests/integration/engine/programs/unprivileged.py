"""Gives up root and tries what the permissions of files forbid; tells of each file by a line of JSON."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import os
import sys

from sqlalchemy import text

from agent_system import AgentSystemError, DatabaseManager

NOBODY = 65_534


def give_up_root() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


async def connect(path: str) -> str:
    async with DatabaseManager(path):
        return "connected"


async def read(path: str) -> str:
    async with DatabaseManager(path, auto_migrate=False) as db:
        rows = await db.read(lambda executor: executor.execute(text("SELECT count(*) FROM notes")).scalar_one())
    return f"{rows} rows"


async def write(path: str) -> str:
    statement = text("INSERT INTO notes (title, amount) VALUES ('forbidden', 0)")
    async with DatabaseManager(path, auto_migrate=False) as db:
        await db.write(lambda executor: executor.execute(statement))
    return "written"


async def rehearse() -> None:
    """Import and read everything that is imported and read only when it is needed."""
    async with DatabaseManager(":memory:") as db:
        await db.write(lambda executor: executor.execute(text("CREATE TABLE notes (id INTEGER)")))
        await db.read(lambda executor: executor.execute(text("SELECT 1")).scalar_one())


async def main(path: str) -> None:
    answers = {}
    for work in (connect, read, write):
        try:
            answers[work.__name__] = await work(path)
        except AgentSystemError as exc:
            answers[work.__name__] = f"{type(exc).__name__}: {exc}"
    print(json.dumps(answers), flush=True)


# The interpreter and the package may lie where only root can read.
asyncio.run(rehearse())
give_up_root()
for path in sys.argv[1:]:
    asyncio.run(main(path))
