"""How fast several worker processes do the jobs of one queue, and how soon a waiting one begins a job."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agent_system import DatabaseManager, EntityManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["measure_pick_up", "measure_processes"]

PIPE = asyncio.subprocess.PIPE
SETTLE_SECONDS = 0.3
# So long between two jobs, so that the worker sleeps again.
APART_SECONDS = 0.02
IDLE_SECONDS = 3.0


async def measure_processes(name: str, target: str, jobs: int, processes: int) -> float:
    """Return how many jobs a second so many processes do, from the beginning of the first to the end of the last.

    Args:
        name: Whose queue.
        target: Path or URL of its database, which is made.
    """
    filler = await _start("fill", name, target, str(jobs))
    if await filler.wait():
        message = f"{name}: the queue could not be filled"
        raise RuntimeError(message)
    workers = [await _start("work", name, target) for _ in range(processes)]
    for worker in workers:
        await _line(worker, "ready")
    for worker in workers:
        _say_go(worker)
    ended = [json.loads(await _line(worker, '"ended"')) for worker in workers]
    for worker in workers:
        await worker.wait()
    done = sum(one["done"] for one in ended)
    if done != jobs:
        message = f"{name}: {done} of {jobs} jobs were done"
        raise RuntimeError(message)
    began: float = min(one["began"] for one in ended if one["done"])
    last: float = max(one["ended"] for one in ended)
    return jobs / (last - began)


async def measure_pick_up(target: str, jobs: int) -> dict[str, float]:
    """Return how many milliseconds a waiting worker of another process takes, and what it costs while nothing happens.

    The time is from the acknowledged enqueue to the first line of the handler; what begins before is 0.

    Args:
        target: Path or URL of a database, which is made.
    """
    async with DatabaseManager(target) as db, _waiting(target) as worker:
        queue = EntityManager(db).queue
        await asyncio.sleep(SETTLE_SECONDS)
        waits, whole = [], []
        for number in range(jobs):
            asked = time.monotonic()
            await queue.enqueue("nothing", {"n": number})
            acknowledged = time.monotonic()
            said = json.loads(await _line(worker, '"begun"'))
            waits.append(max(0.0, said["begun"] - acknowledged) * 1_000)
            whole.append((said["begun"] - asked) * 1_000)
            await asyncio.sleep(APART_SECONDS)
        idle = await _idle_share(worker.pid)
    return {
        "p50 ms": statistics.median(waits),
        "p99 ms": statistics.quantiles(waits, n=100)[-1],
        "p50 ms with the enqueue": statistics.median(whole),
        "idle % of a core": idle,
    }


async def _idle_share(pid: int) -> float:
    def used() -> float:
        # Ticks of user and system time, of 100 in a second on Linux; see proc(5).
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 (no file of the project)
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    before = await asyncio.to_thread(used)
    await asyncio.sleep(IDLE_SECONDS)
    return (await asyncio.to_thread(used) - before) / IDLE_SECONDS * 100


@asynccontextmanager
async def _waiting(target: str) -> AsyncIterator[asyncio.subprocess.Process]:
    worker = await _start("pick-up", "ours", target)
    try:
        await _line(worker, "ready")
        _say_go(worker)
        await _line(worker, '"used"')
        yield worker
    finally:
        worker.terminate()
        await worker.communicate()


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    command: list[Any] = [sys.executable, "-m", "scripts.benchmarks.queue_worker", *arguments]
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)


async def _line(process: asyncio.subprocess.Process, word: str) -> str:
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if word in line:
            return line
    message = f"a worker process ended with {await process.wait()} before it said {word}"
    raise RuntimeError(message)


def _say_go(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")
