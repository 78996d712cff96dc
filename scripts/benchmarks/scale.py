"""How speed depends on the size of the tables: from a thousand rows to a million."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scripts.benchmarks.contenders.registry import CONTENDERS
from scripts.benchmarks.runner import run
from scripts.benchmarks.workload import Counts
from scripts.benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scripts.benchmarks.runner import Plan, Report

__all__ = ["SCALED", "SIZES", "scale", "scale_table"]

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SCALED = ("get_cold", "last_50", "create_in_history")
MESSAGES_PER_CONVERSATION = 100


def scale(plan: Plan, sizes: Sequence[int], progress: Callable[[str], None]) -> dict[int, Report]:
    """Measure the plan's contenders at each size of the tables."""
    reports = {}
    for size in sizes:
        progress(f"{size:,} rows")
        counts = Counts(
            operations=plan.counts.operations,
            agents=size,
            conversations=max(1, size // MESSAGES_PER_CONVERSATION),
            messages=size,
        )
        reports[size] = run(replace(plan, workloads=SCALED, counts=counts), progress)
    return reports


def scale_table(reports: dict[int, Report]) -> str:
    """Rows a second by size, for people."""
    return "\n".join(_lines(reports))


def _lines(reports: dict[int, Report]) -> Iterator[str]:
    yield f"{'rows/s in tables of':<82}" + "".join(f"{size:>12,}" for size in reports)
    first = next(iter(reports.values()))
    for summary in first.summaries:
        case = summary.case
        title = f"{WORKLOADS[case.workload].title}, {case.coroutines}"
        if case.durability != "any":
            title += f", {case.durability}"
        found = [report.find(case, summary.contender) for report in reports.values()]
        rates = "".join(f"{one.rows_per_second:>12,.0f}" if one else f"{'failed':>12}" for one in found)
        yield f"{title:<60}{CONTENDERS[summary.contender].label:<22}{rates}"
