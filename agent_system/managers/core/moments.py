"""Moments as callers give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement

__all__ = ["aware", "within"]


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


def within(column: Any, since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    """The conditions that a moment lies in [since, until); an end that is None is open.

    Args:
        column: The column of the moment.
        since: The first moment that counts.
        until: The first moment that does not count any more.

    Raises:
        ValidationError: One of them has no time zone.
    """
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(column >= aware(since, "since"))
    if until is not None:
        conditions.append(column < aware(until, "until"))
    return conditions
