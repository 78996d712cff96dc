"""Keeping memories in order: what expired goes, what nobody recalls fades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, delete, func, select, update

from agent_system.types import MemoryStatus

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Table

    from agent_system.database.executor import Executor

__all__ = ["fade_some", "sweep_some"]


def sweep_some(executor: Executor, memories: Table, now: datetime, limit: int) -> int:
    """Delete at most so many expired memories, with all that hangs on them; returns how many."""
    expired = select(memories.c.id).where(memories.c.expires_at <= now).order_by(memories.c.expires_at).limit(limit)
    return executor.execute(delete(memories).where(memories.c.id.in_(expired))).rowcount


def fade_some(
    executor: Executor, memories: Table, wanted: ColumnElement[bool], now: datetime, stale: datetime, limit: int
) -> int:
    """Lower the importance of at most so many memories by one; returns how many.

    Args:
        wanted: Which memories, as a condition on their table.
        stale: Neither recalled nor faded since then.
    """
    columns: Any = memories.c
    last_used = func.coalesce(columns.last_recalled_at, columns.timestamp)
    # A memory that was recalled since it faded starts anew.
    last = case(
        (columns.faded_at.is_(None), last_used), (columns.faded_at > last_used, columns.faded_at), else_=last_used
    )
    fading = (
        select(columns.id)
        .where(wanted, columns.status == MemoryStatus.ACTIVE, ~columns.pinned, columns.importance > 1, last < stale)
        .order_by(columns.id)
        .limit(limit)
    )
    statement = update(memories).where(columns.id.in_(fading))
    faded = statement.values(
        importance=columns.importance - 1, faded_at=now, version=columns.version + 1, updated_at=now
    )
    return executor.execute(faded).rowcount
