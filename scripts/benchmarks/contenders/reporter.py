"""What the contenders of the ledger's benchmarks can do: add up, find, and record one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["Reporter"]


class Reporter(Protocol):
    """One way to ask the ledger; every report comes back as plain figures, so that they can be compared."""

    async def open(self, path: Path, options: Options) -> None:
        """Connect to a database whose schema is there."""

    async def close(self) -> None:
        """Disconnect."""

    async def summary(self) -> Any:
        """Requests, tokens and cost of everything."""

    async def by_model(self) -> Any:
        """The same by host and model."""

    async def by_day(self) -> Any:
        """The same by day."""

    async def tool_statistics(self) -> Any:
        """Calls, successes and durations by tool."""

    async def find_capable(self) -> Any:
        """The agents with a capability, each with its tools."""

    async def log_usage(self, row: Row) -> None:
        """Record one call; project, host and model are made where they are not there."""

    def figures(self, report: Any) -> Any:
        """What a report says, as every contender says it: see `verification`."""
