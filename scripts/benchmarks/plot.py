"""The chart for the README: rows a second on a logarithmic scale, a group of bars for each workload."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from scripts.benchmarks.contenders.registry import CONTENDERS
from scripts.benchmarks.runner import Case
from scripts.benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.benchmarks.runner import Report

__all__ = ["as_svg"]

# What the README shows, as far as it was measured.
CASES = (
    Case(workload="create_message", coroutines=64, durability="full"),
    Case(workload="create_message", coroutines=64, durability="normal"),
    Case(workload="create_agent", coroutines=64, durability="normal"),
    Case(workload="bulk_create", coroutines=1, durability="normal"),
    Case(workload="get_cold", coroutines=1, durability="any"),
    Case(workload="last_50", coroutines=64, durability="any"),
    Case(workload="mix", coroutines=64, durability="normal"),
    Case(workload="chat_turn", coroutines=64, durability="normal"),
)
WIDTH, LEFT, RIGHT, TOP = 760, 230, 60, 76
LEGEND_COLUMNS = 4
BAR, GAP = 9, 14


def as_svg(report: Report) -> str:
    """Draw what was measured."""
    measured = {summary.case for summary in report.summaries if summary.error is None}
    groups = [(case, _bars(report, case)) for case in CASES if case in measured]
    height = TOP + sum(BAR * len(bars) + GAP for _, bars in groups) + 24
    rates = [rate for _, bars in groups for _, rate in bars] or [1.0]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="11">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *_legend(report.plan.contenders),
            *_grid(low, high, height),
            *_groups(groups, low, high),
            "</svg>\n",
        ]
    )


def _bars(report: Report, case: Case) -> list[tuple[str, float]]:
    found = ((name, report.find(case, name)) for name in report.plan.contenders)
    return [(name, summary.rows_per_second) for name, summary in found if summary is not None]


def _x(rate: float, low: int, high: int) -> float:
    share = (math.log10(rate) - low) / max(1, high - low)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _legend(contenders: Sequence[str]) -> Iterator[str]:
    yield '<text x="8" y="16" font-size="13" font-weight="600">Operations a second (logarithmic)</text>'
    for number, name in enumerate(contenders):
        entry = CONTENDERS[name]
        x, y = 8 + number % LEGEND_COLUMNS * WIDTH // LEGEND_COLUMNS, 26 + number // LEGEND_COLUMNS * 16
        yield f'<rect x="{x}" y="{y}" width="9" height="9" fill="{entry.colour}"/>'
        yield f'<text x="{x + 13}" y="{y + 8}">{escape(entry.label)}</text>'


def _grid(low: int, high: int, height: int) -> Iterator[str]:
    for power in range(low, high + 1):
        x = _x(10**power, low, high)
        yield f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 20}" stroke="#dddddd"/>'
        yield f'<text x="{x:.1f}" y="{height - 7}" text-anchor="middle" fill="#666666">{10**power:,}</text>'


def _groups(groups: Sequence[tuple[Case, list[tuple[str, float]]]], low: int, high: int) -> Iterator[str]:
    y = TOP
    for case, bars in groups:
        middle = y + BAR * len(bars) / 2
        yield f'<text x="{LEFT - 8}" y="{middle - 1:.1f}" text-anchor="end">{escape(_title(case))}</text>'
        yield f'<text x="{LEFT - 8}" y="{middle + 11:.1f}" text-anchor="end" fill="#666666">{_how(case)}</text>'
        for name, rate in bars:
            end = _x(rate, low, high)
            colour = CONTENDERS[name].colour
            yield f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 1}" fill="{colour}"/>'
            yield f'<text x="{end + 3:.1f}" y="{y + BAR - 1.5}" font-size="9" fill="#444444">{rate:,.0f}</text>'
            y += BAR
        y += GAP


def _title(case: Case) -> str:
    return WORKLOADS[case.workload].title.split(" (")[0]


def _how(case: Case) -> str:
    how = "one coroutine" if case.coroutines == 1 else f"{case.coroutines} coroutines"
    return how if case.durability == "any" else f"{how}, {case.durability}"
