"""The clock that leases are measured by: it goes on when somebody sets the machine's clock.

A date that jumps an hour ahead would end every lease at once, and two workers would run one job; one that jumps back
would keep the jobs of a dead worker for an hour. So leases are counted from the start of the machine. What the date was
then is asked of the database once, and written there for all processes of this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from agent_system.clock import boot, from_microseconds, microseconds_since_boot, to_microseconds, utc_now
from agent_system.database.statements import UnlessThere
from agent_system.models import metadata
from agent_system.models.fields import current_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager

__all__ = ["LeaseClock"]

_clocks = metadata.tables["queue_clocks"]


class LeaseClock:
    """Tells the time by which leases end.

    Args:
        db: Where the machine's start is written down.
        clock: The layer's clock; one that a caller has given is obeyed as it is.
    """

    def __init__(self, db: DatabaseManager, clock: Callable[[], datetime]) -> None:
        self._db = db
        self._given = None if clock is utc_now else clock
        self._started: int | None = None

    async def set(self) -> None:
        """Find out when the machine was started, once; `now` needs it."""
        if self._given is None and self._started is None:
            self._started = await self._find()

    def now(self) -> datetime:
        """The present moment in UTC, or what it would be if nobody had set the machine's clock."""
        if self._given is not None:
            return self._given()
        if self._started is None:
            message = "the clock of leases was not set"
            raise RuntimeError(message)
        return from_microseconds(self._started + microseconds_since_boot())

    async def _find(self) -> int:
        name = boot()
        if name is None:
            # Nothing names this start of the machine, so that the clock is this process's own.
            return to_microseconds(utc_now()) - microseconds_since_boot()
        known = select(_clocks.c.started_microseconds).where(_clocks.c.boot == name)
        found: int | None = await self._db.read(lambda executor: executor.execute(known).scalar())
        return found if found is not None else await self._db.write(lambda executor: _write(executor, name, known))


def _write(executor: Executor, name: str, known: Any) -> int:
    now: datetime = executor.execute(select(current_time())).scalar_one()
    started = to_microseconds(now) - microseconds_since_boot()
    row = {"boot": name, "started_microseconds": started}
    executor.execute(insert(_clocks).values(row).ext(UnlessThere()))
    # Another process may have been faster.
    return int(executor.execute(known).scalar_one())
