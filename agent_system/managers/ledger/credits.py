"""Credits: what is left at a provider, how fast it goes, and how long it will last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

from sqlalchemy import Float, case, func, literal, select, union_all

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import within
from agent_system.managers.ledger.alerts import AlertManager
from agent_system.managers.ledger.credit_thresholds import CreditThresholds, due_alerts
from agent_system.models import CreditBalance

if TYPE_CHECKING:
    import builtins
    from typing import Unpack

    from sqlalchemy import Select

    from agent_system.database.executor import Executor
    from agent_system.managers.core.pagination import Page
    from agent_system.models import CreditAlert
    from agent_system.types import JsonValue

__all__ = ["CreditFigures", "CreditManager", "CreditRecord", "CreditStatus"]

OPENROUTER = "openrouter"
DEFAULT_DAYS = 7.0
DEFAULT_LIMIT = 100
SECONDS_PER_DAY = 86_400


class CreditFigures(TypedDict, total=False):
    """What a provider says; whatever it does not say is left out or None."""

    credits_remaining: float | None
    credits_used: float | None
    daily_spend: float | None
    monthly_spend: float | None
    rate_limit_remaining: int | None
    rate_limit_reset: datetime | None
    last_updated: datetime
    raw_response: JsonValue


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditRecord:
    """A snapshot that was recorded."""

    balance: CreditBalance
    alerts: list[CreditAlert]
    """The alerts that it gave rise to; those that were raised within the hour are not raised again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditStatus:
    """How things stand with a provider."""

    balance: CreditBalance | None
    """The newest snapshot; None when there is none."""
    credits_remaining: float | None
    """US dollars left, by the newest snapshot that says so."""
    burn_rate_usd_per_day: float | None
    """How fast they go; None when there are not two snapshots to tell by."""

    @property
    def days_left(self) -> float | None:
        """Days until nothing is left at this rate; None when nobody knows, or when nothing is spent."""
        if self.credits_remaining is None:
            return None
        if self.credits_remaining <= 0:
            return 0.0
        return self.credits_remaining / self.burn_rate_usd_per_day if self.burn_rate_usd_per_day else None

    @property
    def is_exhausted(self) -> bool | None:
        """Whether nothing is left; None when nobody knows."""
        return None if self.credits_remaining is None else self.credits_remaining <= 0


