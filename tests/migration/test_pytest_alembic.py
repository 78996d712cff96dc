"""pytest-alembic's own tests of the revisions; imported here because its collection crashes under pytest 9."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)

from agent_system.database.dialects.migration import migration_engine
from agent_system.database.engine import resolve_url
from agent_system.database.revisions import script_location
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = [
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]


@pytest.fixture
def alembic_config() -> dict[str, Any]:
    return {"script_location": str(script_location()), "path_separator": "os"}


@pytest.fixture
def alembic_engine(sqlite_url: str) -> AsyncEngine:
    return migration_engine(resolve_url(sqlite_url), DatabaseSettings())
