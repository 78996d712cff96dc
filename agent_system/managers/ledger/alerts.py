"""Alerts: what somebody should know about the credits, said once an hour and not more often."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from agent_system.database.dialects.expressions import transaction_lock
from agent_system.database.plans import compile_plan
from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.models import CreditAlert
from agent_system.types import AlertSeverity

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping

    from agent_system.database.executor import Executor

__all__ = ["AlertManager"]

DEDUPE_SECONDS = 3_600.0
DEFAULT_LIMIT = 100
# A warning does not keep a critical alert from being raised.
SEVERITIES = tuple(AlertSeverity)
AT_LEAST = {severity: SEVERITIES[place:] for place, severity in enumerate(SEVERITIES)}


class AlertManager(Manager[CreditAlert]):
    """Alerts: what somebody should know about the credits.

    Example:
        >>> await em.alerts.raise_alert("quota", severity="warning", message="Nine of ten searches are used.")
        >>> for alert in await em.alerts.active():
        ...     await em.alerts.acknowledge(alert.id)
    """

    entity = CreditAlert
    kept = frozenset({"acknowledged_at"})

    def normalise(self, values: dict[str, Any]) -> None:
        """An alert that is acknowledged tells when that was."""
        if "acknowledged" in values:
            values["acknowledged_at"] = self._clock() if values["acknowledged"] else None

    async def raise_alert(
        self, alert_type: str, *, dedupe_seconds: float = DEDUPE_SECONDS, **values: Any
    ) -> CreditAlert | None:
        """Raise an alert, unless one of its type, its provider and at least its severity is young.

        However many callers raise it at once, one alert comes of it.

        Args:
            alert_type: Kind of alert.
            dedupe_seconds: For how long an alert keeps others of its kind away; 0 for never.
            values: The other columns: severity, provider, message, threshold_value, current_value, meta.

        Returns:
            The alert, or None when there was one already.

        Raises:
            ValidationError: A value was refused.
        """
        if not 0 <= dedupe_seconds < float("inf"):
            message = f"dedupe_seconds must be 0 or more, not {dedupe_seconds}"
            raise ValidationError(message, field="dedupe_seconds", entity=self.store.name)
        raising = self.prepare({"alert_type": alert_type, **values}, dedupe_seconds)
        row = await self.run(raising)
        return None if row is None else self.plans.hydrate.build(row)

    def prepare(
        self, data: Mapping[str, Any], dedupe_seconds: float = DEDUPE_SECONDS
    ) -> Callable[[Executor], dict[str, Any] | None]:
        """Check an alert; returns what raises it in a unit of work, or finds that there is one already.

        Raises:
            ValidationError: A value was refused.
        """
        now = self._clock()
        values = self.new_values({"created_at": now, **data})
        insert = self.insertion(values)
        columns = self.plans.columns
        same = select(columns["id"]).where(
            columns["alert_type"] == values["alert_type"],
            columns["provider"].is_not_distinct_from(values["provider"]),
            columns["severity"].in_(AT_LEAST[values["severity"]]),
            columns["created_at"] > now - timedelta(seconds=dedupe_seconds),
        )
        lock = select(transaction_lock(f"{self.plans.table.name} {values['alert_type']}"))

        def raise_in(executor: Executor) -> dict[str, Any] | None:
            # No lock of a row keeps two from writing a first one.
            executor.execute(lock)
            if executor.execute(same.limit(1)).first() is not None:
                return None
            insert(executor)
            return values

        return raise_in

    async def active(
        self, hours: float = 24.0, *, severity: AlertSeverity | str | None = None, limit: int = DEFAULT_LIMIT
    ) -> builtins.list[CreditAlert]:
        """Return the alerts of the last hours that nobody has taken note of, the newest first.

        Args:
            hours: How far back.
            severity: Only of this severity.
            limit: At most so many.
        """
        columns = self.plans.columns
        values = {} if severity is None else {"severity": severity}
        wanted = self.query(values).where(
            ~columns["acknowledged"], columns["created_at"] > self._clock() - timedelta(hours=hours)
        )
        newest = (columns["created_at"].desc(), columns["id"].desc())
        return await self.select(wanted.order_by(*newest).limit(limit))

    async def acknowledge(self, which: int | str) -> int:
        """Take note of one alert, or of all of a type; returns how many nobody had taken note of before.

        Args:
            which: The key of an alert, or a type.
        """
        table, now = self.plans.table, self._clock()
        meant = table.c.id if isinstance(which, int) else table.c.alert_type
        statement = update(table).where(meant == which, ~table.c.acknowledged)
        statement = statement.values(acknowledged=True, acknowledged_at=now, updated_at=now)
        plan = compile_plan(statement, self.plans.dialect)
        return await self.run(lambda executor: executor.change(plan, plan.encode({})))
