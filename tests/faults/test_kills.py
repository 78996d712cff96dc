"""Two processes with four writers each are killed again and again: what was acknowledged is there, nothing by half."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from agent_system import DatabaseManager, EntityManager
from tests.faults.writers import WAYS, must_be_sound, run, whole_titles

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext

    from tests.faults.report import Teller

# Processes are started and ended here: on a machine that is busy with other tests too it takes its time.
pytestmark = pytest.mark.timeout(240)

PROCESSES = 2
ROUNDS = 12
MANY_ROUNDS = 200
# The kill comes after that many acknowledgements of all processes together: at once, or in the midst of checkpoints.
MOST_ACKNOWLEDGED = 60


def write_and_kill(url: str, name: str, most: int, processes: ForkServerContext) -> set[str]:
    """Let processes write, kill all of them after `most` acknowledgements, and return the titles of these and more."""
    told: set[str] = set()
    started = []
    for number in range(PROCESSES):
        receiving, sending = processes.Pipe(duplex=False)
        process = processes.Process(target=run, args=(url, f"{name} {number}", sending), daemon=True)
        process.start()
        sending.close()
        started.append((process, receiving))
    while len(told) < most:
        told |= {pipe.recv() for _, pipe in started if pipe.poll(0.001)}
    for process, _ in started:
        process.kill()
    for process, pipe in started:
        told |= rest_of(pipe)
        process.join()
        pipe.close()
    return told


def rest_of(pipe: Connection) -> set[str]:
    """Return what was still told before the end."""
    told: set[str] = set()
    with suppress(EOFError):
        while True:
            told.add(pipe.recv())
    return told


async def kill_and_check(url: str, rounds: int, processes: ForkServerContext, tell: Teller) -> None:
    luck = random.Random(rounds)
    acknowledged = set[str]()
    for number in range(rounds):
        # Nobody else has the database open: the processes of the next round have to recover it.
        acknowledged |= write_and_kill(url, f"round {number}", luck.randint(1, MOST_ACKNOWLEDGED), processes)
    async with DatabaseManager(url, auto_migrate=False) as db:
        lost = acknowledged - await whole_titles(EntityManager(db))
        await must_be_sound(db)

    name = f"SIGKILL of {PROCESSES} processes, {len(WAYS)} writers each"
    tell(name, trials=rounds, acknowledged=len(acknowledged), lost=len(lost))
    assert len(acknowledged) >= rounds
    assert not lost


async def test_acknowledged_writes_survive_the_kill_of_all_processes(
    migrated_url: str, processes: ForkServerContext, tell: Teller
) -> None:
    await kill_and_check(migrated_url, ROUNDS, processes, tell)


@pytest.mark.full
@pytest.mark.timeout(1_200)
async def test_acknowledged_writes_survive_many_kills(
    migrated_url: str, processes: ForkServerContext, tell: Teller
) -> None:
    await kill_and_check(migrated_url, MANY_ROUNDS, processes, tell)
