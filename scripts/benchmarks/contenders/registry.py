"""The contenders by name; each is imported only in the process that runs it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from scripts.benchmarks.contenders.contender import Contender
    from scripts.benchmarks.contenders.reporter import Reporter

__all__ = ["CONTENDERS", "OURS", "REPORTERS", "Entry", "load", "load_reporter"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Where a contender is found, and how it is shown."""

    module: str
    factory: str
    label: str
    colour: str
    requires: str | None = None
    """The package that it needs beyond the project's own."""


CONTENDERS: dict[str, Entry] = {
    "raw": Entry(module="raw", factory="RawFloor", label="raw sqlite3", colour="#888888"),
    "batch": Entry(module="raw", factory="BatchFloor", label="raw, one transaction", colour="#bbbbbb"),
    "aiosqlite": Entry(module="aiosqlite", factory="RawAiosqlite", label="raw aiosqlite", colour="#8fb3d9"),
    "async_session": Entry(
        module="async_session", factory="AsyncSessionContender", label="SQLModel AsyncSession", colour="#4477aa"
    ),
    "advanced_alchemy": Entry(
        module="advanced_alchemy",
        factory="AdvancedAlchemy",
        label="advanced-alchemy",
        colour="#aa6688",
        requires="advanced_alchemy",
    ),
    "tortoise": Entry(
        module="tortoise", factory="TortoiseContender", label="tortoise-orm", colour="#ccaa44", requires="tortoise"
    ),
    "ours": Entry(module="ours", factory="AgentSystem", label="agent_system", colour="#228833"),
}
OURS = "ours"
REPORTERS = {
    "raw": ("raw_reporter", "RawReporter"),
    "async_session": ("naive_reporter", "NaiveReporter"),
    "ours": ("ours_reporter", "OurReporter"),
}
"""Modules and factories of those that take part in the ledger's workloads."""


def load(name: str) -> Contender:
    """Import and make a contender."""
    entry = CONTENDERS[name]
    module = importlib.import_module(f"scripts.benchmarks.contenders.{entry.module}")
    return cast("Contender", getattr(module, entry.factory)())


def load_reporter(name: str) -> Reporter:
    """Import and make what a contender is in the ledger's workloads."""
    module, factory = REPORTERS[name]
    imported = importlib.import_module(f"scripts.benchmarks.contenders.{module}")
    return cast("Reporter", getattr(imported, factory)())
