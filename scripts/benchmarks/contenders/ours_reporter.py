"""agent_system's own reports, through the facade that its users have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system import DatabaseManager, EntityManager
from scripts.benchmarks.ledger_rows import CAPABILITY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent_system.database.executor import Executor
    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["OurReporter"]


class OurReporter:
    """The managers' verbs: one statement each, dataclasses and instances out."""

    async def open(self, path: Path, options: Options) -> None:
        """Connect without looking for migrations."""
        self._db = DatabaseManager(path, durability=options.durability, auto_migrate=False)
        await self._db.connect()
        self._em = EntityManager(self._db)

    async def close(self) -> None:
        """Disconnect."""
        await self._db.disconnect()

    async def listen(self, function: Callable[[Executor], None]) -> None:
        """Call a function with what the reports run on."""
        await self._db.read(function)

    async def summary(self) -> Any:
        """One row."""
        return [await self._em.token_usage.summary()]

    async def by_model(self) -> Any:
        """One row for each."""
        return await self._em.token_usage.by_model()

    async def by_day(self) -> Any:
        """One row for each."""
        return await self._em.token_usage.by_day()

    async def tool_statistics(self) -> Any:
        """One row for each tool."""
        return await self._em.tool_usage.statistics()

    async def find_capable(self) -> Any:
        """Agents with their tools."""
        return await self._em.agents.find_by_capability_with_tools(CAPABILITY)

    async def log_usage(self, row: Row) -> None:
        """Record."""
        await self._em.token_usage.log_usage(**row)

    def figures(self, report: Any) -> Any:
        """How many groups, and how much in all."""
        first = report[0]
        if hasattr(first, "tools"):
            return len(report), sum(len(agent.tools) for agent in report)
        if hasattr(first, "calls"):
            return len(report), sum(group.calls for group in report)
        summaries = [getattr(group, "summary", group) for group in report]
        return len(report), sum(each.requests for each in summaries), sum(each.cost_nano_usd for each in summaries)
