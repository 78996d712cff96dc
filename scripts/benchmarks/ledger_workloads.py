"""The ledger's workloads: what `scripts/bench ledger` measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.benchmarks import ledger_verification as verification
from scripts.benchmarks.ledger_rows import call_row
from scripts.benchmarks.workload import Workload

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    from scripts.benchmarks.contenders.reporter import Reporter
    from scripts.benchmarks.workload import Counts

__all__ = ["LEDGER"]


def _again(_: sqlite3.Connection, counts: Counts) -> list[Any]:
    return list(range(counts.operations))


def _calls(_: sqlite3.Connection, counts: Counts) -> list[Any]:
    return [call_row(number) for number in range(counts.operations)]


def _report(name: str) -> Callable[[Reporter], Callable[[Any], Awaitable[Any]]]:
    def operation(reporter: Reporter) -> Callable[[Any], Awaitable[Any]]:
        report: Callable[[], Awaitable[Any]] = getattr(reporter, name)
        return lambda _: report()

    return operation


def _reading(name: str, title: str) -> Workload:
    return Workload(
        name=name,
        title=title,
        template="ledger",
        arguments=_again,
        operation=_report(name.removeprefix("usage_")),
        verify=verification.REPORTS[name],
        writes=False,
        coroutines=(1,),
        reports=True,
    )


LEDGER = [
    _reading("usage_summary", "usage: everything added up"),
    _reading("usage_by_model", "usage by host and model"),
    _reading("usage_by_day", "usage by day"),
    _reading("tool_statistics", "tool statistics"),
    _reading("find_capable", "agents by capability, with their tools"),
    Workload(
        name="log_usage",
        title="log_usage: project, host and model by name, priced",
        template="ledger_names",
        arguments=_calls,
        operation=lambda reporter: reporter.log_usage,
        verify=verification.calls_written,
        writes=True,
        coroutines=(64,),
        reports=True,
    ),
]
"""Five reports and the one write that happens for every call to a model."""
