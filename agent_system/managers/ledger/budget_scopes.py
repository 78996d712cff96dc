"""Whose spending it is, and in which periods it falls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from agent_system.errors import ValidationError
from agent_system.types import BudgetPeriod, BudgetScope

__all__ = ["MOST_NANO_USD", "Spender", "checked_amount", "period_end", "period_start", "spender_keys"]

# A million US dollars for one call: nine thousand of them still fit into 64 bits.
MOST_NANO_USD = 10**15
# When the only period of a budget begins that never begins anew.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
MONTHS = 12


class Spender(TypedDict, total=False):
    """Who spends: the budgets of each of these apply, and those of everybody; what is not known is left out or None."""

    user_id: str | None
    session_uuid: str | None
    project_id: UUID | str | None
    agent_id: UUID | str | None


FIELDS = {
    "user_id": BudgetScope.USER,
    "session_uuid": BudgetScope.SESSION,
    "project_id": BudgetScope.PROJECT,
    "agent_id": BudgetScope.AGENT,
}


def spender_keys(spender: Spender) -> dict[BudgetScope, str | None]:
    """The keys by which budgets know a spender.

    Raises:
        ValidationError: One of them is empty, or there is no such kind of spender.
    """
    keys: dict[BudgetScope, str | None] = dict.fromkeys(FIELDS.values())
    for field, value in spender.items():
        if field not in FIELDS:
            message = f"{field}: a spender is named by {', '.join(FIELDS)}"
            raise ValidationError(message, field=field, entity="Budget")
        if value is not None and not (isinstance(value, (str, UUID)) and str(value)):
            message = f"{field}: {value!r} names nobody: give a text or a UUID, or leave it out"
            raise ValidationError(message, field=field, entity="Budget")
        keys[FIELDS[field]] = None if value is None else str(value)
    return keys


def checked_amount(value: Any, field: str) -> int:
    """Return an amount of money that can be booked.

    Raises:
        ValidationError: It is no whole number of nano-dollars from 0 to `MOST_NANO_USD`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_NANO_USD:
        message = f"{field}: {value!r} is no whole number of nano-dollars from 0 to {MOST_NANO_USD}"
        raise ValidationError(message, field=field, entity="Budget")
    return value


def period_start(period: str, now: datetime) -> datetime:
    """When the period began in which a moment falls, in UTC."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == BudgetPeriod.DAY:
        return midnight
    return midnight.replace(day=1) if period == BudgetPeriod.MONTH else BEGINNING


def period_end(period: str, starts_at: datetime) -> datetime | None:
    """When a period ends that began at a moment; None when it never does."""
    if period == BudgetPeriod.DAY:
        return starts_at + timedelta(days=1)
    if period == BudgetPeriod.MONTH:
        years, month = divmod(starts_at.month, MONTHS)
        return starts_at.replace(year=starts_at.year + years, month=month + 1)
    return None
