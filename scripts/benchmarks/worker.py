"""The process of one contender: it waits for requests, one JSON line each, and answers each with a measurement.

Each contender has a process of its own, so that one's garbage, caches and threads do not slow another down and its
memory can be told; the processes live as long as the whole run, so that none of them is measured while it warms up.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.benchmarks import memory
from scripts.benchmarks.contenders.contender import BatchContender, Options
from scripts.benchmarks.contenders.registry import load, load_reporter
from scripts.benchmarks.driver import Measured, drive, percentile
from scripts.benchmarks.workload import Counts
from scripts.benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from scripts.benchmarks.contenders.contender import Contender
    from scripts.benchmarks.contenders.reporter import Reporter
    from scripts.benchmarks.workload import Workload

__all__ = ["Request", "Result", "main", "measure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What to measure."""

    contender: str
    workload: str
    coroutines: int
    durability: str
    template: str
    """Path of the database to begin with; it is copied."""
    file: str
    """Path of the copy; what only reads uses one for all rounds, and who asks removes it."""
    counts: dict[str, int]
    limit_seconds: float
    freeze: bool = False
    """Whether the garbage collector leaves alone what is there before the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What was measured in one run."""

    rows: int
    seconds: float
    rows_per_second: float
    p50_ms: float
    p99_ms: float
    peak_memory_bytes: int
    """How far the process's memory rose above what it had before the run."""


def measure(request: Request) -> Result:
    """Run the workload on a copy of the template and prove what was written or read."""
    workload = WORKLOADS[request.workload]
    path = Path(request.file)
    if workload.writes or not path.exists():
        _copy(Path(request.template), path)
    with closing(sqlite3.connect(path)) as connection:
        arguments = workload.arguments(connection, Counts(**request.counts))
    contender = (load_reporter if workload.reports else load)(request.contender)
    gc.collect()
    if request.freeze:
        gc.freeze()
    memory.forget_peak()
    before = memory.resident_bytes()
    measured = asyncio.run(_run(request, workload, contender, arguments))
    risen = max(0, memory.peak_bytes() - before)
    gc.unfreeze()
    with closing(sqlite3.connect(path)) as connection:
        workload.verify(connection, contender, measured)
    rows = sum(len(argument) if isinstance(argument, list) else 1 for argument in measured.done)
    return Result(
        rows=rows,
        seconds=measured.seconds,
        rows_per_second=rows / measured.seconds,
        p50_ms=percentile(measured.latencies, 0.50) * 1000,
        p99_ms=percentile(measured.latencies, 0.99) * 1000,
        peak_memory_bytes=risen,
    )


def _copy(template: Path, path: Path) -> None:
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    shutil.copyfile(template, path)
    # Otherwise the first commit of whoever is measured would wait for these pages to reach the disk.
    with path.open("rb+") as file:
        os.fsync(file.fileno())


async def _run(request: Request, workload: Workload, contender: Contender | Reporter, arguments: list[Any]) -> Measured:
    options = Options(durability=request.durability, hot_cache=workload.hot_cache)
    await contender.open(Path(request.file), options)
    try:
        if isinstance(contender, BatchContender) and workload.batched is not None:
            whole = partial(contender.batch, workload.batched)
            measured = await drive(whole, [arguments], coroutines=1, limit_seconds=request.limit_seconds)
            measured.done = arguments
            return measured
        operation = workload.operation(contender)
        if workload.warm:
            for argument in dict.fromkeys(arguments):
                await operation(argument)
        return await drive(operation, arguments, coroutines=request.coroutines, limit_seconds=request.limit_seconds)
    finally:
        await contender.close()


def main() -> None:
    """Answer requests until there are no more."""
    for line in sys.stdin:
        answer: dict[str, Any]
        try:
            answer = asdict(measure(Request(**json.loads(line))))
        except Exception as exc:  # noqa: BLE001 (the one who asked shows it, and goes on with the other contenders)
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
