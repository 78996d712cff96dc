"""A caller's own timeout is honoured within 0.2 s, whatever the database is doing for it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests import requirements as requires

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from tests.faults.report import Teller

DEADLINE_SECONDS = 0.05
LATE_SECONDS = 0.2
TRIALS = 9


async def lateness(work: Callable[[], Awaitable[object]]) -> float:
    """Return by how many seconds a timeout came too late."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await work()
    return loop.time() - started - DEADLINE_SECONDS


async def must_be_honoured(name: str, work: Callable[[], Awaitable[object]], tell: Teller) -> None:
    late = sorted([await lateness(work) for _ in range(TRIALS)])
    tell(f"{name}: timeout kept within {LATE_SECONDS} s", trials=TRIALS)
    # The machine may be busy with something else once or twice.
    assert late[TRIALS // 2] < LATE_SECONDS, late


async def test_a_timeout_on_a_long_statement_is_honoured(
    database: DatabaseManager, engine_name: str, tell: Teller
) -> None:
    endless = "WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter) SELECT count(*) FROM counter"
    statement = text({"sqlite": endless, "postgresql": "SELECT pg_sleep(600)"}[engine_name])

    def work(executor: Executor) -> None:
        executor.execute(statement).all()

    await must_be_honoured("long statement", lambda: database.read(work), tell)


@requires.one_writer
async def test_a_timeout_on_a_lock_of_somebody_else_is_honoured(database: DatabaseManager, tell: Teller) -> None:
    def work(executor: Executor) -> None:
        executor.execute(text("DELETE FROM logs"))

    with closing(sqlite3.connect(str(database.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await must_be_honoured("lock of somebody else", lambda: database.write(work), tell)
        other.execute("ROLLBACK")
    await database.write(work)
