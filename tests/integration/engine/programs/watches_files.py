"""Uses a database in every way there is and reports which of its files were opened by anything but SQLite."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress

from sqlalchemy import text

from agent_system import AgentSystemError, DatabaseManager, DatabaseSettings
from agent_system.database.migrations import run_migrations

ADD = text("INSERT INTO notes (title, amount) VALUES (:title, 0)")
LONG = "x" * 40_000


async def main(path: str, opened: list[str]) -> None:
    settings = DatabaseSettings(checkpoint_pages=10, sqlite_session_connections=4)
    async with DatabaseManager(path, settings=settings) as db:
        for number in range(20):
            title = f"{number} {LONG}"
            await db.write(lambda executor, title=title: executor.execute(ADD, {"title": title}))
        async with db.transaction():
            await db.write(lambda executor: executor.execute(ADD, {"title": "in a transaction"}))
            async with db.session() as session:
                await session.exec(text("SELECT count(*) FROM notes"))
        async with db.session(read_only=True) as session:
            await session.exec(text("SELECT count(*) FROM notes"))
        await db.read(lambda executor: executor.execute(text("SELECT count(*) FROM notes")).all())
        with suppress(AgentSystemError):
            await db.write(lambda executor: executor.execute(ADD, {"title": "in a transaction"}))
        await db.health()
        async with DatabaseManager(path) as second:
            await second.health()
        await run_migrations(path)
        await db.health()
    print(json.dumps(opened), flush=True)


def watch(path: str) -> list[str]:
    opened: list[str] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event != "sqlite3.connect" and any(isinstance(one, str) and path in one for one in arguments):
            opened.append(f"{event}: {arguments[0]}")

    sys.addaudithook(hook)
    return opened


asyncio.run(main(sys.argv[1], watch(sys.argv[1])))
