"""The command line: `scripts/bench` measures, `scripts/bench ledger` the ledger, `queue` the queue.

`kills` kills workers, `soak` endures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmarks import queue_kills, queues, searches
from scripts.benchmarks.contenders.registry import CONTENDERS, REPORTERS
from scripts.benchmarks.ledger_workloads import LEDGER
from scripts.benchmarks.plot import as_svg
from scripts.benchmarks.report import as_data, as_tables
from scripts.benchmarks.runner import DURABILITIES, Plan, run
from scripts.benchmarks.scale import SIZES, scale, scale_table
from scripts.benchmarks.soak import soak
from scripts.benchmarks.workload import Counts
from scripts.benchmarks.workloads import STANDARD, WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Who shows how speed depends on size, unless others are asked for.
SMALL_FIELD = ["raw", "async_session", "ours"]

# What `scripts/bench ledger` means; options behind it win. The naive way takes seconds, so there are fewer rounds.
LEDGER_OPTIONS = [
    "--only",
    ",".join(workload.name for workload in LEDGER),
    "--contenders",
    ",".join(REPORTERS),
    "--rounds",
    "3",
]

SHOWN_PROBLEMS = 20


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; the result is the exit code."""
    if arguments[:1] == ["soak"]:
        return _soak(arguments[1:])
    if arguments[:1] == ["queue"]:
        return queues.main(arguments[1:])
    if arguments[:1] == ["kills"]:
        return queue_kills.main(arguments[1:])
    if arguments[:1] == ["search"]:
        return searches.main(arguments[1:])
    if arguments[:1] == ["ledger"]:
        arguments = [*LEDGER_OPTIONS, *arguments[1:]]
    options = _parser().parse_args(arguments)
    plan = Plan(
        workloads=options.only,
        contenders=options.contenders or list(CONTENDERS),
        durability=options.durability,
        rounds=options.rounds,
        limit_seconds=options.seconds,
        freeze=options.freeze,
        searchable=not options.no_search,
        counts=_counts(options.rows),
    )
    if options.scale:
        reports = scale(replace(plan, contenders=options.contenders or SMALL_FIELD), _sizes(options.rows), _progress)
        print(scale_table(reports))
        content = {str(size): as_data(report) for size, report in reports.items()}
    else:
        reports = {0: run(plan, _progress)}
        print(as_tables(reports[0]))
        content = as_data(reports[0])
        if options.svg:
            options.svg.write_text(as_svg(reports[0]))
    if options.json:
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if any(summary.error for report in reports.values() for summary in report.summaries) else 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _sizes(rows: int | None) -> list[int]:
    return [size for size in SIZES if rows is None or size <= rows] or [SIZES[0]]


def _soak(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench soak", description="Endure: random work, cancellations and a rival; then ledger = table."
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to work (60)")
    problems = asyncio.run(soak(parser.parse_args(arguments).seconds, print))
    print("\n".join(problems[:SHOWN_PROBLEMS]) if problems else "ledger = table, nothing grew")
    if len(problems) > SHOWN_PROBLEMS:
        print(f"and {len(problems) - SHOWN_PROBLEMS} more problems")
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure agent_system against the plain driver and its peers."
    )
    parser.add_argument("--rounds", type=_positive, default=5, help="interleaved rounds; the medians count (5)")
    parser.add_argument("--rows", type=_positive, help="most operations of a run and rows in the tables")
    parser.add_argument("--seconds", type=float, default=1.0, help="longest run of a contender in a round (1)")
    parser.add_argument("--only", type=_names(WORKLOADS), default=list(STANDARD), metavar="WORKLOAD,...")
    parser.add_argument("--contenders", type=_names(CONTENDERS), metavar="CONTENDER,...")
    parser.add_argument("--durability", choices=DURABILITIES, default="both")
    parser.add_argument("--freeze", action="store_true", help="call gc.freeze() before each run, for everybody")
    parser.add_argument(
        "--no-search", action="store_true", help="without the full-text index of messages, for everybody"
    )
    parser.add_argument(
        "--scale", action="store_true", help="instead: tables of 10^3 to 10^6 rows, no larger than --rows"
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the chart for the README")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.epilog = f"workloads: {', '.join(WORKLOADS)}; contenders: {', '.join(CONTENDERS)}"
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        message = "must be at least 1"
        raise argparse.ArgumentTypeError(message)
    return number


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    there_are = list(known)

    def names(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in there_are]
        if unknown:
            message = f"unknown: {', '.join(unknown)}; there are {', '.join(there_are)}"
            raise argparse.ArgumentTypeError(message)
        return chosen

    return names


def _counts(rows: int | None) -> Counts:
    if rows is None:
        return Counts()
    full = Counts()
    conversations = min(full.conversations, max(20, rows // 10))
    return Counts(
        operations=rows,
        bulk_rows=min(rows, full.bulk_rows),
        agents=min(rows, full.agents),
        conversations=conversations,
        messages=conversations * min(100, max(10, rows // 20)),
        usage_rows=min(rows, full.usage_rows),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
