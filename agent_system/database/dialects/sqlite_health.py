"""The figures of a SQLite file; only `os.stat` touches it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from agent_system.database.dialects.base import EngineHealth
from agent_system.database.driver import library_verdict

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agent_system.database.cache import HotCache

__all__ = ["describe"]


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


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (only os.stat: design of the lock rule, see tests/integration)
    except FileNotFoundError:
        return 0
