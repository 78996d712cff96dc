"""Reviews: counters that say when somebody should look at an entity again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, and_, case, cast, or_, select

from agent_system.clock import utc_now
from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.audit.events import EventManager
from agent_system.managers.core.base import Manager
from agent_system.managers.core.entities import stored_key, stored_type
from agent_system.managers.core.where import conditions
from agent_system.managers.reviews.counters import counted, is_due, next_review, reviewed, types_of
from agent_system.managers.reviews.findings import Finding, findings
from agent_system.managers.reviews.opportunities import OpportunityManager
from agent_system.models import Event, OptimizationOpportunity, ReviewCounter, metadata
from agent_system.types import CounterType, ReviewFrequency

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.where import Where

__all__ = ["Observation", "ReviewManager", "ReviewTrigger"]

_counters = metadata.tables["review_counters"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewTrigger:
    """A counter, and how near the next review is."""

    counter: ReviewCounter
    completion_ratio: float
    """The count as a share of the threshold."""
    needs_review: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What an event has led to."""

    event: Event
    due: list[ReviewCounter] = field(default_factory=list)
    """The counters by which a review has become due; they have begun again."""
    opportunities: list[OptimizationOpportunity] = field(default_factory=list)
    """What could be done better, found by this event or found again."""


class ReviewManager(Manager[ReviewCounter]):
    """Reviews: counters that say when somebody should look at an entity again.

    A count, the reset at its threshold and the event that tells of it are one transaction, so that a threshold is
    reached once, however many count at the same time.

    Example:
        >>> await em.reviews.ensure("agent", agent.id, "usage", threshold=100)
        >>> observation = await em.reviews.observe("run.ended", "agent", agent.id, outcome="success", duration_ms=12.5)
        >>> observation.due
        []
    """

    entity = ReviewCounter
    fixed = frozenset({"entity_type", "entity_id", "counter_type"})

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(db, clock=clock)
        self._events = EventManager(db, clock=clock)
        self._opportunities = OpportunityManager(db, clock=clock)

    def normalise(self, values: dict[str, Any]) -> None:
        """Spell the entity as events do."""
        if "entity_type" in values:
            values["entity_type"] = stored_type(values["entity_type"])

    def new_values(self, data: Mapping[str, Any] | ReviewCounter) -> dict[str, Any]:
        """Accept an entity's key as it is, not only as text."""
        if isinstance(data, Mapping) and "entity_id" in data:
            data = {**data, "entity_id": stored_key(data["entity_id"])}
        return super().new_values(data)

    def fill_in(self, values: dict[str, Any]) -> None:
        """Say when the first review will be due by time.

        Raises:
            ValidationError: It depends on a period that was not given.
        """
        if values["frequency"] is not ReviewFrequency.THRESHOLD and values["period_seconds"] is None:
            message = f"review_counters.period_seconds: a {values['frequency']} review needs its period"
            raise ValidationError(message, field="period_seconds", entity=self.store.name)
        if values["next_review_at"] is None:
            values["next_review_at"] = next_review(values, self._clock())

    async def ensure(
        self, entity_type: str, entity_id: Any, counter_type: CounterType | str = CounterType.USAGE, **fields: Any
    ) -> ReviewCounter:
        """Return the counter, which is made when it is not there yet; one that is there stays as it is.

        Args:
            fields: Other columns of a new one: threshold, frequency, period_seconds.

        Raises:
            ValidationError: A value was refused.
        """
        named = {"entity_type": entity_type, "entity_id": entity_id, "counter_type": counter_type}
        values = self.new_values(named | fields)
        insert = self.insertion(values)

        def work(executor: Executor) -> dict[str, Any]:
            found = self._lock(executor, values)
            if found is None:
                insert(executor)
            return found or values

        return self.plans.hydrate.build(await self.run_racing(work, values))

    async def increment(
        self, entity_type: str, entity_id: Any, counter_type: CounterType | str = CounterType.USAGE, amount: int = 1
    ) -> ReviewTrigger:
        """Count something about an entity; a counter that is not there is made with a threshold of 100.

        When this makes a review due, the counter begins again and an event `<entity type>.review_due` is written.

        Raises:
            ValidationError: The amount is below 1, or a value was refused.
        """
        if amount < 1:
            message = f"amount must be at least 1, not {amount}"
            raise ValidationError(message, field="amount", entity=self.store.name)
        named = {"entity_type": entity_type, "entity_id": entity_id, "counter_type": counter_type}
        values = self.new_values(named)
        insert = self.insertion(values)
        tell = self._due_event(values)

        def work(executor: Executor) -> tuple[dict[str, Any], bool]:
            found = self._lock(executor, values)
            if found is None:
                insert(executor)
            return self._count(executor, found or values, amount, tell)

        counter, due = await self.run_racing(work, values)
        return _trigger(self.plans.hydrate.build(counter), needs_review=due)

    async def observe(
        self, event_type: str, entity_type: str, entity_id: Any, *, threshold_failures: int = 3, **fields: Any
    ) -> Observation:
        """Write an event, raise the counters that its entity has, and look for what could be done better.

        All in one transaction. The counter of usage is raised by every event, those of success, failure, error,
        creation and modification by events that tell of one. So many failures within an hour, or an event that took
        more than one and a half times as long as those before it, are an opportunity (seed 001's rules).

        Args:
            threshold_failures: How many failures within an hour make an opportunity.
            fields: Other columns of the event: outcome, duration_ms, data ...

        Raises:
            ValidationError: A field is unknown or has a wrong type.
        """
        named = {"event_type": event_type, "entity_type": entity_type, "entity_id": entity_id}
        event = self._events.new_values({**named, "created_at": self._clock(), **fields})
        write_event = self._events.insertion(event)
        types = types_of(event_type, event["outcome"])
        of_entity = and_(
            _counters.c.entity_type == event["entity_type"],
            _counters.c.entity_id == event["entity_id"],
            _counters.c.counter_type.in_(types),
        )
        lock = select(*_counters.columns).where(of_entity).order_by(_counters.c.id).with_for_update()
        propose = self._opportunities.proposing(event)

        def work(executor: Executor) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            write_event(executor)
            due = []
            for row in executor.execute(lock).all():
                counter = dict(zip(self.plans.hydrate.keys, row, strict=True))
                after, became_due = self._count(executor, counter, 1, self._due_event(counter))
                due += [after] if became_due else []
            found: list[Finding] = findings(executor, event, threshold_failures)
            return due, [propose(executor, finding) for finding in found]

        due, opportunities = await self.run_racing(work, event)
        return Observation(
            event=self._events.plans.hydrate.build(event),
            due=[self.plans.hydrate.build(counter) for counter in due],
            opportunities=[self._opportunities.plans.hydrate.build(values) for values in opportunities],
        )

    async def mark_reviewed(
        self, entity_type: str, entity_id: Any, counter_type: CounterType | str = CounterType.USAGE
    ) -> ReviewCounter:
        """Let a counter begin again because a review was done.

        Raises:
            NotFoundError: There is no such counter.
        """
        values = self.new_values({"entity_type": entity_type, "entity_id": entity_id, "counter_type": counter_type})

        def work(executor: Executor) -> dict[str, Any]:
            found = self._lock(executor, values)
            if found is None:
                raise NotFoundError(self.store.name, (entity_type, entity_id, counter_type))
            return self.store.change(executor, {"id": found["id"]}, reviewed(found, self._clock()))

        return self.plans.hydrate.build(await self.run(work))

    async def triggers(self, where: Where = None, limit: int = 100) -> builtins.list[ReviewTrigger]:
        """Return counters, those whose review is due first, then by how near they are to their thresholds."""
        now = self._clock()
        by_count = and_(_counters.c.frequency != ReviewFrequency.PERIODIC, _counters.c.count >= _counters.c.threshold)
        is_late = or_(by_count, _counters.c.next_review_at <= now)
        ratio = cast(_counters.c.count, Double) / _counters.c.threshold
        order = (case((is_late, 0), else_=1), ratio.desc(), _counters.c.id)
        rows = await self.select(self.query().where(*conditions(self.plans, where)).order_by(*order).limit(limit))
        return [_trigger(row, needs_review=is_due(row.model_dump(), now)) for row in rows]

    async def due(self, limit: int = 100) -> builtins.list[ReviewCounter]:
        """Return the counters whose review is due and was not told of yet: by time, or because they were imported."""
        return [trigger.counter for trigger in await self.triggers(limit=limit) if trigger.needs_review]

    def _lock(self, executor: Executor, values: Mapping[str, Any]) -> dict[str, Any] | None:
        matching = {key: values[key] for key in ("entity_type", "entity_id", "counter_type")}
        key = self.store.find_key(executor, matching)
        return None if key is None else self.store.get(executor, key)

    def _count(
        self, executor: Executor, counter: dict[str, Any], amount: int, tell: Callable[[Executor], None]
    ) -> tuple[dict[str, Any], bool]:
        changes = counted(counter, amount, self._clock())
        after = self.store.change(executor, {"id": counter["id"]}, changes)
        is_new = "review_count" in changes
        if is_new:
            tell(executor)
        return after, is_new

    def _due_event(self, counter: Mapping[str, Any]) -> Callable[[Executor], None]:
        entity_type = counter["entity_type"]
        values = self._events.new_values(
            {
                "event_type": f"{entity_type}.review_due",
                "entity_type": entity_type,
                "entity_id": counter["entity_id"],
                "data": {"counter_type": counter["counter_type"], "threshold": counter["threshold"]},
            }
        )
        return self._events.insertion(values)


def _trigger(counter: ReviewCounter, *, needs_review: bool) -> ReviewTrigger:
    return ReviewTrigger(counter=counter, completion_ratio=counter.count / counter.threshold, needs_review=needs_review)
