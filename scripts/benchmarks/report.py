"""What was measured as tables for people and as data for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scripts.benchmarks.contenders.registry import CONTENDERS
from scripts.benchmarks.targets import TARGETS, judge
from scripts.benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.benchmarks.runner import Case, Report, Summary

__all__ = ["as_data", "as_tables"]

HEADINGS = ("contender", "rows/s", "of raw", "p50 ms", "p99 ms", "memory MB")


def as_data(report: Report) -> dict[str, Any]:
    """Everything, with every round, as JSON can hold it; nothing in it tells whose machine it was."""
    return asdict(report) | {"targets": [asdict(judge(target, report)) for target in TARGETS]}


def as_tables(report: Report) -> str:
    """One table per case, then the wanted ratios beside the measured ones."""
    blocks = [_facts(report)]
    cases = list(dict.fromkeys(summary.case for summary in report.summaries))
    blocks += ["\n".join(_case_lines(report, case)) for case in cases]
    blocks.append("\n".join(_target_lines(report)))
    return "\n\n".join(blocks)


def _facts(report: Report) -> str:
    machine, plan = report.machine, report.plan
    text = (
        f"Python {machine['python']}, SQLite {machine['sqlite']}, {machine['cores']} cores; medians of {plan.rounds} "
        f"interleaved rounds of at most {plan.limit_seconds:g} s{', gc.freeze()' if plan.freeze else ''}"
    )
    if report.missing:
        text += f"\nnot installed (pip install -e '.[bench]'): {', '.join(report.missing)}"
    return text


def _case_lines(report: Report, case: Case) -> Iterator[str]:
    workload = WORKLOADS[case.workload]
    how = "one coroutine" if case.coroutines == 1 else f"{case.coroutines} coroutines"
    durability = "" if case.durability == "any" else f", durability {case.durability}"
    yield f"{workload.title} | {how}{durability}"
    raw = report.find(case, "raw")
    rows = [_row(summary, raw) for summary in report.summaries if summary.case == case]
    yield from _aligned([HEADINGS, *rows])


def _row(summary: Summary, raw: Summary | None) -> tuple[str, ...]:
    label = CONTENDERS[summary.contender].label
    if summary.error is not None:
        return (label, summary.error)
    of_raw = f"{summary.rows_per_second / raw.rows_per_second:.3f}" if raw else ""
    return (
        label,
        f"{summary.rows_per_second:,.0f}",
        of_raw,
        *(f"{value:.3f}" if summary.contender != "batch" else "" for value in (summary.p50_ms, summary.p99_ms)),
        f"{summary.peak_memory_bytes / 2**20:.1f}",
    )


def _target_lines(report: Report) -> Iterator[str]:
    yield "what is wanted"
    table: list[tuple[str, ...]] = [("workload", "against", "wanted", "measured", "")]
    for target in TARGETS:
        verdict = judge(target, report)
        if verdict.measured is not None:
            mark = "ok" if verdict.is_reached else "BELOW"
            table.append((target.title, target.shown_against, target.shown_wanted, verdict.shown_measured, mark))
    yield from _aligned(table)


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    columns = max(len(row) for row in table)
    full = [row for row in table if len(row) == columns]
    widths = [max(len(row[column]) for row in full) for column in range(columns)]
    widths[0] = max(len(row[0]) for row in table)
    for row in table:
        cells: list[Any] = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        yield "  " + "  ".join(cells).rstrip()
