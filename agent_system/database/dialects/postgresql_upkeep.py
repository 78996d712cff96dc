"""What keeps a PostgreSQL server from taking dead rows away: transactions that are open for long."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["warn_of_long_transactions"]

logger = logging.getLogger(__name__)

# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
_LONG = text(
    """
    SELECT pid, COALESCE(NULLIF(application_name, ''), usename, '?'), COALESCE(state, '?'),
        EXTRACT(epoch FROM now() - xact_start)
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND xact_start < now() - make_interval(secs => :seconds)
    ORDER BY xact_start LIMIT 5
    """
)


async def warn_of_long_transactions(connection: AsyncConnection, seconds: float) -> None:
    """Warn of the oldest transactions on the database that are open for longer than this."""
    for pid, name, state, age in await connection.execute(_LONG, {"seconds": seconds}):
        logger.warning("a transaction of process %s (%s, %s) has been open for %.0f s", pid, name, state, age)
