"""The figures of a SQLite file; only `os.stat` touches it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from agent_system.database.dialects.base import EngineHealth
from agent_system.database.driver import library_verdict
from agent_system.errors import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agent_system.database.cache import HotCache
    from agent_system.database.dialects.base import Backend
    from agent_system.database.executor import Executor

__all__ = ["describe", "ping"]


def describe(path: str, engine: AsyncEngine, cache: HotCache | None, **measured: Any) -> EngineHealth:
    """Put the figures together.

    Args:
        path: The file.
        engine: Whose pool is counted.
        cache: The hot cache; None when there is none.
        measured: The other fields of `EngineHealth` that differ from moment to moment.
    """
    verdict = library_verdict()
    wal_bytes = _size(f"{path}-wal")
    pool: Any = engine.pool
    return EngineHealth(
        hot_cache_size=0 if cache is None else len(cache),
        hot_cache_hits=0 if cache is None else cache.hits,
        hot_cache_misses=0 if cache is None else cache.misses,
        cold_storage_connected=measured["problem"] is None,
        disk_usage=_size(path) + wal_bytes,
        wal_file_size=wal_bytes,
        engine="sqlite",
        library_version=verdict.version,
        library_verdict=verdict.summary,
        pool_size=pool.size(),
        pool_checked_out=pool.checkedout(),
        **measured,
    )


async def ping(backend: Backend) -> tuple[float, str | None]:
    """Ask for something; returns how many milliseconds that took, and what was wrong."""
    started, problem = time.perf_counter(), None
    try:
        await backend.read(_ask)
    except DatabaseError as exc:
        problem = str(exc)
    return round((time.perf_counter() - started) * 1000, 3), problem


def _ask(executor: Executor) -> None:
    executor.execute(select(1)).all()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (only os.stat: design of the lock rule, see tests/integration)
    except FileNotFoundError:
        return 0
