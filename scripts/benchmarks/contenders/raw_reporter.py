"""The floor of the reports: the very SQL that agent_system sends, run by the plain driver, rows as tuples."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from agent_system.models.naming import name_key
from scripts.benchmarks.contenders.contender import pragmas
from scripts.benchmarks.contenders.ours_reporter import OurReporter
from scripts.benchmarks.contenders.raw import now_text
from scripts.benchmarks.ledger_rows import INPUT_USD_PER_1K, NANO_PER_1K, OUTPUT_USD_PER_1K

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent_system.database.executor import Executor
    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["RawReporter"]

PROJECT = "SELECT id FROM projects WHERE user_id IS NULL AND name_key = ?"
MODEL = """
    SELECT models.id, input_cost_per_1k, output_cost_per_1k FROM models
    WHERE name = ? AND host_id = (SELECT id FROM hosts WHERE name_key = ?)
"""
USAGE = """
    INSERT INTO token_usage (timestamp, project_id, model_id, user_id, request_id, input_tokens, output_tokens,
    cost_nano_usd, cost_source, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'computed', ?, ?)
"""


class RawReporter:
    """Statements as agent_system has sent them once, with the values in their place."""

    async def open(self, path: Path, options: Options) -> None:
        """Ask agent_system for its SQL, then connect on the loop's own thread."""
        self._statements = await _statements(path, options)
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        for statement in pragmas(options):
            self._connection.execute(statement)

    async def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    async def summary(self) -> Any:
        """Run it."""
        return self._run("summary")

    async def by_model(self) -> Any:
        """Run it."""
        return self._run("by_model")

    async def by_day(self) -> Any:
        """Run it."""
        return self._run("by_day")

    async def tool_statistics(self) -> Any:
        """Run it."""
        return self._run("tool_statistics")

    async def find_capable(self) -> Any:
        """Run it."""
        return self._run("find_capable")

    async def log_usage(self, row: Row) -> None:
        """Look the names up, which the verification expects to be there, and insert, in a transaction."""
        connection, now = self._connection, now_text()
        connection.execute("BEGIN IMMEDIATE")
        (project_id,) = connection.execute(PROJECT, (name_key(row["project"]),)).fetchone()
        model_id, *_ = connection.execute(MODEL, (row["model"], name_key(row["host"]))).fetchone()
        cost = round((row["input_tokens"] * INPUT_USD_PER_1K + row["output_tokens"] * OUTPUT_USD_PER_1K) * NANO_PER_1K)
        tokens = (row["input_tokens"], row["output_tokens"], cost)
        values = (now, project_id, model_id, row["user_id"], row["request_id"], *tokens, now, now)
        connection.execute(USAGE, values)
        connection.execute("COMMIT")

    def figures(self, report: Any) -> Any:
        """Not compared: the same SQL gives the same rows."""
        return None if report else 0

    def _run(self, verb: str) -> list[Any]:
        rows: list[Any] = []
        for statement in self._statements[verb]:
            rows += self._connection.execute(statement).fetchall()
        return rows


async def _statements(path: Path, options: Options) -> dict[str, Sequence[str]]:
    """The SQL of each of our reports, as the driver tells it: with the values written out."""
    ours = OurReporter()
    await ours.open(path, options)
    heard: list[str] = []

    def listen(executor: Executor) -> None:
        connection: Any = executor
        connection.raw.set_trace_callback(heard.append)

    statements: dict[str, Sequence[str]] = {}
    try:
        await ours.listen(listen)
        for verb in ("summary", "by_model", "by_day", "tool_statistics", "find_capable"):
            heard.clear()
            await getattr(ours, verb)()
            statements[verb] = [statement for statement in heard if statement.startswith(("SELECT", "WITH"))]
    finally:
        await ours.close()
    return statements
