"""What an event says about its entity beside those before it: seed 001's two rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.models import metadata
from agent_system.types import Effort, EventOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_system.database.executor import Executor

__all__ = ["FAILURES", "Finding", "findings"]

FAILURES = (EventOutcome.FAILURE, EventOutcome.ERROR, EventOutcome.TIMEOUT)
"""Outcomes that nobody wanted."""

HOUR = timedelta(hours=1)
# How far back an entity's events are looked at, so that one with many does not become slow itself.
LOOKED_AT = 200
# Of fewer events no mean is worth the name.
LEAST_TIMED = 5
SLOW = 1.5

_events = metadata.tables["events"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that could be done better."""

    opportunity_type: str
    description: str
    potential_impact: float
    effort_estimate: Effort = Effort.MEDIUM


def findings(executor: Executor, event: Mapping[str, Any], threshold_failures: int) -> list[Finding]:
    """What an event, which is written already, says beside the newest ones of its entity; by one statement at most."""
    has_failed, duration = event["outcome"] in FAILURES, event["duration_ms"]
    if not has_failed and duration is None:
        return []
    columns = (_events.c.id, _events.c.event_type, _events.c.outcome, _events.c.duration_ms, _events.c.created_at)
    of_entity = (_events.c.entity_type == event["entity_type"], _events.c.entity_id == event["entity_id"])
    newest = select(*columns).where(*of_entity).order_by(_events.c.id.desc()).limit(LOOKED_AT).subquery("newest")
    failed = func.count().filter(newest.c.outcome.in_(FAILURES), newest.c.created_at >= event["created_at"] - HOUR)
    before = (newest.c.event_type == event["event_type"], newest.c.id < event["id"])
    timed = newest.c.duration_ms.is_not(None)
    mean = func.avg(newest.c.duration_ms).filter(*before)
    row: Any = executor.execute(select(failed, func.count().filter(timed, *before), mean)).one()
    failures, known, average = row
    found = []
    if has_failed and failures >= threshold_failures:
        text = f"{failures} failures within an hour"
        found.append(Finding(opportunity_type="repeated_failures", description=text, potential_impact=float(failures)))
    if duration is not None and known >= LEAST_TIMED and average and duration > SLOW * average:
        text = f"{event['event_type']} took {duration:.0f} ms, on average {average:.0f} ms before"
        found.append(Finding(opportunity_type="slow", description=text, potential_impact=duration / average))
    return found
