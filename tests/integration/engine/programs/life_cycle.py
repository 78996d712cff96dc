"""Connects, does a little of everything, disconnects; in Python's development mode, every warning an error."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
from contextlib import suppress

from sqlalchemy import text

from agent_system import AgentSystemError, DatabaseManager


async def main(url: str) -> None:
    async with DatabaseManager(url, auto_migrate=False) as db:
        await db.write(lambda executor: executor.execute(text("INSERT INTO notes (title, amount) VALUES ('one', 0)")))
        await db.read(lambda executor: executor.execute(text("SELECT * FROM notes")).all())
        async with db.transaction(), db.session() as session:
            await session.exec(text("SELECT * FROM notes"))
        async with db.session() as session:
            await session.exec(text("SELECT * FROM notes"))
        with suppress(AgentSystemError):
            await db.read(lambda executor: executor.execute(text("SELECT * FROM no_such_table")))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01), db.transaction():
                await asyncio.sleep(60)
        await db.health()
    gc.collect()


errors: list[str] = []
sys.unraisablehook = lambda unraisable: errors.append(repr(unraisable.exc_value))
threading.excepthook = lambda arguments: errors.append(repr(arguments.exc_value))
asyncio.run(main(sys.argv[1]))
gc.collect()
print(json.dumps({"errors": errors, "threads": [thread.name for thread in threading.enumerate()]}), flush=True)
