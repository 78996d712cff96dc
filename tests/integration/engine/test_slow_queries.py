"""Slow statements are logged with their plans and without their values; nothing is measured when nobody asks."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system import DatabaseManager, DatabaseSettings, EntityManager
from agent_system.database.driver import sqlite
from tests import requirements as requires

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECRET = "planted-value"


@pytest.fixture
async def db(migrated_url: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[DatabaseManager]:
    """Yield a database in which every statement is slow."""
    caplog.set_level(logging.WARNING)
    settings = DatabaseSettings(slow_query_milliseconds=1e-6, maintenance_seconds=None)
    async with DatabaseManager(migrated_url, settings=settings, auto_migrate=False) as db:
        yield db


def logged(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    texts = [record.getMessage() for record in caplog.records if record.name == "agent_system.slow_queries"]
    return [one for one in texts if words in one]


async def test_every_kind_of_statement_is_logged_with_its_plan(
    db: DatabaseManager, caplog: pytest.LogCaptureFixture
) -> None:
    em = EntityManager(db)
    agent = await em.agents.create({"name": SECRET})
    await em.agents.update(agent.id, {"instruction": SECRET})
    await em.agents.get_by_id(agent.id)
    await em.agents.find(name=SECRET)
    async with db.session() as session:
        await (await session.connection()).execute(text("UPDATE agents SET name = :name"), {"name": f"{SECRET}2"})
        await session.commit()
    await db.disconnect()
    for statement in ("INSERT INTO agents", "UPDATE agents SET name", "FROM agents"):
        found = logged(caplog, statement)
        assert found
        assert all(" ms: " in one and "cannot be told" not in one for one in found), found
    assert any("idx_agents" in one or "Scan" in one or "SEARCH" in one for one in logged(caplog, "FROM agents"))
    assert SECRET not in caplog.text
    assert logged(caplog, "EXPLAIN") == []


async def test_what_is_quick_is_not_logged(migrated_url: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = DatabaseSettings(slow_query_milliseconds=60_000)
    async with DatabaseManager(migrated_url, settings=settings, auto_migrate=False) as db:
        await EntityManager(db).agents.create({"name": "a"})
    assert logged(caplog, "") == []


async def test_the_plan_is_asked_for_beside_the_writer(db: DatabaseManager, caplog: pytest.LogCaptureFixture) -> None:
    em = EntityManager(db)
    async with db.transaction():
        await em.agents.create({"name": "a"})
        backend: Any = db._backend
        # Let what the thread has sent arrive; then wait for the plan while the transaction still holds the writer.
        await db.read(lambda _: None)
        await asyncio.wait_for(backend._slow.close(), 20)
        assert logged(caplog, "INSERT INTO agents")


@requires.sqlite_library
async def test_nothing_is_measured_when_nobody_asks(database: DatabaseManager) -> None:
    backend: Any = database._backend
    assert type(backend._writing.lane.raw) is sqlite.Connection
    assert type(backend._inline._raw) is sqlite.Connection
