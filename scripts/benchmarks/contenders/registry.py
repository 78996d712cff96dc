"""The contenders by name; each is imported only in the process that runs it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from scripts.benchmarks.contenders.contender import Contender

__all__ = ["CONTENDERS", "OURS", "Entry", "load"]


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


def load(name: str) -> Contender:
    """Import and make a contender."""
    entry = CONTENDERS[name]
    module = importlib.import_module(f"scripts.benchmarks.contenders.{entry.module}")
    return cast("Contender", getattr(module, entry.factory)())
