"""`scripts/bench queue`: our queue beside other queues, in one interleaved run at full durability; medians count.

Every contender does the same number of jobs whose handler does nothing, so that what is measured is the queue.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmarks.queue_backlog import fill_backlog, least_waiting, measure_backlog
from scripts.benchmarks.queue_contenders import CONTENDERS
from scripts.benchmarks.queue_gates import gate_table
from scripts.benchmarks.queue_processes import measure_pick_up, measure_processes
from scripts.benchmarks.servers import Server, postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Measure = Callable[[], dict[str, float]]

MANY = 4
SERVERS_CONTENDERS = ("ours", "pgqueuer", "procrastinate")
# Whose rate is so low that fewer jobs tell as much.
SLOW = {"procrastinate": 8}


def main(arguments: list[str]) -> int:
    """Measure in turn, several rounds, and print medians with the ratio of ours to each."""
    options = _parser().parse_args(arguments)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sections: dict[str, Mapping[str, Measure]] = {"SQLite, one process": _in_process(folder, options.jobs)}
        sections[f"SQLite, {MANY} worker processes"] = _on_sqlite(folder, options.jobs)
        server = stack.enter_context(postgres_server()) if options.postgresql else None
        if server is not None:
            for processes in (1, MANY):
                title = f"PostgreSQL, {processes} worker process{'es' if processes > 1 else ''}"
                sections[title] = _on_postgresql(server, options.jobs, processes)
        if options.backlog:
            sections["SQLite, one process, backlog"] = _with_backlog(folder, options.jobs, options.backlog)
        if options.pick_up:
            sections["pick-up by a waiting worker of another process"] = _pick_up(folder, server, options.pick_up)
        for title, contenders in sections.items():
            if options.only is None or options.only in title:
                figures[title] = _medians(title, contenders, options.rounds)
                print(_table(title, figures[title]), flush=True)
    print(f"\n{gate_table(figures)}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench queue", description=__doc__)
    parser.add_argument("--jobs", type=int, default=25_600, help="so many jobs in each round (25,600)")
    parser.add_argument("--rounds", type=int, default=3, help="so many rounds; the median counts (3)")
    parser.add_argument("--postgresql", action="store_true", help="pgqueuer and procrastinate, too")
    parser.add_argument(
        "--backlog", type=int, default=0, help="ours again while so many jobs wait and so many are over"
    )
    parser.add_argument("--pick-up", type=int, default=0, help="how soon a waiting worker begins so many jobs")
    parser.add_argument("--only", help="only the tables whose title holds this")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


def _in_process(folder: Path, jobs: int) -> dict[str, Measure]:
    def measure(name: str) -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            return CONTENDERS[name](Path(place), jobs)

    return {name: lambda name=name: measure(name) for name in CONTENDERS}  # type: ignore[misc] # mypy cannot tell


def _on_sqlite(folder: Path, jobs: int) -> dict[str, Measure]:
    def measure(name: str) -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            return {"claim and complete": asyncio.run(measure_processes(name, f"{place}/jobs.db", jobs, MANY))}

    return {name: lambda name=name: measure(name) for name in ("ours", "huey")}  # type: ignore[misc] # mypy cannot tell


def _on_postgresql(server: Server, jobs: int, processes: int) -> dict[str, Measure]:
    async def measure(name: str) -> dict[str, float]:
        url = await server.database()
        target = url if name == "ours" else url.replace("+asyncpg", "")
        rate = await measure_processes(name, target, jobs // SLOW.get(name, 1), processes)
        return {"claim and complete": rate}

    there_are = [name for name in SERVERS_CONTENDERS if name == "ours" or importlib.util.find_spec(name)]
    for name in set(SERVERS_CONTENDERS) - set(there_are):
        print(f'{name} is left out: it is not installed (pip install -e ".[bench]")', flush=True)
    return {name: lambda name=name: asyncio.run(measure(name)) for name in there_are}  # type: ignore[misc] # as above


def _with_backlog(folder: Path, jobs: int, backlog: int) -> dict[str, Measure]:
    path = folder / "backlog.db"

    def full() -> dict[str, float]:
        if not path.exists():
            asyncio.run(fill_backlog(path, backlog, backlog))
        return asyncio.run(measure_backlog(path, jobs))

    def empty() -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            asyncio.run(fill_backlog(Path(place) / "empty.db", least_waiting(jobs), 0))
            return asyncio.run(measure_backlog(Path(place) / "empty.db", jobs))

    return {"ours": full, "ours, empty": empty}


def _pick_up(folder: Path, server: Server | None, jobs: int) -> dict[str, Measure]:
    def sqlite() -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            return asyncio.run(measure_pick_up(f"{place}/jobs.db", jobs))

    async def postgresql(server: Server) -> dict[str, float]:
        return await measure_pick_up(await server.database(), jobs)

    measures: dict[str, Measure] = {"SQLite": sqlite}
    if server is not None:
        measures["PostgreSQL"] = lambda: asyncio.run(postgresql(server))
    return measures


def _medians(title: str, contenders: Mapping[str, Measure], rounds: int) -> dict[str, dict[str, float]]:
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, measure in contenders.items():
            print(f"round {number + 1}: {title}: {name}", file=sys.stderr, flush=True)
            measured[name].append(measure())
    return {
        name: {figure: statistics.median(one[figure] for one in results) for figure in results[0]}
        for name, results in measured.items()
    }


def _table(title: str, medians: Mapping[str, Mapping[str, float]]) -> str:
    columns = list(next(iter(medians.values())))
    ours = medians.get("ours")
    lines = [f"\n{title}", f"{'':<16}" + "".join(f"{column:>26}" for column in columns)]
    for name, figures in medians.items():
        cells = []
        for column, value in figures.items():
            is_rate = "ms" not in column and "%" not in column
            ratio = f" ({ours[column] / value:.2f}x)" if ours is not None and value and name != "ours" else ""
            cells.append(f"{f'{value:,.0f}/s' if is_rate else f'{value:,.2f}'}{ratio}".rjust(26))
        lines.append(f"{name:<16}" + "".join(cells))
    if ours is not None:
        lines.append("(in brackets: ours, divided by it)")
    return "\n".join(lines)
