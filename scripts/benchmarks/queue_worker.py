"""A process of `scripts/bench queue`: it fills one contender's queue, or does jobs of it until there are none left.

It says a line when it is ready, waits for one, works, and says when its first job began and when it had done the last
one, on the machine's own clock: what a worker does only once, before its first job, is in nobody's figures.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system import DatabaseManager, EntityManager
from agent_system.jobs import JobContext, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

HANDLERS = 32
BATCH = 1_000


@dataclass(frozen=True, kw_only=True)
class Contender:
    """How one queue is filled, and how its jobs are done."""

    fill: Callable[[str, int], Coroutine[Any, Any, None]]
    work: Callable[[str, Shift], Coroutine[Any, Any, None]]


class Shift:
    """The jobs that this process does."""

    def __init__(self) -> None:
        self.done = 0
        self.began = 0.0
        self.ended = 0.0

    def note(self) -> None:
        """A job is being done."""
        if not self.done:
            self.began = time.monotonic()
        self.done += 1

    def end(self) -> None:
        """The last one is done."""
        self.ended = time.monotonic()

    def report(self) -> dict[str, float]:
        """What the parent wants to know."""
        return {"done": self.done, "began": self.began, "ended": self.ended}


async def _said_go() -> None:
    # Looking through all that was imported takes a tenth of a second, once in the life of a process.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def fill_ours(target: str, jobs: int) -> None:
    """Put jobs into our queue."""
    async with DatabaseManager(target) as db:
        for start in range(0, jobs, BATCH):
            count = min(BATCH, jobs - start)
            await EntityManager(db).queue.enqueue_many([{"task_type": "nothing", "payload": {"n": 1}}] * count)


async def work_ours(target: str, shift: Shift) -> None:
    """Do the jobs of our queue."""
    worker = Worker(concurrency=HANDLERS)

    @worker.handler("nothing")
    async def nothing(_context: JobContext) -> None:
        shift.note()

    async with DatabaseManager(target, auto_migrate=False) as db:
        await _said_go()
        await worker.run(EntityManager(db), until_idle=True)
        shift.end()


def _huey(target: str, shift: Shift) -> tuple[Any, Any]:
    huey: Any = importlib.import_module("huey").SqliteHuey("bench", filename=target, fsync=True)

    @huey.task()  # type: ignore[untyped-decorator] # huey has no types
    def nothing(_number: int) -> None:
        shift.note()

    return huey, nothing


async def fill_huey(target: str, jobs: int) -> None:
    """Put jobs into SqliteHuey with fsync."""
    _, nothing = _huey(target, Shift())
    for number in range(jobs):
        nothing(number)


async def work_huey(target: str, shift: Shift) -> None:
    """Do the jobs of SqliteHuey by as many threads as others have handlers."""
    huey, _ = _huey(target, shift)

    def consume() -> None:
        while (task := huey.dequeue()) is not None:
            huey.execute(task)

    threads = [threading.Thread(target=consume) for _ in range(HANDLERS)]
    await _said_go()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shift.end()


async def _pgqueuer(target: str) -> tuple[Any, Any]:
    asyncpg = importlib.import_module("asyncpg")
    connection = await asyncpg.connect(target)
    module = importlib.import_module("pgqueuer")
    return connection, module.PgQueuer(importlib.import_module("pgqueuer.db").AsyncpgDriver(connection))


async def fill_pgqueuer(target: str, jobs: int) -> None:
    """Put jobs into pgqueuer, whose tables are as durable as ours."""
    connection, queuer = await _pgqueuer(target)
    queries = importlib.import_module("pgqueuer.queries").Queries(queuer.connection)
    await queries.install()
    for start in range(0, jobs, BATCH):
        count = min(BATCH, jobs - start)
        await queries.enqueue(["nothing"] * count, [b'{"n": 1}'] * count, [0] * count)
    await connection.close()


async def work_pgqueuer(target: str, shift: Shift) -> None:
    """Do the jobs of pgqueuer; its last one is done when the handler has it, whatever it does until it returns."""
    connection, queuer = await _pgqueuer(target)
    mode = importlib.import_module("pgqueuer.types").QueueExecutionMode.drain

    @queuer.entrypoint("nothing")  # type: ignore[untyped-decorator] # an untyped object
    async def nothing(_job: Any) -> None:
        shift.note()
        shift.end()

    await _said_go()
    await queuer.run(mode=mode, batch_size=HANDLERS, max_concurrent_tasks=2 * HANDLERS)
    await connection.close()


def _procrastinate(target: str, shift: Shift) -> tuple[Any, Any]:
    module = importlib.import_module("procrastinate")
    app: Any = module.App(connector=module.PsycopgConnector(conninfo=target))

    @app.task(name="nothing")  # type: ignore[untyped-decorator] # an untyped object
    async def nothing(n: int) -> None:
        del n
        shift.note()
        shift.end()

    return app, nothing


async def fill_procrastinate(target: str, jobs: int) -> None:
    """Put jobs into procrastinate."""
    app, nothing = _procrastinate(target, Shift())
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for start in range(0, jobs, BATCH):
            await nothing.batch_defer_async(*({"n": 1} for _ in range(min(BATCH, jobs - start))))


async def work_procrastinate(target: str, shift: Shift) -> None:
    """Do the jobs of procrastinate; its last one is done when the handler has it."""
    app, _ = _procrastinate(target, shift)
    async with app.open_async():
        await _said_go()
        await app.run_worker_async(wait=False, concurrency=HANDLERS, install_signal_handlers=False)


CONTENDERS = {
    "ours": Contender(fill=fill_ours, work=work_ours),
    "huey": Contender(fill=fill_huey, work=work_huey),
    "pgqueuer": Contender(fill=fill_pgqueuer, work=work_pgqueuer),
    "procrastinate": Contender(fill=fill_procrastinate, work=work_procrastinate),
}


async def pick_up(target: str) -> None:
    """Say for each job when it was begun, until there has been none for a while."""
    worker = Worker(concurrency=HANDLERS, poll_seconds=30)

    @worker.handler("nothing")
    async def nothing(context: JobContext) -> None:
        moment = time.monotonic()
        print(json.dumps({"n": context.payload["n"], "begun": moment}), flush=True)

    async with DatabaseManager(target, auto_migrate=False) as db:
        await _said_go()
        used = time.process_time()
        print(json.dumps({"used": used}), flush=True)
        await worker.run(EntityManager(db))
        print(json.dumps({"used": time.process_time()}), flush=True)


def main(arguments: list[str]) -> None:
    """Fill, work, or wait for jobs; the arguments are what to do, the contender, the target and how many jobs."""
    verb, name, target = arguments[:3]
    if verb == "fill":
        asyncio.run(CONTENDERS[name].fill(target, int(arguments[3])))
    elif verb == "pick-up":
        asyncio.run(pick_up(target))
    else:
        began, shift = time.process_time(), Shift()
        asyncio.run(CONTENDERS[name].work(target, shift))
        print(json.dumps(shift.report() | {"processor_seconds": time.process_time() - began}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
