"""Reports on the ledger: what its entries add up to, whole or by project, model, user and day."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.core.rules import TableRules
from agent_system.managers.ledger.filters import usage_conditions
from agent_system.managers.ledger.reports import (
    DayTokens,
    HostTokens,
    ModelTokens,
    ProjectTokens,
    RoleTokens,
    TokenSummary,
    UserTokens,
    day_statement,
    grouped_statement,
    host_statement,
    model_statement,
    project_statement,
    summary_statement,
)
from agent_system.managers.ledger.usage_log import UsageStore
from agent_system.models import TokenUsage

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Select

    from agent_system.managers.core.where import Where
    from agent_system.managers.ledger.filters import UsageFilters

__all__ = ["UsageReports"]


class UsageReports(Manager[TokenUsage]):
    """The reading half of `TokenUsageManager`.

    What is missing or unpriced is counted, and corrections change the cost alone. Times are half-open ranges.
    """

    entity = TokenUsage

    @cached_property
    def store(self) -> UsageStore:
        """What units of work are made of."""
        return UsageStore(self._db.dialect, self._clock, TableRules.of(self))

    async def summary(self, where: Where = None, **filters: Unpack[UsageFilters]) -> TokenSummary:
        """Add up entries.

        Args:
            where: Which entries count, as in `list`: a mapping of column to value, or expressions over `TokenUsage`.
            filters: The same in the words of the ledger; see `UsageFilters`.

        Raises:
            ValidationError: There is no such column or filter, or a value is of another type.
        """
        (row,) = await self._read(summary_statement(self._wanted(where, filters)))
        return TokenSummary.of_row(row)

    async def by_project(self, where: Where = None, **filters: Unpack[UsageFilters]) -> builtins.list[ProjectTokens]:
        """Add up the entries of each project, the dearest first; see `summary`."""
        rows = await self._read(project_statement(self._wanted(where, filters)))
        return [ProjectTokens(project_id=row[0], project=row[1], summary=TokenSummary.of_row(row[2:])) for row in rows]

    async def by_model(self, where: Where = None, **filters: Unpack[UsageFilters]) -> builtins.list[ModelTokens]:
        """Add up the entries of each model, by host and name; see `summary`."""
        rows = await self._read(model_statement(self._wanted(where, filters)))
        return [ModelTokens(host=row[0], model=row[1], summary=TokenSummary.of_row(row[2:])) for row in rows]

    async def by_host(self, where: Where = None, **filters: Unpack[UsageFilters]) -> builtins.list[HostTokens]:
        """Add up the entries of each host, by name; see `summary`."""
        rows = await self._read(host_statement(self._wanted(where, filters)))
        return [HostTokens(host=row[0], summary=TokenSummary.of_row(row[1:])) for row in rows]

    async def by_user(self, where: Where = None, **filters: Unpack[UsageFilters]) -> builtins.list[UserTokens]:
        """Add up the entries of each user, the dearest first; see `summary`."""
        rows = await self._read(self._dearest("user_id", self._wanted(where, filters)))
        return [UserTokens(user_id=row[0], summary=TokenSummary.of_row(row[1:])) for row in rows]

    async def by_role(self, where: Where = None, **filters: Unpack[UsageFilters]) -> builtins.list[RoleTokens]:
        """Add up the entries of each role, the dearest first; see `summary`."""
        rows = await self._read(self._dearest("role", self._wanted(where, filters)))
        return [RoleTokens(role=row[0], summary=TokenSummary.of_row(row[1:])) for row in rows]

    async def by_day(
        self, where: Where = None, *, days: int | None = None, **filters: Unpack[UsageFilters]
    ) -> builtins.list[DayTokens]:
        """Add up the entries of each day in UTC, in order; days without an entry are left out. See `summary`.

        Args:
            days: Only the last so many days, today included, from 1.
        """
        if days is not None:
            today = self._clock().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            first = today - timedelta(days=_at_least_one(days, "days") - 1)
            since = filters.get("since")
            filters["since"] = first if since is None else max(aware(since, "since"), first)
        rows = await self._read(day_statement(self._wanted(where, filters)))
        return [DayTokens(day=date.fromisoformat(row[0]), summary=TokenSummary.of_row(row[1:])) for row in rows]

    async def top_spenders(
        self, n: int = 10, where: Where = None, **filters: Unpack[UsageFilters]
    ) -> builtins.list[UserTokens]:
        """Return the users whose entries cost most, the dearest first; see `summary`.

        Args:
            n: At most so many, from 1.
        """
        known = self.plans.columns["user_id"].is_not(None)
        statement = self._dearest("user_id", [known, *self._wanted(where, filters)])
        rows = await self._read(statement.limit(_at_least_one(n, "n")))
        return [UserTokens(user_id=row[0], summary=TokenSummary.of_row(row[1:])) for row in rows]

    async def most_used_model(self, where: Where = None, **filters: Unpack[UsageFilters]) -> ModelTokens | None:
        """Return the model that was called most often, or None when none was; see `summary`."""
        statement = model_statement(self._wanted(where, filters)).order_by(None)
        requests = statement.selected_columns["requests"].desc()
        rows = await self._read(statement.order_by(requests, *statement.selected_columns[:2]).limit(1))
        return (
            ModelTokens(host=rows[0][0], model=rows[0][1], summary=TokenSummary.of_row(rows[0][2:])) if rows else None
        )

    def _wanted(self, where: Where, filters: Mapping[str, Any]) -> builtins.list[ColumnElement[bool]]:
        return usage_conditions(self.plans, where, filters)

    def _dearest(self, key: str, wanted: Sequence[ColumnElement[bool]]) -> Select[Any]:
        statement = grouped_statement(self.plans.columns[key], wanted)
        figures = statement.selected_columns
        return statement.order_by(figures["cost_nano_usd"].desc(), figures["requests"].desc(), figures["key"])

    async def _read(self, statement: Select[Any]) -> Sequence[Any]:
        return await self._db.read(lambda executor: executor.execute(statement).all())


def _at_least_one(number: Any, field: str) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        message = f"{field} must be a whole number from 1, not {number!r}"
        raise ValidationError(message, field=field, entity="TokenUsage")
    return number
