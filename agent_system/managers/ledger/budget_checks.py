"""Whether the books of budgets are right: an account's two sums are those of its reservations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from agent_system.models import metadata
from agent_system.types import ReservationState

if TYPE_CHECKING:
    from sqlalchemy import Select

__all__ = ["unbalanced"]

_accounts = metadata.tables["budget_accounts"]
_rows = metadata.tables["budget_reservations"]


def unbalanced() -> Select[Any]:
    """The accounts whose sums are not those of their rows: key, spent, reserved, settled, held."""
    settled = func.coalesce(func.sum(_rows.c.actual_nano_usd).filter(_rows.c.state == ReservationState.SETTLED), 0)
    held = func.coalesce(func.sum(_rows.c.estimate_nano_usd).filter(_rows.c.state == ReservationState.HELD), 0)
    spent, reserved = _accounts.c.spent_nano_usd, _accounts.c.reserved_nano_usd
    return (
        select(_accounts.c.id, spent, reserved, settled, held)
        .select_from(_accounts.outerjoin(_rows, _rows.c.account_id == _accounts.c.id))
        .group_by(_accounts.c.id, spent, reserved)
        .having(or_(spent != settled, reserved != held))
        .order_by(_accounts.c.id)
    )
