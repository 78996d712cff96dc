"""When a cron expression means: cronsim reads it and knows the changes of the clocks.

Of the parsers that are kept up it is the one without dependencies, with types, and with the rules of Debian's cron for
the hour that a change of the clocks leaves out or repeats (croniter needs two packages and guesses there; apscheduler
brings a scheduler of its own).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent_system.errors import MissingExtraError, ValidationError

__all__ = ["next_time"]

EXTRA = "worker"


def next_time(cron: str, timezone: str, after: datetime) -> datetime:
    """The first time after a moment that an expression means, in UTC.

    Args:
        cron: Five fields: minute, hour, day of the month, month, day of the week.
        timezone: The zone in which they are read, such as Europe/Berlin.

    Raises:
        ValidationError: The expression or the zone is unknown, or there is no such time.
        MissingExtraError: cronsim is not installed.
    """
    try:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415 (an optional extra)
    except ImportError as exc:
        raise MissingExtraError(EXTRA, "A periodic job") from exc
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        message = f"queue_schedules.timezone: there is no time zone {timezone!r}"
        raise ValidationError(message, field="timezone", entity="queue_schedules") from exc
    try:
        times: Any = CronSim(cron, after.astimezone(zone))
        found: datetime = next(times)
    except CronSimError as exc:
        message = f"queue_schedules.cron: {cron!r}: {exc}"
        raise ValidationError(message, field="cron", entity="queue_schedules") from exc
    except StopIteration:
        message = f"queue_schedules.cron: {cron!r} means no time in the next fifty years"
        raise ValidationError(message, field="cron", entity="queue_schedules") from None
    return found.astimezone(UTC)
