"""What somebody's memories add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.models import metadata
from agent_system.types import MemoryKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.database.plans import TablePlans
    from agent_system.models import Memory

__all__ = ["MemoryStatistics", "read_statistics", "read_tags"]

WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryStatistics:
    """What some memories add up to."""

    total: int
    last_7_days: int
    """How many of them are from the last seven days, by their `timestamp`."""
    pinned: int
    recalls: int
    """How often they were recalled altogether."""
    average_importance: float | None
    """From 1 to 10; None without memories."""
    first_at: datetime | None
    last_at: datetime | None
    by_kind: dict[MemoryKind, int] = field(default_factory=dict)
    """How many there are of each kind; all kinds are listed."""


def read_statistics(
    executor: Executor, plans: TablePlans[Memory], wanted: ColumnElement[bool], now: datetime
) -> MemoryStatistics:
    """Add up memories in one statement, grouped by kind."""
    columns = plans.columns
    moment, importance = columns["timestamp"], columns["importance"]
    rows: Sequence[Any] = executor.execute(
        select(
            columns["kind"],
            func.count(),
            func.count().filter(moment >= now - WEEK),
            func.count().filter(columns["pinned"]),
            func.sum(columns["recall_count"]),
            func.sum(importance),
            func.min(moment),
            func.max(moment),
        )
        .where(wanted)
        .group_by(columns["kind"])
    ).all()
    total = sum(row[1] for row in rows)
    by_kind: dict[Any, int] = dict.fromkeys(MemoryKind, 0)
    by_kind.update((row[0], row[1]) for row in rows)
    return MemoryStatistics(
        total=total,
        last_7_days=sum(row[2] for row in rows),
        pinned=sum(row[3] for row in rows),
        # PostgreSQL adds 64-bit integers up as numerics.
        recalls=int(sum(row[4] for row in rows)),
        average_importance=float(sum(row[5] for row in rows)) / total if total else None,
        first_at=min((row[6] for row in rows), default=None),
        last_at=max((row[7] for row in rows), default=None),
        by_kind=by_kind,
    )


def read_tags(executor: Executor, plans: TablePlans[Memory], wanted: ColumnElement[bool], limit: int) -> dict[str, int]:
    """Count the memories of each tag, the most used first."""
    tags = metadata.tables["memory_tags"]
    count = func.count()
    statement = (
        select(tags.c.tag, count)
        .join_from(plans.table, tags, tags.c.memory_id == plans.columns["id"])
        .where(wanted)
        .group_by(tags.c.tag)
        .order_by(count.desc(), tags.c.tag)
        .limit(limit)
    )
    rows: Sequence[Any] = executor.execute(statement).all()
    return {row[0]: row[1] for row in rows}
