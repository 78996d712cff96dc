"""Looking without writing: whether a claim may find something now, and when it may the next time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, literal_column, or_, select

from agent_system.database.plans import compile_plan
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Select

    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import Plan, TablePlans
    from agent_system.managers.queue.lease_clock import LeaseClock
    from agent_system.models import Job

__all__ = ["Outlook", "Watchman"]

_columns = metadata.tables["queue"].c


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a claim may find."""

    has_ready: bool
    """Whether there are jobs that may be begun, unless a rule forbids it."""
    seconds_to_next: float | None
    """In how long the time of a scheduled job comes, or a lease runs out; None: nothing of the kind is known."""

    @property
    def is_promising(self) -> bool:
        """Whether a claim may find something now."""
        return self.has_ready or self.seconds_to_next == 0


class Watchman:
    """Looks at the queue; on SQLite it takes a few microseconds on the loop's own thread."""

    def __init__(
        self,
        db: DatabaseManager,
        plans: TablePlans[Job],
        clock: Callable[[], datetime],
        lease_clock: LeaseClock,
    ) -> None:
        self._db = db
        self._clock = clock
        self._lease_clock = lease_clock
        self._dialect = plans.dialect
        self._decode: Any = plans.hydrate.processor("due_at") or (lambda moment: moment)
        self._plans: dict[int, Plan] = {}

    async def look(self, types: tuple[str, ...] | None) -> Outlook:
        """Tell what a claim of these types may find; None is all types."""
        if types == ():
            return Outlook(has_ready=False, seconds_to_next=None)
        plan = self._plan(len(types or ()))
        named = {f"type_{number}": task_type for number, task_type in enumerate(types or ())}
        ((has_ready, due_at, lease_expires_at),) = await self._db.fetch(plan, plan.encode(named))
        waits = [
            (self._decode(moment) - now).total_seconds()
            for moment, now in ((due_at, self._clock()), (lease_expires_at, self._lease_clock.now()))
            if moment is not None
        ]
        return Outlook(has_ready=bool(has_ready), seconds_to_next=max(0.0, min(waits)) if waits else None)

    def _plan(self, types: int) -> Plan:
        plan = self._plans.get(types)
        if plan is None:
            plan = self._plans[types] = compile_plan(_statement(types), self._dialect)
        return plan


def _statement(types: int) -> Any:
    kind = _columns.task_type
    ready: Select[Any] = select(literal_column("1")).where(_columns.ready_at.is_not(None))
    of_types = [ready.where(kind == bindparam(f"type_{number}", type_=kind.type)) for number in range(types)]
    has_ready = or_(*(one.exists() for one in of_types or [ready]))
    due, lease = (
        select(column).where(column.is_not(None)).order_by(column).limit(1).scalar_subquery()
        for column in (_columns.due_at, _columns.lease_expires_at)
    )
    return select(has_ready, due, lease)
