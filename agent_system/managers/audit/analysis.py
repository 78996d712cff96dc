"""What events tell when they are looked at together: performance, trends, patterns, and comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, cast, func, literal, select

from agent_system.database.dialects.expressions import utc_hour
from agent_system.managers.core.entities import stored_key, stored_type
from agent_system.managers.core.moments import aware
from agent_system.managers.core.where import conditions
from agent_system.models import metadata
from agent_system.models.columns import Real
from agent_system.types import EventOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.where import Where
    from agent_system.models import Event

__all__ = ["EventAnalysis", "EventErrors", "EventPerformance", "EventSequence", "Rank"]

FAILURES = (EventOutcome.FAILURE, EventOutcome.ERROR, EventOutcome.TIMEOUT)

_events = metadata.tables["events"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventPerformance:
    """What some events say about how well it went."""

    events: int = 0
    succeeded: int = 0
    failed: int = 0
    """Failures, errors and timeouts."""
    timed: int = 0
    """Events that took time; the durations are theirs alone."""
    average_ms: float | None = None
    max_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    earlier_average_ms: float | None = None
    """The average in the first half of the time."""
    later_average_ms: float | None = None
    """The average in its second half."""

    @property
    def success_rate(self) -> float | None:
        """The share of the events with one of these ends that succeeded, 0 to 1; None when there is none."""
        known = self.succeeded + self.failed
        return self.succeeded / known if known else None

    @property
    def trend(self) -> float | None:
        """By how much the later half took longer, as a share of the earlier one; None when one of them has no time."""
        if not self.earlier_average_ms or self.later_average_ms is None:
            return None
        return (self.later_average_ms - self.earlier_average_ms) / self.earlier_average_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class EventErrors:
    """How often one type of event ended in one unwanted way."""

    event_type: str
    outcome: EventOutcome
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EventSequence:
    """How often one type of event followed another, for the same entity."""

    first: str
    then: str
    count: int
    succeeded: int
    """How often the second one was a success."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rank:
    """Where an entity stands among those of its type that have events."""

    success_rate: float | None
    average_ms: float | None
    share_not_more_successful: float | None
    """The share of the entities, itself included, whose success rate is not higher, 0 to 1."""
    share_not_faster: float | None
    """The share of the entities, itself included, that are not faster on average, 0 to 1."""
    entities: int


