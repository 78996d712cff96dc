"""Writes while the operating system refuses to let any file grow: SQLite hears of it at COMMIT."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import resource
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from agent_system import AgentSystemError, DatabaseManager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from agent_system.database.executor import Executor


def add(title: str) -> Callable[[Executor], None]:
    def work(executor: Executor) -> None:
        executor.execute(text("INSERT INTO notes (title, amount) VALUES (:title, 0)"), {"title": title})

    return work


async def by_write(db: DatabaseManager, title: str) -> None:
    await db.write(add(title))


async def by_transaction(db: DatabaseManager, title: str) -> None:
    async with db.transaction():
        await db.write(add(title))


async def by_session(db: DatabaseManager, title: str) -> None:
    async with db.session() as session:
        await session.exec(text("INSERT INTO notes (title, amount) VALUES (:title, 0)"), params={"title": title})
        await session.commit()


@contextmanager
def no_file_grows(path: str) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def told(write: Callable[[DatabaseManager, str], Awaitable[None]], db: DatabaseManager, title: str) -> str:
    try:
        await write(db, title)
    except AgentSystemError as exc:
        return type(exc).__name__
    return "written"


async def main(path: str) -> None:
    async with DatabaseManager(path, auto_migrate=False) as db:
        for write in (by_write, by_transaction, by_session):
            before = await told(write, db, f"{write.__name__} before")
            with no_file_grows(path):
                during = await told(write, db, f"{write.__name__} during")
            after = await told(write, db, f"{write.__name__} after")
            print(json.dumps([before, during, after]), flush=True)
        titles = await db.read(lambda executor: executor.execute(text("SELECT title FROM notes")).scalars().all())
        print(json.dumps(list(titles)), flush=True)


asyncio.run(main(sys.argv[1]))
