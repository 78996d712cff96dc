"""A facade whose clock the tests set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from agent_system.entity_manager import EntityManager

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that goes on by a microsecond whenever it is asked, and by more when it is told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    def go_on(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)
