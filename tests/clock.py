"""The clock of the tests, which stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

__all__ = ["NOW", "Clock"]

NOW = datetime(2026, 3, 31, 23, 59, 50, tzinfo=UTC)


class Clock:
    """Call it for the time, set `now`, or `move` it forward and back.

    Args:
        now: Where it stands.
        tick: By how much it goes on whenever it is asked, where a test needs moments that differ.
    """

    def __init__(self, now: datetime = NOW, *, tick: timedelta = timedelta(0)) -> None:
        self.now = now
        self._tick = tick

    @classmethod
    def ahead(cls) -> Self:
        """A clock that is later than the database's own, which dates the rows."""
        return cls(datetime.now(UTC) + timedelta(seconds=1))

    def __call__(self) -> datetime:
        self.now += self._tick
        return self.now

    def move(self, **by: float) -> None:
        """Let time pass: `move(minutes=5)`, `move(hours=-1)`."""
        self.now += timedelta(**by)
