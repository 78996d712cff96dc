"""Model usage: how well models serve, call by call, and what the calls add up to."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import within
from agent_system.managers.core.where import equals
from agent_system.managers.ledger.model_usage_reports import (
    DayUsage,
    ModelPerformance,
    ModelUsageTotals,
    SpenderUsage,
    ToolPerformance,
    UserUsage,
    by_day,
    by_model,
    by_spender,
    by_tools,
    most_used,
    of_user,
    totals,
)
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.models import ModelUsage

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from typing import Unpack

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.executor import Executor
    from agent_system.managers.users.identity_writer import IdentityWriter

__all__ = ["ModelCallFilters", "ModelUsageManager"]

DEFAULT_SPENDERS = 10


class ModelCallFilters(TypedDict, total=False):
    """Which calls count: those that fulfil all of these; what is None, or left out, does not matter."""

    user_id: str | None
    model_name: str | None
    since: datetime | None
    """Calls from this moment on, aware."""
    until: datetime | None
    """Calls before this moment, aware."""


class ModelUsageManager(Manager[ModelUsage]):
    """Model usage: how well models serve.

    Somebody who was not seen before gets an identity in the transaction of the call. Each report is one statement.

    Example:
        >>> await em.model_usage.record("gpt-4", user_id="ada", prompt_tokens=684, completion_tokens=122)
        >>> [each.model_name for each in await em.model_usage.by_model()]
        ['gpt-4']
    """

    entity = ModelUsage

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)

    def fill_in(self, values: dict[str, Any]) -> None:
        """Tokens in all are those read and those written, unless somebody counted otherwise."""
        read, written = values["prompt_tokens"], values["completion_tokens"]
        if values["total_tokens"] is None and read is not None and written is not None:
            values["total_tokens"] = read + written

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """What writes a call, and the identity of whoever asked for it unless it is there."""
        return self._identities.before(values["user_id"], super().insertion(values, audit=audit))

    async def record(self, model_name: str, *, user_id: str | None = None, **values: Any) -> ModelUsage:
        """Write one call.

        Args:
            model_name: The model, as the runtime calls it.
            user_id: Who asked; None when nobody did.
            values: The other columns, such as prompt_tokens, response_time_ms, success, estimated_cost.

        Raises:
            ValidationError: A value was refused; the error names it.
        """
        return await self.create({"timestamp": self._clock(), "model_name": model_name, "user_id": user_id, **values})

    async def totals(self, **filters: Unpack[ModelCallFilters]) -> ModelUsageTotals:
        """Add up all calls that fulfil the filters.

        Raises:
            ValidationError: A moment has no time zone, or a filter is of another type.
        """
        (row,) = await self._rows(totals(self._conditions(filters)))
        return ModelUsageTotals.of_row(row)

    async def of_user(self, user_id: str, *, since: datetime | None = None, until: datetime | None = None) -> UserUsage:
        """Add up the calls of one person, and tell which model they call most often.

        Raises:
            ValidationError: As for `totals`.
        """
        filters: ModelCallFilters = {"user_id": user_id, "since": since, "until": until}
        (row,) = await self._rows(of_user(self._conditions(filters)))
        return UserUsage(user_id=user_id, most_used_model=row[0], totals=ModelUsageTotals.of_row(row[1:]))

    async def by_model(self, **filters: Unpack[ModelCallFilters]) -> builtins.list[ModelPerformance]:
        """Add up the calls of each model, the most called first.

        Raises:
            ValidationError: As for `totals`.
        """
        rows = await self._rows(by_model(self._conditions(filters)))
        return [ModelPerformance(model_name=row[0], totals=ModelUsageTotals.of_row(row[1:])) for row in rows]

    async def tool_performance(self, **filters: Unpack[ModelCallFilters]) -> builtins.list[ToolPerformance]:
        """Tell what each model made of tools, the most called first.

        Raises:
            ValidationError: As for `totals`.
        """
        rows = await self._rows(by_tools(self._conditions(filters)))
        return [
            ToolPerformance(
                model_name=row[0],
                calls=row[1],
                calls_with_tools=row[2],
                detected=int(row[3]),
                executed=int(row[4]),
                average_response_time_ms=None if row[5] is None else float(row[5]),
            )
            for row in rows
        ]

    async def daily(self, **filters: Unpack[ModelCallFilters]) -> builtins.list[DayUsage]:
        """Add up the calls of each day in UTC on which there were any, the earliest first.

        Raises:
            ValidationError: As for `totals`.
        """
        rows = await self._rows(by_day(self._conditions(filters)))
        return [DayUsage(day=date.fromisoformat(row[0]), totals=ModelUsageTotals.of_row(row[1:])) for row in rows]

    async def top_spenders(
        self, limit: int = DEFAULT_SPENDERS, **filters: Unpack[ModelCallFilters]
    ) -> builtins.list[SpenderUsage]:
        """Return those who cost most, with their names; calls of nobody are left out.

        Raises:
            ValidationError: As for `totals`.
        """
        rows = await self._rows(by_spender(self._conditions(filters), limit))
        return [
            SpenderUsage(user_id=row[0], display_name=row[1], totals=ModelUsageTotals.of_row(row[2:])) for row in rows
        ]

    async def most_used_model(self, **filters: Unpack[ModelCallFilters]) -> str | None:
        """Return the name of the model that was called most often, or None.

        Raises:
            ValidationError: As for `totals`.
        """
        rows = await self._rows(most_used(self._conditions(filters)))
        return str(rows[0][0]) if rows else None

    def _conditions(self, filters: ModelCallFilters) -> builtins.list[ColumnElement[bool]]:
        unknown = filters.keys() - ModelCallFilters.__annotations__.keys()
        if unknown:
            message = f"{min(unknown)}: unknown filter; there are {', '.join(ModelCallFilters.__annotations__)}"
            raise ValidationError(message, field=min(unknown), entity=self.store.name)
        wanted = {"user_id": filters.get("user_id"), "model_name": filters.get("model_name")}
        conditions = [equals(self.plans, key, value) for key, value in wanted.items() if value is not None]
        return [*conditions, *within(self.plans.columns["timestamp"], filters.get("since"), filters.get("until"))]

    async def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        return await self._db.read(lambda executor: executor.execute(statement).all())
