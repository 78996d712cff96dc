"""The words of budgets."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["BudgetPeriod", "BudgetScope", "ReservationState"]


class BudgetScope(StrEnum):
    """Whose spending a budget limits."""

    GLOBAL = "global"
    USER = "user"
    SESSION = "session"
    PROJECT = "project"
    AGENT = "agent"


class BudgetPeriod(StrEnum):
    """How long a budget lasts before it begins anew, in UTC."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class ReservationState(StrEnum):
    """What became of money that was set aside."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"
