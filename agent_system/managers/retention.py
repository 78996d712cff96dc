"""`em.retention`: which rows go because they are old, or because there are too many of them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, or_, select

from agent_system.errors import ValidationError
from agent_system.managers.core.pruning import delete_in_parts
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Table

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager

__all__ = ["RETAINED", "RetentionManager", "RetentionPolicy"]

RETAINED: Mapping[str, str] = MappingProxyType(
    {
        "agent_status": "timestamp",
        "events": "created_at",
        "file_accesses": "timestamp",
        "games": "updated_at",
        "knowledge_usage": "created_at",
        "links": "timestamp",
        "logs": "timestamp",
        "model_usage_stats": "timestamp",
        "queue": "completed_at",
        "task_activities": "created_at",
        "tool_usage": "timestamp",
    }
)
"""The tables whose rows may go by age or number, with the moment that counts; each row goes alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionPolicy:
    """What stays of one table; at least one of the two limits is given, and a row that breaks either goes.

    Raises:
        ValidationError: The table is none of `RETAINED`, no limit is given, or one is negative.
    """

    table: str
    older_than: timedelta | None = None
    """Rows that are older go."""
    most: int | None = None
    """Only so many rows stay, the newest."""

    def __post_init__(self) -> None:
        if self.table not in RETAINED:
            message = f"retention: {self.table!r} is none of {', '.join(RETAINED)}"
            raise ValidationError(message, field="table")
        if self.older_than is None and self.most is None:
            message = f"retention of {self.table}: say older_than, most, or both"
            raise ValidationError(message, field="older_than")
        if (self.most or 0) < 0 or (self.older_than is not None and self.older_than.total_seconds() < 0):
            message = f"retention of {self.table}: a limit must not be negative"
            raise ValidationError(message, field="most" if (self.most or 0) < 0 else "older_than")


class RetentionManager:
    """Deletes what policies let go, a part at a time, so that no writer waits for it.

    Sealed events stay, because the chain vouches for them; so do jobs that are not over, or with an effect of which
    nobody knows whether it was made.

    Args:
        db: The database.
        clock: What the age of rows is measured by.

    Example:
        >>> await em.retention.apply(RetentionPolicy(table="logs", older_than=timedelta(days=30), most=100_000))
    """

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime]) -> None:
        self._db = db
        self._clock = clock

    async def apply(self, policy: RetentionPolicy) -> int:
        """Delete what a policy lets go; returns how many rows there were."""
        table = metadata.tables[policy.table]
        moment = table.c[RETAINED[policy.table]]
        allowed = _allowed(table)
        removed = 0
        if policy.older_than is not None:
            old = moment < self._clock() - policy.older_than
            removed += await delete_in_parts(self._db, table, [old, *allowed])
        if policy.most is not None:
            beyond = await self._beyond(table, moment, policy.most)
            removed += 0 if beyond is None else await delete_in_parts(self._db, table, [beyond, *allowed])
        return removed

    async def backlog(self, policy: RetentionPolicy) -> bool:
        """Whether there is anything that a policy lets go."""
        table = metadata.tables[policy.table]
        moment = table.c[RETAINED[policy.table]]
        wanted: list[Any] = []
        if policy.older_than is not None:
            wanted.append(moment < self._clock() - policy.older_than)
        if policy.most is not None:
            beyond = await self._beyond(table, moment, policy.most)
            wanted += [] if beyond is None else [beyond]
        if not wanted:
            return False
        statement = select(exists().where(or_(*wanted), *_allowed(table)))
        return bool(await self._db.read(lambda executor: executor.execute(statement).scalar()))

    async def _beyond(self, table: Table, moment: Any, most: int) -> ColumnElement[bool] | None:
        """The condition of rows beyond the newest so many; None when there are no more."""
        (key,) = table.primary_key.columns
        last = select(moment, key).where(moment.is_not(None)).order_by(moment.desc(), key.desc())

        def work(executor: Executor) -> Any:
            return executor.execute(last.offset(most).limit(1)).one_or_none()

        row = await self._db.read(work)
        return None if row is None else or_(moment < row[0], and_(moment == row[0], key <= row[1]))


def _allowed(table: Table) -> list[ColumnElement[bool]]:
    if table.name == "events":
        children = table.alias()
        is_sealed = exists().where(children.c.parent_event_id == table.c.id, children.c.seal_id.is_not(None))
        return [table.c.seal_id.is_(None), ~is_sealed]
    if table.name == "queue":
        effects = metadata.tables["effect_log"]
        return [
            table.c.completed_at.is_not(None),
            ~exists().where(effects.c.job_id == table.c.id, effects.c.state != "done"),
        ]
    return []
