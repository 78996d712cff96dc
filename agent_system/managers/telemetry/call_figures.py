"""What tool calls add up to: counts and durations of any group of them, computed by the database."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import and_, func, literal, null, select

from agent_system.managers.telemetry.call_log import IN_PROGRESS
from agent_system.models import metadata
from agent_system.models.columns import Real
from agent_system.types import ToolCallState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.executor import Executor

__all__ = ["CallFigures", "GroupFigures", "Rank", "ToolStatistics", "figures_of_all", "figures_of_groups"]

Rank: TypeAlias = Literal["calls", "succeeded", "failed", "average_duration_ms", "max_duration_ms", "total_duration_ms"]

MEDIAN, HIGH = 0.5, 0.95

_calls = metadata.tables["tool_usage"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFigures:
    """What some calls add up to."""

    calls: int = 0
    succeeded: int = 0
    failed: int = 0
    in_progress: int = 0
    """Calls that have not ended."""
    interrupted: int = 0
    """Calls that were given up."""
    timed: int = 0
    """Calls whose duration was measured; the durations are theirs alone."""
    min_duration_ms: float | None = None
    average_duration_ms: float | None = None
    max_duration_ms: float | None = None
    total_duration_ms: float | None = None
    p50_duration_ms: float | None = None
    """The shortest duration that at least half of the timed calls do not exceed."""
    p95_duration_ms: float | None = None
    """The shortest duration that at least 95 % of the timed calls do not exceed."""

    @property
    def unknown(self) -> int:
        """Calls that have ended, nobody can tell how."""
        return self.calls - self.succeeded - self.failed - self.in_progress - self.interrupted

    @property
    def success_rate(self) -> float | None:
        """The share of the calls with a known end that succeeded, 0 to 1; None when there is none."""
        known = self.succeeded + self.failed
        return self.succeeded / known if known else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolStatistics(CallFigures):
    """What the calls of one tool add up to."""

    tool_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupFigures(CallFigures):
    """What the calls with one value in a column add up to."""

    key: Any
    """The value: the key of a task or an agent, the id of a session ..."""


_PERCENTILES = ("p50_duration_ms", "p95_duration_ms")
_COLUMNS = tuple(field.name for field in fields(CallFigures) if field.name not in _PERCENTILES)


def figures_of_groups(
    executor: Executor, key: Any, wanted: Sequence[ColumnElement[bool]], *, rank_by: Rank, limit: int | None
) -> Iterable[tuple[Any, dict[str, Any]]]:
    """Add up the calls of each value of a column, by two statements however many there are.

    Args:
        rank_by: Which figure comes first when it is highest.
        limit: At most so many groups; None is all.
    """
    columns = {column.name: column for column in _added_up()}
    highest = [columns[rank_by].desc().nulls_last(), key]
    rows = executor.execute(
        select(key, *_added_up()).where(*wanted).group_by(key).order_by(*highest).limit(limit)
    ).all()
    if limit is not None:
        wanted = [*wanted, key.in_([row[0] for row in rows])]
    middle: dict[Any, Any] = {row[0]: row[1:] for row in executor.execute(_percentiles(key, wanted)).all()}
    for row in rows:
        figures: dict[str, Any] = dict(zip(_COLUMNS, row[1:], strict=True))
        yield row[0], figures | dict(zip(_PERCENTILES, middle.get(row[0], (None, None)), strict=True))


def figures_of_all(executor: Executor, wanted: Sequence[ColumnElement[bool]]) -> CallFigures:
    """Add up calls, by two statements."""
    figures = executor.execute(select(*_added_up()).where(*wanted)).one()
    row = executor.execute(_percentiles(null(), wanted)).first()
    middle = (None, None) if row is None else row[1:]
    return CallFigures(**dict(zip((*_COLUMNS, *_PERCENTILES), (*figures, *middle), strict=True)))


def _added_up() -> list[Any]:
    success, state, duration = _calls.c.success, _calls.c.state, _calls.c.duration_ms
    is_open = success.is_(None)
    figures = {
        "calls": func.count(),
        "succeeded": func.count().filter(success.is_(True)),
        "failed": func.count().filter(success.is_(False)),
        "in_progress": func.count().filter(and_(is_open, IN_PROGRESS)),
        "interrupted": func.count().filter(and_(is_open, state == ToolCallState.INTERRUPTED)),
        "timed": func.count(duration),
        "min_duration_ms": func.min(duration),
        "average_duration_ms": func.avg(duration),
        "max_duration_ms": func.max(duration),
        "total_duration_ms": func.sum(duration),
    }
    return [expression.label(name) for name, expression in figures.items()]


def _percentiles(key: Any, wanted: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The percentiles of each group as SQL's percentile_disc defines them, in words that both engines know.

    CUME_DIST() tells for each row how many of its group it does not exceed; 116 ms for 100,000 calls on SQLite, where
    ROW_NUMBER() beside COUNT() took 197.
    """
    duration = _calls.c.duration_ms
    share = func.cume_dist().over(partition_by=key, order_by=duration).label("share")
    ranked = select(key.label("key"), duration, share).where(duration.is_not(None), *wanted).subquery("ranked")
    smallest = func.min(ranked.c.duration_ms)
    parts = [smallest.filter(ranked.c.share >= literal(part, Real())) for part in (MEDIAN, HIGH)]
    return select(ranked.c.key, *parts).group_by(ranked.c.key)
