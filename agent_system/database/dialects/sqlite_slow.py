"""Slow statements of SQLite: how its plans are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.database.engine import TRANSACTION_MODE
from agent_system.database.slow_queries import SlowQueries

if TYPE_CHECKING:
    from agent_system.settings import DatabaseSettings

__all__ = ["slow_queries_of"]

# https://sqlite.org/eqp.html; the last column tells.
EXPLAIN = "EXPLAIN QUERY PLAN"


def slow_queries_of(settings: DatabaseSettings) -> SlowQueries | None:
    """The log of slow statements that the settings ask for; None: they ask for none."""
    if settings.slow_query_milliseconds is None:
        return None
    return SlowQueries(settings.slow_query_milliseconds / 1000, EXPLAIN, {TRANSACTION_MODE: "DEFERRED"})
