"""What a count or the time does to a review counter; the counter is locked by whoever asks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from agent_system.types import CounterType, EventOutcome, ReviewFrequency

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["counted", "is_due", "next_review", "reviewed", "types_of"]

_OUTCOMES = {
    EventOutcome.SUCCESS: CounterType.SUCCESS,
    EventOutcome.FAILURE: CounterType.FAILURE,
    EventOutcome.ERROR: CounterType.ERROR,
    EventOutcome.TIMEOUT: CounterType.ERROR,
}
_ENDINGS = {"created": CounterType.CREATION, "updated": CounterType.MODIFICATION, "modified": CounterType.MODIFICATION}


def counted(counter: Mapping[str, Any], amount: int, now: datetime) -> dict[str, Any]:
    """What changes in a counter when something happened so often; when a review is due, it begins again."""
    count = counter["count"] + amount
    changes = {"count": count, "total_count": counter["total_count"] + amount}
    if is_due({**counter, "count": count}, now):
        changes |= reviewed(counter, now)
        if counter["frequency"] != ReviewFrequency.PERIODIC:
            changes["count"] = count % counter["threshold"]
    return changes


def is_due(counter: Mapping[str, Any], now: datetime) -> bool:
    """Whether a review is due, by the count or by the time."""
    by_count = counter["frequency"] != ReviewFrequency.PERIODIC and counter["count"] >= counter["threshold"]
    return by_count or (counter["next_review_at"] is not None and counter["next_review_at"] <= now)


def reviewed(counter: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What changes in a counter when a review becomes due, or was done."""
    following = next_review(counter, now)
    return {
        "count": 0,
        "review_count": counter["review_count"] + 1,
        "last_review_at": now,
        "next_review_at": following,
    }


def next_review(counter: Mapping[str, Any], now: datetime) -> datetime | None:
    """When the next review will be due by time; None when time does not matter."""
    if counter["frequency"] == ReviewFrequency.THRESHOLD or counter["period_seconds"] is None:
        return None
    following: datetime = now + timedelta(seconds=counter["period_seconds"])
    return following


def types_of(event_type: str, outcome: EventOutcome | None) -> list[CounterType]:
    """Which counters an event raises: usage, and what its name and its outcome tell."""
    types = [CounterType.USAGE]
    ending = _ENDINGS.get(event_type.rpartition(".")[2])
    if ending is not None:
        types.append(ending)
    if outcome in _OUTCOMES:
        types.append(_OUTCOMES[outcome])
    return types
