"""The only clock of the project: every timestamp that the layer itself makes comes from here."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> datetime:
    """Return the current moment as an aware UTC datetime with microseconds."""
    return datetime.now(UTC)
