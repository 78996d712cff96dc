"""Writes in every way there is while the n-th call to the disk fails, and prints what became of each try as JSON."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from agent_system import AgentSystemError, DatabaseManager, DatabaseSettings
from tests.faults.shim import FOR_EVER, File, Operation, Orders

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database.executor import Executor

ADD = text("INSERT INTO notes (title, filling) VALUES (:title, zeroblob(3000))")
READ = text("SELECT count(filling), count(*) FROM notes")
# A caller who hears nothing for so long has been forgotten.
PATIENCE_SECONDS = 20


async def by_write(db: DatabaseManager, title: str) -> None:
    await db.write(lambda executor: executor.execute(ADD, {"title": title}))


async def by_transaction(db: DatabaseManager, title: str) -> None:
    async with db.transaction():
        await db.write(lambda executor: executor.execute(ADD, {"title": f"{title} first"}))
        await db.write(lambda executor: executor.execute(ADD, {"title": f"{title} second"}))


async def by_session(db: DatabaseManager, title: str) -> None:
    async with db.session() as session:
        await session.exec(ADD, params={"title": title})
        await session.commit()


async def by_read(db: DatabaseManager, _title: str) -> None:
    def work(executor: Executor) -> None:
        executor.execute(READ).all()

    await db.read(work)


async def by_checkpoint(db: DatabaseManager, _title: str) -> None:
    backend: Any = db._backend
    with suppress(sqlite3.Error, ValueError):  # it is put off then, as the background task does
        await backend._checkpointer.checkpoint()


WAYS = (by_write, by_write, by_transaction, by_session, by_read, by_checkpoint)


async def told(db: DatabaseManager, way: Callable[[DatabaseManager, str], Awaitable[None]], title: str) -> str:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await way(db, title)
    except AgentSystemError as exc:
        return type(exc).__name__
    except TimeoutError:
        return "forgotten"
    return "done"


async def attempt(db: DatabaseManager, name: str) -> list[tuple[str, str, str]]:
    """Let all ways run at once; returns for each its name, the title it wrote and what it was told."""
    titles = [f"{name} {number}" for number in range(len(WAYS))]
    answers = await asyncio.gather(*(told(db, way, title) for way, title in zip(WAYS, titles, strict=True)))
    return [(way.__name__, title, answer) for way, title, answer in zip(WAYS, titles, answers, strict=True)]


def writer_of(db: DatabaseManager) -> object:
    backend: Any = db._backend
    return backend._writing.lane


async def let_the_log_be_cut(db: DatabaseManager) -> None:
    """Whenever it is begun anew, as otherwise only one is that a long reading has made longer than most."""
    lane: Any = writer_of(db)
    await lane.run(lane.raw.execute, "PRAGMA journal_size_limit = 32768")


async def fail(db: DatabaseManager, orders: Orders, case: list[Any], most: int) -> list[dict[str, Any]]:
    """Let the first call of the case fail, then the second, until there are no more or `most` have failed."""
    operation, file, error, times = case
    tries: list[dict[str, Any]] = []
    for first in range(1, most + 1):
        name = f"{operation} {file} {error} {times} {first}"
        await let_the_log_be_cut(db)
        before = writer_of(db)
        orders.arm(Operation[operation], File[file], getattr(errno, error), first=first, times=times)
        during = await attempt(db, name)
        if times == FOR_EVER:
            # The writer that was found broken is replaced after its callers have been told.
            during += await attempt(db, f"{name} again")
        fired = orders.disarm()
        after = await attempt(db, f"{name} after")
        if not fired:
            break
        tries.append({"during": during, "after": after, "replaced": writer_of(db) is not before})
    return tries


async def main(path: str, cases: str, most: str) -> None:
    settings = DatabaseSettings(checkpoint_pages=8, sqlite_cache_pages=0, hot_cache_size=0)
    async with DatabaseManager(path, settings=settings, auto_migrate=False) as db:
        print(json.dumps([await fail(db, Orders(), case, int(most)) for case in json.loads(cases)]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
