"""Many tasks of many processes, and two event loops of one process, write the same rows: no update is lost."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from agent_system import DatabaseManager, EntityManager
from tests.faults.counting import count_up, count_up_in_process

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from uuid import UUID

    from tests.faults.report import Teller

# Processes are started and ended here: on a machine that is busy with other tests too it takes its time.
pytestmark = pytest.mark.timeout(240)

PROCESSES, TASKS, TIMES = 3, 4, 6
MANY_TIMES = 100
LOOPS = 2


async def make_counter(url: str) -> UUID:
    async with DatabaseManager(url, auto_migrate=False) as db:
        return (await EntityManager(db).agents.create({"name": "counter", "configuration": {"count": 0}})).id


async def read_counter(url: str, counter: UUID) -> int:
    async with DatabaseManager(url, auto_migrate=False) as db:
        return int((await EntityManager(db).agents.require(counter)).configuration["count"])


def race(url: str, times: int, processes: ForkServerContext, tell: Teller) -> None:
    counter = asyncio.run(make_counter(url))
    started = [
        processes.Process(target=count_up_in_process, args=(url, counter, TASKS, times)) for _ in range(PROCESSES)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    wanted, found = PROCESSES * TASKS * times, asyncio.run(read_counter(url, counter))

    name = f"read-modify-write by {PROCESSES} processes, {TASKS} tasks each"
    tell(name, trials=wanted, acknowledged=wanted, lost=wanted - found)
    assert [process.exitcode for process in started] == [0] * PROCESSES
    assert found == wanted


def test_no_update_of_many_processes_and_tasks_is_lost(
    migrated_url: str, processes: ForkServerContext, tell: Teller
) -> None:
    race(migrated_url, TIMES, processes, tell)


@pytest.mark.full
@pytest.mark.timeout(1_200)
def test_no_update_of_a_long_race_is_lost(migrated_url: str, processes: ForkServerContext, tell: Teller) -> None:
    race(migrated_url, MANY_TIMES, processes, tell)


def test_no_update_of_two_event_loops_in_one_process_is_lost(migrated_url: str, tell: Teller) -> None:
    counter = asyncio.run(make_counter(migrated_url))
    with ThreadPoolExecutor(LOOPS) as threads:
        done = [
            threads.submit(lambda: asyncio.run(count_up(migrated_url, counter, TASKS, TIMES))) for _ in range(LOOPS)
        ]
    for one in done:
        one.result()
    wanted, found = LOOPS * TASKS * TIMES, asyncio.run(read_counter(migrated_url, counter))

    tell(f"{LOOPS} event loops in one process", trials=wanted, acknowledged=wanted, lost=wanted - found)
    assert found == wanted