class EventAnalysis:
    """What events tell when they are looked at together, computed by the database.

    Every verb takes a half-open time and, as `where`, which events count: `{"entity_type": "agent"}` and so on.
    """

    def __init__(self, db: DatabaseManager, plans: TablePlans[Event]) -> None:
        self._db = db
        self._plans = plans

    async def performance(self, since: datetime, until: datetime, where: Where = None) -> EventPerformance:
        """Add up how events ended and how long they took, with percentiles and the trend from half to half."""
        wanted = self._wanted(since, until, where)
        duration, outcome = _events.c.duration_ms, _events.c.outcome
        middle = since + (until - since) / 2
        average = func.avg(duration)
        figures = select(
            func.count(),
            func.count().filter(outcome == EventOutcome.SUCCESS),
            func.count().filter(outcome.in_(FAILURES)),
            func.count(duration),
            average,
            func.max(duration),
            average.filter(_events.c.created_at < middle),
            average.filter(_events.c.created_at >= middle),
        ).where(*wanted)
        share = func.cume_dist().over(order_by=duration).label("share")
        ranked = select(duration, share).where(duration.is_not(None), *wanted).subquery("ranked")
        least = func.min(ranked.c.duration_ms)
        percentiles = select(*(least.filter(ranked.c.share >= literal(part, Real())) for part in (0.5, 0.95)))

        def read(executor: Executor) -> tuple[Any, Any]:
            return executor.execute(figures).one(), executor.execute(percentiles).one()

        row, (p50, p95) = await self._db.read(read)
        names = ("events", "succeeded", "failed", "timed", "average_ms", "max_ms")
        halves = {"earlier_average_ms": row[6], "later_average_ms": row[7]}
        return EventPerformance(**dict(zip(names, row[:6], strict=True)), p50_ms=p50, p95_ms=p95, **halves)

    async def rank(self, entity_type: str, entity_id: Any, since: datetime, until: datetime) -> Rank | None:
        """Return where an entity stands among those of its type; None when it has no events."""
        wanted = self._wanted(since, until, {"entity_type": stored_type(entity_type)})
        outcome = _events.c.outcome
        successes = func.count().filter(outcome == EventOutcome.SUCCESS)
        known = func.count().filter(outcome.in_((EventOutcome.SUCCESS, *FAILURES)))
        rate = (cast(successes, Real()) / func.nullif(known, 0)).label("rate")
        average = func.avg(_events.c.duration_ms).label("average")
        grouped = select(_events.c.entity_id, rate, average).where(*wanted, _events.c.entity_id != "")
        each = grouped.group_by(_events.c.entity_id).subquery("each")
        no_rate, no_time = each.c.rate.is_(None), each.c.average.is_(None)
        by_rate = func.cume_dist().over(partition_by=no_rate, order_by=each.c.rate).label("by_rate")
        by_time = func.cume_dist().over(partition_by=no_time, order_by=each.c.average.desc()).label("by_time")
        ranked = select(each, by_rate, by_time, func.count().over().label("entities")).subquery("ranked")
        statement = select(*(ranked.c[name] for name in ("rate", "average", "by_rate", "by_time", "entities")))
        statement = statement.where(ranked.c.entity_id == stored_key(entity_id))
        row: Any = await self._db.read(lambda executor: executor.execute(statement).first())
        if row is None:
            return None
        return Rank(
            success_rate=row[0],
            average_ms=row[1],
            share_not_more_successful=None if row[0] is None else row[2],
            share_not_faster=None if row[1] is None else row[3],
            entities=row[4],
        )

    async def usage_by_hour(self, since: datetime, until: datetime, where: Where = None) -> dict[int, int]:
        """Count events by the hour of the day in UTC; all 24 are listed."""
        hour = cast(func.substr(utc_hour(_events.c.created_at), 12, 2), Integer).label("hour")
        statement = select(hour, func.count()).where(*self._wanted(since, until, where)).group_by(hour)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return dict.fromkeys(range(24), 0) | {row[0]: row[1] for row in rows}

    async def errors(self, since: datetime, until: datetime, where: Where = None, limit: int = 20) -> list[EventErrors]:
        """Count the events of each type that ended in each unwanted way, the most frequent first."""
        columns = (_events.c.event_type, _events.c.outcome)
        wanted = [_events.c.outcome.in_(FAILURES), *self._wanted(since, until, where)]
        counted = select(*columns, func.count()).where(*wanted).group_by(*columns)
        statement = counted.order_by(func.count().desc(), *columns).limit(limit)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [EventErrors(event_type=row[0], outcome=row[1], count=row[2]) for row in rows]

    async def sequences(
        self, since: datetime, until: datetime, where: Where = None, *, least: int = 2, limit: int = 20
    ) -> list[EventSequence]:
        """Count which type of event followed which, for the same entity, the most frequent first.

        Args:
            least: Only what happened so often.
        """
        entity = (_events.c.entity_type, _events.c.entity_id)
        before = func.lag(_events.c.event_type).over(partition_by=entity, order_by=_events.c.id).label("first")
        columns = (before, _events.c.event_type.label("then"), _events.c.outcome)
        pairs = select(*columns).where(*self._wanted(since, until, where)).subquery("pairs")
        succeeded = func.count().filter(pairs.c.outcome == EventOutcome.SUCCESS)
        counted = select(pairs.c.first, pairs.c.then, func.count(), succeeded).where(pairs.c.first.is_not(None))
        grouped = counted.group_by(pairs.c.first, pairs.c.then).having(func.count() >= least)
        statement = grouped.order_by(func.count().desc(), pairs.c.first, pairs.c.then).limit(limit)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [EventSequence(first=row[0], then=row[1], count=row[2], succeeded=row[3]) for row in rows]

    def _wanted(self, since: datetime, until: datetime, where: Where) -> list[Any]:
        moment = _events.c.created_at
        return [moment >= aware(since, "since"), moment < aware(until, "until"), *conditions(self._plans, where)]
