"""Connects, writes and ends without a disconnect, as a program that crashes would."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import sys

from sqlalchemy import text

from agent_system import DatabaseManager


async def main(url: str) -> DatabaseManager:
    db = await DatabaseManager(url, auto_migrate=False).connect()
    await db.write(lambda executor: executor.execute(text("INSERT INTO notes (title, amount) VALUES ('one', 0)")))
    async with db.session(read_only=True) as session:
        rows = (await session.exec(text("SELECT title FROM notes"))).scalars().all()
    print(json.dumps(list(rows)), flush=True)
    return db


kept = asyncio.run(main(sys.argv[1]))
