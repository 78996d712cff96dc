"""PostgreSQL is killed under load and started again: the manager finds it again, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_system import DatabaseManager, EntityManager
from agent_system.database.migrations import run_migrations
from agent_system.errors import AgentSystemError, DatabaseUnavailableError, OutcomeUnknownError
from tests import requirements as requires
from tests.faults.writers import WAYS, must_be_sound, whole_titles
from tests.postgres import mortal_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.report import Teller
    from tests.faults.writers import Way
    from tests.postgres import MortalServer

# Processes are started and ended here: on a machine that is busy with other tests too it takes its time.
pytestmark = pytest.mark.timeout(240)

KILLS = 3
MANY_KILLS = 30
WRITERS = 4
# Enough for the recovery of a small cluster on a busy machine.
PATIENCE_SECONDS = 30
PAUSE_SECONDS = 0.01


@pytest.fixture
def server() -> Iterator[MortalServer]:
    with mortal_server() as mortal:
        yield mortal


class Load:
    """Writers that go on whatever they are told, and remember what that was."""

    def __init__(self, em: EntityManager) -> None:
        self._em = em
        self.acknowledged: set[str] = set()
        self.denied: set[str] = set()
        self.strange: list[AgentSystemError] = []
        self.done = asyncio.Event()

    async def write(self, way: Way, number: int) -> None:
        """Write until the test is over; each title once."""
        tries = 0
        while not self.done.is_set():
            title = f"{way.__name__} {number} {tries}"
            tries += 1
            try:
                await way(self._em, title)
            except OutcomeUnknownError:
                continue
            except AgentSystemError as exc:
                self.denied.add(title)
                if not isinstance(exc, DatabaseUnavailableError):
                    self.strange.append(exc)
                # The server is away: whoever asks at once only heats the processor.
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.acknowledged.add(title)

    async def more(self, writes: int) -> None:
        """Wait until so many more writes have been acknowledged."""
        wanted = len(self.acknowledged) + writes
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.acknowledged) < wanted:  # noqa: ASYNC110 (a title is acknowledged all the time)
                await asyncio.sleep(PAUSE_SECONDS)


async def kill_under_load(server: MortalServer, kills: int, tell: Teller) -> None:
    url = server.databases.url_of(await server.databases.create())
    await run_migrations(url)
    async with DatabaseManager(url, auto_migrate=False) as db:
        em = EntityManager(db)
        load = Load(em)
        writers = [asyncio.create_task(load.write(way, number)) for way in WAYS for number in range(WRITERS)]
        await load.more(50)
        for _ in range(kills):
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await load.more(50)
        load.done.set()
        await asyncio.gather(*writers)
        there = await whole_titles(em)
        await must_be_sound(db)

    lost = load.acknowledged - there
    name = "PostgreSQL killed and restarted under load"
    tell(name, trials=kills, acknowledged=len(load.acknowledged), lost=len(lost))
    assert not lost
    assert not load.denied & there, "somebody was told that nothing was written, and it was"
    assert not load.strange


@requires.server_connection
async def test_a_killed_server_is_found_again_and_nothing_acknowledged_is_lost(
    server: MortalServer, tell: Teller
) -> None:
    await kill_under_load(server, KILLS, tell)


@requires.server_connection
@pytest.mark.full
@pytest.mark.timeout(600)
async def test_a_server_that_is_killed_often_loses_nothing(server: MortalServer, tell: Teller) -> None:
    await kill_under_load(server, MANY_KILLS, tell)
