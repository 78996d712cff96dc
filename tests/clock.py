"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["NOW", "Clock"]

NOW = datetime(2026, 3, 31, 23, 59, 50, tzinfo=UTC)


class Clock:
    """Stands at a moment."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)
