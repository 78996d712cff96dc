"""One process counts, the other one reads: no read is older than the last commit that had ended when it began."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from agent_system.errors import ConflictError
from tests import requirements as requires
from tests.integration.engine.processes import Child
from tests.integration.fast_paths.managers import Agents, Tools, cache_of
from tests.integration.fast_paths.programs import counting

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from agent_system.database import DatabaseManager

pytestmark = requires.hot_cache

SECONDS = 0.3
FULL_SECONDS = {"updates": 60.0}
OTHER_FULL_SECONDS = 10.0
LONGEST_LIFE_SECONDS = 0.1
# Less than this is no race, however slow the machine is.
LEAST_COMMITS = 20
LEAST_HITS = 20

BY_MANAGERS = Path(counting.__file__).with_name("counting_by_managers.py")
TRIGGER = """
    CREATE TRIGGER count_agents AFTER UPDATE OF execution_count ON tools
    BEGIN UPDATE agents SET version = NEW.execution_count WHERE name = 'counted'; END
"""


class Race:
    """A process that counts the version of an agent, and what reads it and writes beside it here."""

    def __init__(self, db: DatabaseManager, memory: Path, way: str, seconds: float) -> None:
        self.db = db
        self.agents = Agents(db)
        self.memory = memory
        self.shared = counting.Shared(memory)
        self.way = way
        self.program = counting.__file__ if way in counting.WAYS else str(BY_MANAGERS)
        self.seconds = seconds
        self.deadline = 0.0

    async def prepare(self) -> None:
        self.counted, self.other = await self.agents.create_many([{"name": "counted"}, {"name": "other"}])
        await Tools(self.db).create({"name": "counts", "execution_count": 1})
        await self.db.write(lambda executor: executor.execute(text(TRIGGER)).close())
        self.child = await self.start()
        self.deadline = asyncio.get_running_loop().time() + self.seconds

    async def start(self) -> Child:
        child = await Child.start(self.program, self.way, self.db.url.database, self.counted.id, self.memory)
        await child.hear()
        return child

    @property
    def is_over(self) -> bool:
        was_one = self.shared.committed > LEAST_COMMITS and cache_of(self.db).hits > LEAST_HITS
        return was_one and asyncio.get_running_loop().time() > self.deadline

    async def run(self, *others: Awaitable[None]) -> None:
        """Look the agent up until the time is over."""
        await asyncio.gather(self.read(), *others)
        self.shared.end()
        await self.child.finish()

    async def read(self) -> None:
        """Look the agent up again and again: it is at least as new as what had been committed before."""
        while not self.is_over:
            committed = self.shared.committed
            found = await self.agents.require(self.counted.id)
            assert found.version >= committed

    async def write(self) -> None:
        """Commit another row, and now and then nothing at all."""
        while not self.is_over:
            await self.agents.update(self.other.id, {"instruction": "other"})
            with suppress(ConflictError):
                await self.agents.update(self.counted.id, {"instruction": "never"}, expected_version=-1)

    async def kill(self) -> None:
        """Kill the process that counts in the middle of something, and let another one go on."""
        while not self.is_over:
            await asyncio.sleep(random.random() * LONGEST_LIFE_SECONDS)
            await self.child.kill()
            self.child = await self.start()


@pytest.fixture
async def race(request: pytest.FixtureRequest, db: DatabaseManager, tmp_path: Path) -> Race:
    """Return a prepared race; its parameters are the way of counting and the time that it takes."""
    way, seconds = request.param
    race = Race(db, tmp_path / "shared", way, seconds)
    await race.prepare()
    return race


def all_ways(*ways: str) -> pytest.MarkDecorator:
    """Run a test with these ways of counting, shortly, and longer with --full."""
    marks = (pytest.mark.full, pytest.mark.timeout(180))
    short = [pytest.param((way, SECONDS), id=way) for way in ways]
    full = [
        pytest.param((way, FULL_SECONDS.get(way, OTHER_FULL_SECONDS)), id=f"{way} for long", marks=marks)
        for way in ways
    ]
    return pytest.mark.parametrize("race", [*short, *full], indirect=True)


@all_ways("updates", "triggers", "truncations", "connections", "managers", "transactions", "sessions")
async def test_no_read_is_older_than_the_last_commit_before_it(race: Race) -> None:
    await race.run()


@all_ways("updates", "managers")
async def test_no_read_is_older_while_this_process_commits_too(race: Race) -> None:
    await race.run(race.write())


@all_ways("updates", "connections")
async def test_no_read_is_older_when_writing_processes_are_killed(race: Race) -> None:
    await race.run(race.write(), race.kill())
