"""What the calls of models add up to, in SQL; what nobody measured is counted, never added as 0."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, case, func, select

from agent_system.database.dialects.expressions import unindexed, utc_day
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy import ColumnElement, Select

__all__ = [
    "DayUsage",
    "ModelPerformance",
    "ModelUsageTotals",
    "SpenderUsage",
    "ToolPerformance",
    "UserUsage",
    "by_day",
    "by_model",
    "by_spender",
    "by_tools",
    "most_used",
    "of_user",
    "totals",
]

_usage = metadata.tables["model_usage_stats"]
_identities = metadata.tables["user_identities"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelUsageTotals:
    """What calls add up to."""

    calls: int
    succeeded: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    counted: int
    """Calls whose tokens somebody counted; the averages of tokens are theirs alone."""
    timed: int
    """Calls whose time was measured; the average is theirs alone."""
    response_time_ms: float
    """How long these took in all."""
    priced: int
    """Calls whose cost is known."""
    estimated_cost: float
    """What these cost, in US dollars."""

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> ModelUsageTotals:
        """Read what the sums of a statement selected."""
        # PostgreSQL adds 64-bit integers up as numerics.
        kinds = {"response_time_ms": float, "estimated_cost": float}
        names = (field.name for field in fields(cls))
        values: dict[str, Any] = {name: kinds.get(name, int)(value) for name, value in zip(names, row, strict=True)}
        return cls(**values)

    @property
    def failed(self) -> int:
        """Calls that did not succeed."""
        return self.calls - self.succeeded

    @property
    def unpriced(self) -> int:
        """Calls whose cost nobody knows."""
        return self.calls - self.priced

    @property
    def success_rate(self) -> float | None:
        """The share of the calls that succeeded, 0 to 1; None without calls."""
        return self.succeeded / self.calls if self.calls else None

    @property
    def average_total_tokens(self) -> float | None:
        """Tokens of a call on average; None when nobody counted any."""
        return self.total_tokens / self.counted if self.counted else None

    @property
    def average_response_time_ms(self) -> float | None:
        """Milliseconds of a call on average; None when nobody measured any."""
        return self.response_time_ms / self.timed if self.timed else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelPerformance:
    """What the calls of one model add up to."""

    model_name: str
    totals: ModelUsageTotals


@dataclass(frozen=True, kw_only=True, slots=True)
class DayUsage:
    """What the calls of one day add up to."""

    day: date
    """The day, in UTC."""
    totals: ModelUsageTotals


@dataclass(frozen=True, kw_only=True, slots=True)
class UserUsage:
    """What the calls of one person add up to."""

    user_id: str
    totals: ModelUsageTotals
    most_used_model: str | None
    """The model that was called most often; None without calls."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpenderUsage:
    """Somebody who spends much."""

    user_id: str
    display_name: str
    totals: ModelUsageTotals


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolPerformance:
    """What a model made of tools."""

    model_name: str
    calls: int
    calls_with_tools: int
    """Calls in whose answers tool calls were found."""
    detected: int
    """Tool calls that were found."""
    executed: int
    """Those of them that were carried out."""
    average_response_time_ms: float | None
    """Milliseconds of a call on average; None when nobody measured any."""

    @property
    def detected_percent(self) -> float | None:
        """In how many of a hundred calls the model asked for tools; None without calls."""
        return 100 * self.calls_with_tools / self.calls if self.calls else None

    @property
    def executed_percent(self) -> float | None:
        """How many of a hundred tool calls were carried out; None without any."""
        return 100 * self.executed / self.detected if self.detected else None


def totals(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """All calls."""
    return select(*_sums()).where(*conditions)


def by_model(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The calls of each model, the most called first."""
    name = unindexed(_usage.c.model_name)
    statement = select(name, *_sums()).where(*conditions).group_by(name)
    return statement.order_by(func.count().desc(), name)


def by_day(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The calls of each day on which there were any, the earliest first."""
    day = utc_day(_usage.c.timestamp)
    return select(day, *_sums()).where(*conditions).group_by(day).order_by(day)


def by_spender(conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any]:
    """The calls of those who cost most, with their names."""
    user, name = unindexed(_usage.c.user_id), _identities.c.display_name
    cost = func.coalesce(func.sum(_usage.c.estimated_cost), 0.0)
    return (
        select(user, name, *_sums())
        .select_from(_usage.join(_identities, _identities.c.id == _usage.c.user_id))
        .where(*conditions)
        .group_by(user, name)
        .order_by(cost.desc(), func.count().desc(), user)
        .limit(limit)
    )


def by_tools(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """What each model made of tools, the most called first."""
    name, detected = unindexed(_usage.c.model_name), _usage.c.capabilities_detected
    sums: list[ColumnElement[Any]] = [
        func.count(),
        func.count(case((detected > 0, 1))),
        func.sum(detected),
        func.sum(_usage.c.capabilities_executed),
        func.avg(_usage.c.response_time_ms, type_=Float()),
    ]
    statement = select(name, *sums).where(*conditions).group_by(name)
    return statement.order_by(func.count().desc(), name)


def most_used(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The name of the model that was called most often."""
    name = unindexed(_usage.c.model_name)
    return select(name).where(*conditions).group_by(name).order_by(func.count().desc(), name).limit(1)


def of_user(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The calls of one person, with the model that was called most often."""
    return select(most_used(conditions).scalar_subquery(), *_sums()).where(*conditions)


def _sums() -> list[ColumnElement[Any]]:
    """What `ModelUsageTotals` is made of, in the order of its fields."""
    columns = _usage.c
    return [
        func.count(),
        func.count(case((columns.success, 1))),
        func.coalesce(func.sum(columns.prompt_tokens), 0),
        func.coalesce(func.sum(columns.completion_tokens), 0),
        func.coalesce(func.sum(columns.total_tokens), 0),
        func.count(columns.total_tokens),
        func.count(columns.response_time_ms),
        func.coalesce(func.sum(columns.response_time_ms), 0),
        func.count(columns.estimated_cost),
        func.coalesce(func.sum(columns.estimated_cost), 0.0),
    ]
