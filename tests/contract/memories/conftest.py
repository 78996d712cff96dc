"""A facade whose clock the tests set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from agent_system.entity_manager import EntityManager
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW, tick=timedelta(microseconds=1))


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)