class CreditManager(Manager[CreditBalance]):
    """Credits: what is left at a provider, one row for each time that it was asked.

    Example:
        >>> recorded = await em.credits.record(credits_remaining=4.5, raw_response=answer)
        >>> [alert.severity for alert in recorded.alerts]
        [<AlertSeverity.CRITICAL: 'critical'>]
        >>> (await em.credits.status()).days_left
    """

    entity = CreditBalance
    thresholds = CreditThresholds()
    """When `record` raises alerts; a caller may set others on the manager."""

    @cached_property
    def _alerts(self) -> AlertManager:
        return AlertManager(self._db, clock=self._clock)

    async def record(
        self,
        provider: str = OPENROUTER,
        *,
        thresholds: CreditThresholds | None = None,
        **figures: Unpack[CreditFigures],
    ) -> CreditRecord:
        """Write a snapshot, and the alerts that it gives rise to, in one transaction.

        Args:
            provider: Who was asked.
            thresholds: When to raise alerts; None takes those of the manager.
            figures: What it said, in US dollars and requests.

        Raises:
            ValidationError: A figure was refused; the error names it.
        """
        values = self.new_values({"provider": provider, "last_updated": self._clock(), **figures})
        insert = self.insertion(values)
        due = due_alerts(values, thresholds or self.thresholds)
        raising = [self._alerts.prepare({"provider": provider, **alert}) for alert in due]

        def work(executor: Executor) -> builtins.list[dict[str, Any]]:
            insert(executor)
            raised = (raise_in(executor) for raise_in in raising)
            return [row for row in raised if row is not None]

        rows = await self.run(work, values)
        build = self._alerts.plans.hydrate.build
        return CreditRecord(balance=self.plans.hydrate.build(values), alerts=[build(row) for row in rows])

    async def current(self, provider: str = OPENROUTER) -> CreditBalance | None:
        """Return the newest snapshot of a provider, or None."""
        found = await self.select(self._newest(provider))
        return found[0] if found else None

    async def current_by_provider(self) -> dict[str, CreditBalance]:
        """Return the newest snapshot of every provider, by one statement."""
        columns = self.plans.columns
        age = func.row_number().over(
            partition_by=columns["provider"], order_by=(columns["last_updated"].desc(), columns["id"].desc())
        )
        aged = select(columns["id"], age.label("age")).subquery()
        newest = self.query().join(aged, aged.c.id == columns["id"]).where(aged.c.age == 1)
        return {row.provider: row for row in await self.select(newest.order_by(columns["provider"]))}

    async def history(
        self,
        provider: str = OPENROUTER,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = DEFAULT_LIMIT,
        after: str | None = None,
    ) -> Page[CreditBalance]:
        """Return a page of a provider's snapshots in [since, until), the newest first.

        Raises:
            ValidationError: A moment has no time zone, or the limit is below 1.
            CursorError: The cursor belongs to another page.
        """
        columns = self.plans.columns
        where = [columns["provider"] == provider, *within(columns["last_updated"], since, until)]
        return await self.list(where, "-last_updated", limit, after)

    async def burn_rate(self, provider: str = OPENROUTER, days: float = DEFAULT_DAYS) -> float | None:
        """Return how many US dollars went per day in the last days; None without two snapshots at different times.

        Money that was paid in does not count: only what went down of the balance, or up of what was used.

        Raises:
            ValidationError: `days` is not above 0.
        """
        statement = self._burnt(provider, days)
        return _rate(await self._db.read(lambda executor: executor.execute(statement).all()))

    async def days_left(self, provider: str = OPENROUTER, days: float = DEFAULT_DAYS) -> float | None:
        """Return how many days the balance lasts at the rate of the last days; see `CreditStatus.days_left`.

        Raises:
            ValidationError: `days` is not above 0.
        """
        return (await self.status(provider, days)).days_left

    async def is_exhausted(self, provider: str = OPENROUTER) -> bool | None:
        """Tell whether nothing is left at a provider; None when nobody knows."""
        remaining = self._remaining(provider)
        left = await self._db.read(lambda executor: executor.execute(remaining).scalar())
        return None if left is None else left <= 0

    async def status(self, provider: str = OPENROUTER, days: float = DEFAULT_DAYS) -> CreditStatus:
        """Tell how things stand with a provider.

        Args:
            provider: Whose credits.
            days: Over how many days the rate is measured.

        Raises:
            ValidationError: `days` is not above 0.
        """
        newest, remaining, burnt = self._newest(provider), self._remaining(provider), self._burnt(provider, days)

        def work(executor: Executor) -> tuple[Any, ...]:
            row = executor.execute(newest).first()
            return row, executor.execute(remaining).scalar(), executor.execute(burnt).all()

        row, left, spent = await self._db.read(work)
        values = None if row is None else dict(zip(self.plans.hydrate.keys, row, strict=True))
        return CreditStatus(
            balance=None if values is None else self.plans.hydrate.build(values),
            credits_remaining=left,
            burn_rate_usd_per_day=_rate(spent),
        )

    def _newest(self, provider: str) -> Select[Any]:
        columns = self.plans.columns
        order = (columns["last_updated"].desc(), columns["id"].desc())
        return self.query().where(columns["provider"] == provider).order_by(*order).limit(1)

    def _remaining(self, provider: str) -> Select[Any]:
        left = self.plans.columns["credits_remaining"]
        return self._newest(provider).where(left.is_not(None)).with_only_columns(left, maintain_column_froms=True)

    def _burnt(self, provider: str, days: float) -> Select[Any]:
        """What went, when the first and when the last snapshot was made, by what the provider calls used and left."""
        if not 0 < days < float("inf"):
            message = f"days must be above 0, not {days}"
            raise ValidationError(message, field="days", entity=self.store.name)
        now = self._clock()
        columns = self.plans.columns
        window = (columns["provider"] == provider, *within(columns["last_updated"], now - timedelta(days=days), None))
        measures = {"used": columns["credits_used"], "left": -columns["credits_remaining"]}
        snapshots = union_all(
            *(
                select(
                    literal(name).label("measure"), value.label("value"), columns["last_updated"], columns["id"]
                ).where(*window, value.is_not(None))
                for name, value in measures.items()
            )
        ).subquery()
        before = func.lag(snapshots.c.value).over(
            partition_by=snapshots.c.measure, order_by=(snapshots.c.last_updated, snapshots.c.id)
        )
        steps = select(snapshots.c.measure, snapshots.c.last_updated, (snapshots.c.value - before).label("step"))
        each = steps.subquery()
        went = func.coalesce(func.sum(case((each.c.step > 0, each.c.step), else_=0.0)), 0.0, type_=Float())
        moments = (func.min(each.c.last_updated), func.max(each.c.last_updated))
        return select(went, *moments).group_by(each.c.measure)


def _rate(measures: Any) -> float | None:
    """The faster of what was used and what went down of the balance: either may stand still while the other moves."""
    rates = [
        went / seconds * SECONDS_PER_DAY
        for went, first, last in measures
        if (seconds := (last - first).total_seconds()) > 0
    ]
    return max(rates, default=None)
