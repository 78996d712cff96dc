"""Proof that the ledger's contenders have added up and written the same."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from scripts.benchmarks.ledger_rows import CAPABILITY, HOSTS, INPUT_USD_PER_1K, MODELS, NANO_PER_1K, OUTPUT_USD_PER_1K
from scripts.benchmarks.verification import VerificationError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from scripts.benchmarks.contenders.reporter import Reporter
    from scripts.benchmarks.driver import Measured

__all__ = ["REPORTS", "calls_written"]

# How many groups there are, and how much is in all of them together.
EXPECTED = {
    "usage_summary": "SELECT 1, count(*), sum(cost_nano_usd) FROM token_usage",
    "usage_by_model": "SELECT count(DISTINCT model_id), count(*), sum(cost_nano_usd) FROM token_usage",
    "usage_by_day": "SELECT count(DISTINCT date(timestamp)), count(*), sum(cost_nano_usd) FROM token_usage",
    "tool_statistics": "SELECT count(DISTINCT tool_name), count(*) FROM tool_usage",
    "find_capable": f"""
        SELECT count(DISTINCT agents.id), count(*) FROM agents JOIN agent_tools ON agent_tools.agent_id = agents.id
        WHERE capabilities LIKE '%"{CAPABILITY}"%'
    """,
}
WRITTEN = "SELECT count(*), sum(input_tokens), sum(output_tokens), sum(cost_nano_usd) FROM token_usage"


def _report_read(name: str, connection: sqlite3.Connection, reporter: Reporter, measured: Measured) -> None:
    for report in measured.results:
        figures = reporter.figures(report)
        if figures is not None:
            _equal(tuple(figures), connection.execute(EXPECTED[name]).fetchone(), name)


REPORTS: dict[str, Callable[[sqlite3.Connection, Any, Measured], None]] = {
    name: partial(_report_read, name) for name in EXPECTED
}
"""By workload: the report says what plain SQL says."""


def calls_written(connection: sqlite3.Connection, _: Reporter, measured: Measured) -> None:
    """The calls are those that were acknowledged, priced, and their names were made once."""
    read = sum(row["input_tokens"] for row in measured.done)
    written = sum(row["output_tokens"] for row in measured.done)
    cost = round((read * INPUT_USD_PER_1K + written * OUTPUT_USD_PER_1K) * NANO_PER_1K)
    _equal(connection.execute(WRITTEN).fetchone(), (len(measured.done), read, written, cost), "calls in the ledger")
    models = connection.execute("SELECT count(*) FROM models").fetchone()
    _equal(models, (len(HOSTS) * MODELS,), "models")


def _equal(actual: object, expected: object, what: str) -> None:
    if actual != expected:
        message = f"{what}: {actual!r} instead of {expected!r}"
        raise VerificationError(message)
