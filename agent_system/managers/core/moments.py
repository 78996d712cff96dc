"""Moments as callers give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["aware"]


def aware(moment: datetime, field: str) -> datetime:
    """Return the moment, which has a time zone.

    Args:
        moment: What the caller gave.
        field: The name of the argument.

    Raises:
        ValidationError: It has none, so nobody knows when it is.
    """
    if moment.tzinfo is None:
        message = f"{field}: the datetime has no time zone; use an aware one, such as datetime.now(UTC)"
        raise ValidationError(message, field=field)
    return moment
