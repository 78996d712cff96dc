"""Tool usage: every tool call from before it runs, and what the calls add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.managers.core.base import Manager
from agent_system.managers.core.pagination import conditions
from agent_system.models import ToolUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.managers.core.pagination import Where

__all__ = ["ToolStatistics", "ToolUsageManager"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolStatistics:
    """What the calls of one tool add up to."""

    tool_name: str
    calls: int
    succeeded: int
    failed: int
    unknown: int
    """Calls of which nobody can tell, or that have not ended."""
    timed: int
    """Calls whose duration was measured; the three durations are theirs alone."""
    min_duration_ms: float | None
    average_duration_ms: float | None
    max_duration_ms: float | None


class ToolUsageManager(Manager[ToolUsage]):
    """Tool usage: every tool call from before it runs."""

    entity = ToolUsage

    async def statistics(self, where: Where = None) -> list[ToolStatistics]:
        """Add up the calls of each tool, the most called first.

        Args:
            where: Which calls count, as in `list`: a mapping of column to value, or expressions over `ToolUsage`.

        Raises:
            ValidationError: A column does not exist.
        """
        columns = self.plans.columns
        name, success, duration = columns["tool_name"], columns["success"], columns["duration_ms"]
        calls = func.count()
        statement = (
            select(
                name,
                calls,
                calls.filter(success.is_(True)),
                calls.filter(success.is_(False)),
                func.count(duration),
                func.min(duration),
                func.avg(duration),
                func.max(duration),
            )
            .where(*conditions(self.plans, where))
            .group_by(name)
            .order_by(calls.desc(), name)
        )
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [
            ToolStatistics(
                tool_name=tool_name,
                calls=total,
                succeeded=succeeded,
                failed=failed,
                unknown=total - succeeded - failed,
                timed=timed,
                min_duration_ms=shortest,
                average_duration_ms=average,
                max_duration_ms=longest,
            )
            for tool_name, total, succeeded, failed, timed, shortest, average, longest in rows
        ]
