"""What the entries of the ledger add up to, in SQL; what is missing is counted, never added as 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, select

from agent_system.database.dialects.expressions import utc_day
from agent_system.models import metadata
from agent_system.types import LedgerEntryKind, UsageState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select

    from agent_system.models import TokenUsage

__all__ = [
    "DayTokens",
    "HostTokens",
    "ModelTokens",
    "ProjectTokens",
    "RoleTokens",
    "TokenSummary",
    "UserTokens",
    "day_statement",
    "grouped_statement",
    "host_statement",
    "model_statement",
    "project_statement",
    "summary_statement",
]

_hosts = metadata.tables["hosts"]
_models = metadata.tables["models"]
_projects = metadata.tables["projects"]
_usage = metadata.tables["token_usage"]

NANO = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSummary:
    """What ledger entries add up to."""

    requests: int
    """Calls to models; corrections change the cost and are no calls."""
    failed: int
    """Those of them that did not succeed."""
    missing: int
    """Those of them whose tokens nobody reported."""
    unpriced: int
    """Those of them whose cost nobody knows, not even by a correction; their tokens are counted."""
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    """Those of input_tokens that came from a cache."""
    cache_creation_input_tokens: int
    """Those of input_tokens that were written to a cache."""
    reasoning_output_tokens: int
    """Those of output_tokens that were reasoning."""
    cost_nano_usd: int
    """The cost of the priced entries, corrections included."""
    timed: int
    """Calls whose time was measured."""
    response_time_ms: float
    """How long these took in all."""

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> TokenSummary:
        """Read what the sums of a statement selected."""
        # PostgreSQL adds 64-bit integers up as numerics.
        *whole, milliseconds = row
        return cls(**dict(zip(SUMS, map(int, whole), strict=True)), response_time_ms=float(milliseconds))

    @classmethod
    def of_calls(cls, rows: Sequence[TokenUsage]) -> TokenSummary:
        """Add up calls that are at hand."""
        return cls(
            requests=len(rows),
            failed=sum(not row.success for row in rows),
            missing=sum(row.usage_state == UsageState.MISSING for row in rows),
            unpriced=sum(row.cost_nano_usd is None for row in rows),
            **{name: sum(getattr(row, name) or 0 for row in rows) for name in SUMS[4:10]},
            timed=sum(row.response_time_ms is not None for row in rows),
            response_time_ms=sum(row.response_time_ms or 0.0 for row in rows),
        )

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @property
    def cost_usd(self) -> float:
        """The cost in US dollars."""
        return self.cost_nano_usd / NANO

    @property
    def average_cost_usd(self) -> float | None:
        """What a priced call cost on average, in dollars; None when none is priced."""
        priced = self.requests - self.unpriced
        return self.cost_usd / priced if priced else None

    @property
    def average_tokens(self) -> float | None:
        """Tokens of a call that reported any, on average; None when none did."""
        reported = self.requests - self.missing
        return self.total_tokens / reported if reported else None

    @property
    def average_response_time_ms(self) -> float | None:
        """Milliseconds that a call took on average; None when none was measured."""
        return self.response_time_ms / self.timed if self.timed else None


SUMS = tuple(name for name in TokenSummary.__slots__ if name != "response_time_ms")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectTokens:
    """What the calls for one project add up to."""

    project_id: UUID | None
    """None: calls for no project, or for one that was deleted."""
    project: str | None
    summary: TokenSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class HostTokens:
    """What the calls to one host add up to."""

    host: str
    summary: TokenSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTokens:
    """What the calls to one model add up to."""

    host: str
    model: str
    summary: TokenSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class UserTokens:
    """What the calls of one user add up to."""

    user_id: str | None
    """None: calls of which nobody knows who caused them."""
    summary: TokenSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleTokens:
    """What the calls made in one role add up to."""

    role: str | None
    """None: calls of which it was not said."""
    summary: TokenSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class DayTokens:
    """What the calls of one day add up to."""

    day: date
    """The day in UTC."""
    summary: TokenSummary


def sums() -> list[Any]:
    """The figures of a `TokenSummary`, in its order."""
    usage = _usage.c
    is_call = usage.kind == LedgerEntryKind.USAGE
    correction = _usage.alias("correction")
    is_corrected = exists(select(correction.c.id).where(correction.c.corrects_id == usage.id))
    calls = func.count()
    figures = [
        calls.filter(is_call),
        calls.filter(is_call, usage.success.is_(False)),
        calls.filter(is_call, usage.usage_state == UsageState.MISSING),
        calls.filter(is_call, usage.cost_nano_usd.is_(None), ~is_corrected),
        *(func.coalesce(func.sum(usage[name]), 0) for name in SUMS[4:10]),
        func.count(usage.response_time_ms),
        func.coalesce(func.sum(usage.response_time_ms), 0.0),
    ]
    return [figure.label(name) for figure, name in zip(figures, (*SUMS, "response_time_ms"), strict=True)]


def summary_statement(wanted: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """All entries that fulfil the conditions in one row."""
    return select(*sums()).select_from(_usage).where(*wanted)


def grouped_statement(key: ColumnElement[Any], wanted: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """A row for each value of a column (or expression), which comes first, under the name `key`."""
    named = key.label("key")
    return select(named, *sums()).select_from(_usage).where(*wanted).group_by(named)


def day_statement(wanted: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """A row for each day on which there was a call, in order."""
    by_day = grouped_statement(utc_day(_usage.c.timestamp), wanted)
    return by_day.order_by(by_day.selected_columns.key)


def project_statement(wanted: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """A row for each project, which comes first with its name, the dearest first."""
    # Outer joins throughout: an entry whose project is gone still cost what it cost.
    by_key = grouped_statement(_usage.c.project_id, wanted).subquery()
    joined = by_key.outerjoin(_projects, _projects.c.id == by_key.c.key)
    return (
        select(by_key.c.key, _projects.c.name, *_figures(by_key))
        .select_from(joined)
        .order_by(by_key.c.cost_nano_usd.desc(), _projects.c.name_key)
    )


def model_statement(wanted: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """A row for each model, which comes first with its host, in the order of their names."""
    by_key = grouped_statement(_usage.c.model_id, wanted).subquery()
    joined = by_key.outerjoin(_models, _models.c.id == by_key.c.key).outerjoin(_hosts, _hosts.c.id == _models.c.host_id)
    named = select(_hosts.c.name, _models.c.name, *_figures(by_key)).select_from(joined)
    return named.order_by(_hosts.c.name, _models.c.name, by_key.c.key)


def host_statement(wanted: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """A row for each host, which comes first, in the order of their names."""
    by_key = grouped_statement(_usage.c.model_id, wanted).subquery()
    joined = by_key.outerjoin(_models, _models.c.id == by_key.c.key).outerjoin(_hosts, _hosts.c.id == _models.c.host_id)
    added = [func.sum(figure) for figure in _figures(by_key)]
    return (
        select(_hosts.c.name, *added).select_from(joined).group_by(_hosts.c.id, _hosts.c.name).order_by(_hosts.c.name)
    )


def _figures(by_key: Any) -> list[Any]:
    return [by_key.c[name] for name in (*SUMS, "response_time_ms")]
