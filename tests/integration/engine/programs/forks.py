"""Connects and forks: the child may use a manager of its own, not its parent's, and both must end."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import os
import sys
import warnings

from sqlalchemy import text

from agent_system import AgentSystemError, DatabaseManager

ADD = text("INSERT INTO notes (title, amount) VALUES (:title, 0)")


async def add(db: DatabaseManager, title: str) -> None:
    await db.write(lambda executor: executor.execute(ADD, {"title": title}))


async def told(db: DatabaseManager) -> str:
    try:
        await add(db, "by the child with its parent's manager")
    except AgentSystemError as exc:
        return f"{type(exc).__name__}: {exc}"
    return "written"


async def child(db: DatabaseManager, url: str) -> None:
    answer = await told(db)
    await db.disconnect()
    async with DatabaseManager(url, auto_migrate=False) as own:
        await add(own, "by the child")
    print(json.dumps(answer), flush=True)


async def main(url: str) -> None:
    async with DatabaseManager(url, auto_migrate=False) as db:
        await add(db, "by the parent")
        with warnings.catch_warnings():
            # Python 3.12 and later warn of exactly what is tried here.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            # A loop cannot be used across a fork either; the child begins with a new one.
            asyncio._set_running_loop(None)
            asyncio.set_event_loop(None)
            asyncio.run(child(db, url))
            os._exit(0)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        await add(db, "by the parent again")
        titles = await db.read(lambda executor: executor.execute(text("SELECT title FROM notes")).scalars().all())
    print(json.dumps({"status": status, "titles": list(titles)}), flush=True)


asyncio.run(main(sys.argv[1]))
