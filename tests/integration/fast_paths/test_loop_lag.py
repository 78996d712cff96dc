"""How long the loop stops while tasks look things up, also when every page has to come from the disk."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from agent_system.database.inline import PAUSE_SECONDS, READS_BETWEEN_YIELDS, SLOW_READ_SECONDS
from agent_system.database.own_time import OwnTime
from tests import requirements as requires
from tests.integration.engine.processes import Child
from tests.integration.fast_paths.managers import Agents, ColdAgents, inline_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from uuid import UUID

    from agent_system.database import DatabaseManager

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

pytestmark = requires.inline_reads

DROPPING = Path(__file__).with_name("programs") / "dropping.py"
ROWS = 1_000
LOOKUPS = 1_000
TASKS = 16


class Read(NamedTuple):
    """One read on the loop's thread, in seconds of a clock on the wall."""

    began: float
    ended: float
    is_slow: bool
    """Whether it was the read that took so long, and not somebody else whom the system let run meanwhile."""


class Timed:
    """The inline reader's connection, with a stop-watch."""

    def __init__(self, raw: sqlite3.Connection, log: list[Read]) -> None:
        self.raw = raw
        self.log = log
        self.own = OwnTime()

    def execute(self, statement: str, parameters: Sequence[Any]) -> Any:
        self.own.mark(0.0)
        self.began = time.perf_counter()
        try:
            self.cursor = self.raw.execute(statement, parameters)
        except BaseException:
            self._note()
            raise
        return self

    def fetchall(self) -> list[Any]:
        try:
            return self.cursor.fetchall()
        finally:
            self._note()

    def _note(self) -> None:
        ended = time.perf_counter()
        took = min(ended - self.began, self.own.worked_seconds())
        self.log.append(Read(self.began, ended, took > SLOW_READ_SECONDS))

    def close(self) -> None:
        self.raw.close()


class Watch:
    """Writes down the turns that another task gets, and the reads that the loop does in between."""

    def __init__(self, db: DatabaseManager) -> None:
        self.reads: list[Read] = []
        self.spans: list[list[Read]] = []
        inline: Any = inline_of(db)
        inline._raw = Timed(inline._raw, self.reads)

    async def during(self, *works: Awaitable[None]) -> None:
        """Watch until all works are done."""
        watching = asyncio.create_task(self._tick())
        await asyncio.gather(*works)
        watching.cancel()
        self.spans.append([*self.reads])

    async def _tick(self) -> None:
        while True:
            self.spans.append([*self.reads])
            self.reads.clear()
            await asyncio.sleep(0)


@pytest.fixture
async def ids(open_database: OpenDatabase) -> list[UUID]:
    """Return the ids of many rows, which are in the database file and no longer in its log."""
    db = await open_database(durability="normal")
    rows = [{"name": f"agent {number}", "instruction": "x" * 3_000} for number in range(ROWS)]
    created = await ColdAgents(db).create_many(rows)
    await db.disconnect()
    assert not Path(f"{db.url.database}-wal").exists()
    return [agent.id for agent in created]


@pytest.fixture
async def cold(open_database: OpenDatabase, ids: list[UUID]) -> AsyncIterator[DatabaseManager]:
    """Yield a manager that keeps no pages, on a file of which the system keeps none either."""
    db = await open_database(sqlite_cache_pages=0, hot_cache_size=0)
    child = await Child.start(str(DROPPING), db.url.database)
    await child.hear()
    assert len(ids) == ROWS
    yield db
    await child.tell()
    await child.finish()


async def look_up(agents: ColdAgents | Agents, ids: list[UUID], lookups: int) -> None:
    for id_ in random.choices(ids, k=lookups):
        assert await agents.get_by_id(id_)


async def test_on_cold_pages_the_loop_stops_for_little_more_than_one_read(
    cold: DatabaseManager, ids: list[UUID]
) -> None:
    watch = Watch(cold)
    await watch.during(look_up(ColdAgents(cold), ids, LOOKUPS))
    reads = sum(map(len, watch.spans))
    assert reads > 0
    for span in watch.spans:
        # All but the last one: when it began, the loop had not yet stopped for too long.
        assert sum(read.ended - read.began for read in span[:-1]) <= SLOW_READ_SECONDS


async def test_a_slow_read_is_not_followed_by_another_one(cold: DatabaseManager, ids: list[UUID]) -> None:
    watch = Watch(cold)
    await watch.during(*(look_up(ColdAgents(cold), ids, LOOKUPS // TASKS) for _ in range(TASKS)))
    reads = [read for span in watch.spans for read in span]
    for slow in (read for read in reads if read.is_slow):
        assert not [read for read in reads if slow.ended < read.began < slow.ended + PAUSE_SECONDS]


@pytest.mark.parametrize("manager", [ColdAgents, Agents], ids=["read inline", "cached"])
async def test_many_tasks_together_take_no_more_of_an_iteration_than_one(
    open_database: OpenDatabase, ids: list[UUID], manager: type[Agents]
) -> None:
    db = await open_database()
    agents = manager(db)
    await look_up(agents, ids[:1], 1)
    lookups_in_between = [0]

    async def count_lookups() -> None:
        for _ in range(10 * READS_BETWEEN_YIELDS):
            lookups_in_between[-1] += 1
            assert await agents.get_by_id(ids[0])

    async def count_turns() -> None:
        while True:
            lookups_in_between.append(0)
            await asyncio.sleep(0)

    turns = asyncio.create_task(count_turns())
    await asyncio.gather(*(count_lookups() for _ in range(TASKS)))
    turns.cancel()
    assert max(lookups_in_between) <= READS_BETWEEN_YIELDS + TASKS
