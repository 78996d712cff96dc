"""Seed 001's connection pattern."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent_system.database.manager import DatabaseManager

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

__all__ = ["get_database_connection"]


@asynccontextmanager
async def get_database_connection(path_or_url: str | os.PathLike[str] | None = None) -> AsyncIterator[DatabaseManager]:
    """Give a connected `DatabaseManager` for the block (seed 001's connection pattern)."""
    async with DatabaseManager(path_or_url) as db:
        yield db
