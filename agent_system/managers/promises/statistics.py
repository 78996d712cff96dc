"""How promises are kept: by status, by type, by day, by week and by chat."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, case, func, literal_column, select

from agent_system.database.dialects.durations import epoch_bucket, seconds_between
from agent_system.errors import ValidationError
from agent_system.managers.core.moments import within
from agent_system.managers.promises.dependents import ENDED
from agent_system.models import metadata
from agent_system.types import PromiseStatus, PromiseType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager

__all__ = ["ChatPromises", "PromiseFigures", "PromisePeriod", "PromiseStatistics", "measure"]

_columns = metadata.tables["promises"].c
_EPOCH = date(1970, 1, 1)
_DAY = 86_400
# Weeks begin on Mondays; the first of 1970 was a Thursday.
_SHIFT = 3 * _DAY


@dataclass(frozen=True, kw_only=True, slots=True)
class PromiseFigures:
    """What is known of some promises."""

    count: int = 0
    """How many there are."""
    chats: int = 0
    """In how many chats."""
    completed: int = 0
    """How many were kept."""
    ended: int = 0
    """How many are over, in whatever way."""
    mean_seconds: float | None = None
    """How long those took that have begun and ended, in seconds from the start; None when none has."""

    @property
    def success_rate(self) -> float | None:
        """The share of those that are over which were kept, 0 to 1; None when none is over."""
        return self.completed / self.ended if self.ended else None


@dataclass(frozen=True, kw_only=True, slots=True)
class PromisePeriod(PromiseFigures):
    """The promises that were made on one day, or in one week."""

    begins: date
    """The day in UTC; of a week its Monday."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatPromises(PromiseFigures):
    """The promises of one chat."""

    chat_id: int
    """The chat."""
    latest_at: datetime
    """When the newest of them was made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromiseStatistics:
    """How the promises of a time are kept."""

    all: PromiseFigures
    """All of them."""
    by_status: dict[PromiseStatus, PromiseFigures]
    """By where they stand; every status is listed."""
    by_type: dict[PromiseType, PromiseFigures]
    """By the kind of work; every type is listed."""
    daily: list[PromisePeriod]
    """By the day on which they were made, the first one first; days without any are left out."""
    weekly: list[PromisePeriod]
    """By the week in which they were made, the first one first; weeks without any are left out."""
    most_active: list[ChatPromises]
    """The chats with most of them, of two with as many the one with the newest."""


async def measure(db: DatabaseManager, since: datetime | None, until: datetime | None, chats: int) -> PromiseStatistics:
    """Measure the promises that were made in [since, until).

    Raises:
        ValidationError: A moment has no time zone, or `chats` is below 1.
    """
    if chats < 1:
        message = f"chats is at least 1, not {chats}"
        raise ValidationError(message, field="chats")
    wanted = within(_columns.created_at, since, until)

    def read(executor: Executor) -> PromiseStatistics:
        statuses = {row[-1]: _figures(row) for row in _grouped(executor, _columns.status, wanted)}
        types = {row[-1]: _figures(row) for row in _grouped(executor, _columns.task_type, wanted)}
        return PromiseStatistics(
            all=_figures(executor.execute(select(*_measures()).where(*wanted)).one()),
            by_status={status: statuses.get(status, PromiseFigures()) for status in PromiseStatus},
            by_type={kind: types.get(kind, PromiseFigures()) for kind in PromiseType},
            daily=_periods(executor, _day(), wanted),
            weekly=_periods(executor, _week(), wanted),
            most_active=_chats(executor, wanted, chats),
        )

    return await db.read(read)


def _measures() -> list[Any]:
    ended = _columns.status.in_(ENDED)
    took = case((ended, seconds_between(_columns.started_at, _columns.completed_at)))
    return [
        func.count(),
        func.count(_columns.chat_id.distinct()),
        func.count(case((_columns.status == PromiseStatus.COMPLETED, literal_column("1")))),
        func.count(case((ended, literal_column("1")))),
        func.avg(took),
    ]


def _figures(row: Any) -> PromiseFigures:
    return PromiseFigures(**_named(row))


def _named(row: Any) -> dict[str, Any]:
    count, chats, completed, ended, mean = row[:5]
    seconds = None if mean is None else float(mean)
    return {"count": count, "chats": chats, "completed": completed, "ended": ended, "mean_seconds": seconds}


def _grouped(executor: Executor, group: Any, wanted: Any) -> Any:
    return executor.execute(select(*_measures(), group.label("of")).where(*wanted).group_by("of").order_by("of")).all()


def _day() -> Any:
    return epoch_bucket(_columns.created_at, literal_column(str(_DAY)))


def _week() -> Any:
    shift: Any = literal_column(str(_SHIFT), BigInteger())
    week: Any = literal_column(str(7 * _DAY), BigInteger())
    return (_day() + shift) // week * week - shift


def _periods(executor: Executor, bucket: Any, wanted: Any) -> list[PromisePeriod]:
    return [
        PromisePeriod(begins=_EPOCH + timedelta(seconds=int(row[-1])), **_named(row))
        for row in _grouped(executor, bucket, wanted)
    ]


def _chats(executor: Executor, wanted: Any, limit: int) -> list[ChatPromises]:
    latest = func.max(_columns.created_at)
    statement = select(*_measures(), latest, _columns.chat_id).where(*wanted).group_by(_columns.chat_id)
    statement = statement.order_by(func.count().desc(), latest.desc(), _columns.chat_id).limit(limit)
    rows: Sequence[Any] = executor.execute(statement).all()
    return [ChatPromises(chat_id=row[6], latest_at=row[5].astimezone(UTC), **_named(row)) for row in rows]
