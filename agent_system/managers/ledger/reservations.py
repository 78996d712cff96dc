"""What callers of budgets get: reservations, what one of them is used for, and how budgets stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from agent_system.errors import BudgetExceededError, NotFoundError, ValidationError
from agent_system.managers.ledger.budget_scopes import checked_amount
from agent_system.models import BudgetReservation

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from agent_system.types import BudgetPeriod, BudgetScope

__all__ = [
    "BudgetStatus",
    "Discrepancy",
    "Reservation",
    "Spending",
    "check_missing",
    "exceeded",
    "expiry",
    "reservation_id",
]

# A reservation that outlives its budget's month helps nobody.
MOST_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """Money that was set aside for one call, in every budget that applies."""

    id: UUID
    estimate_nano_usd: int
    expires_at: datetime
    """When it stops counting if nobody settles or releases it."""
    budgets: tuple[int, ...]
    """The keys of the budgets; empty when none applies, and then nothing is kept."""


class Spending:
    """What a block of `em.budgets.spending` settles at its end."""

    def __init__(self, reservation: Reservation) -> None:
        self.reservation = reservation
        self.actual_nano_usd: int | None = None

    def settle(self, actual_nano_usd: int) -> None:
        """Say what it cost; said again, the last word counts.

        Raises:
            ValidationError: It is no amount of money.
        """
        self.actual_nano_usd = checked_amount(actual_nano_usd, "actual_nano_usd")


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetStatus:
    """How a budget stands in one period."""

    budget_id: int
    scope_kind: BudgetScope
    scope_key: str | None
    """Which user, session, project or agent; None for the budget of all together."""
    period: BudgetPeriod
    starts_at: datetime
    ends_at: datetime | None
    """When it begins anew; None when it never does."""
    limit_nano_usd: int
    spent_nano_usd: int
    reserved_nano_usd: int
    """What is set aside and has not expired."""

    @property
    def available_nano_usd(self) -> int:
        """What may still be set aside; 0 when more was spent than was allowed."""
        return max(0, self.limit_nano_usd - self.spent_nano_usd - self.reserved_nano_usd)

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left."""
        return self.available_nano_usd == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Discrepancy:
    """An account whose sums are not those of its reservations."""

    account_id: int
    spent_nano_usd: int
    reserved_nano_usd: int
    settled_nano_usd: int
    """What its settled reservations add up to; it should be `spent_nano_usd`."""
    held_nano_usd: int
    """What its held reservations add up to; it should be `reserved_nano_usd`."""


def reservation_id(reservation: Reservation | UUID) -> UUID:
    """The id of a reservation, which may be given as it is."""
    return reservation.id if isinstance(reservation, Reservation) else reservation


def check_missing(reservation: Reservation | UUID) -> None:
    """Refuse a reservation without rows, unless no budget applied to it.

    Raises:
        NotFoundError: There never was such a reservation, or its budgets were deleted.
    """
    if not isinstance(reservation, Reservation) or reservation.budgets:
        raise NotFoundError(BudgetReservation.__name__, reservation_id(reservation))


def expiry(seconds: float) -> timedelta:
    """How long a reservation counts.

    Raises:
        ValidationError: Not at all, or for longer than `MOST_SECONDS`.
    """
    if not 0 < seconds <= MOST_SECONDS:
        message = f"expires_in_seconds must be above 0 and at most {MOST_SECONDS}, not {seconds}"
        raise ValidationError(message, field="expires_in_seconds", entity="Budget")
    return timedelta(seconds=seconds)


def exceeded(status: BudgetStatus, wanted: int) -> BudgetExceededError:
    """The error for an estimate that is more than a budget has left."""
    whose = status.scope_kind if status.scope_key is None else f"{status.scope_kind} {status.scope_key!r}"
    message = (
        f"the {status.period} budget of {whose} has {status.available_nano_usd} of {status.limit_nano_usd} "
        f"nano-dollars left, not {wanted}; nothing was set aside"
    )
    return BudgetExceededError(
        message,
        budget_id=status.budget_id,
        scope_kind=status.scope_kind,
        scope_key=status.scope_key,
        period=status.period,
        limit_nano_usd=status.limit_nano_usd,
        available_nano_usd=status.available_nano_usd,
        wanted_nano_usd=wanted,
    )
