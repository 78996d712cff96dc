"""Logs: written, found by level, service and time, counted, and cleaned up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import ValidationError
from agent_system.types import LogLevel
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
ENTRIES = [("debug", "api"), ("info", "api"), ("warn", "worker"), ("error", "api"), ("fatal", None)]


@pytest.fixture
def em(database: DatabaseManager) -> EntityManager:
    return EntityManager(database, clock=lambda: START)


@pytest.fixture
async def filled(em: EntityManager) -> EntityManager:
    """One entry an hour."""
    for hour, (level, service) in enumerate(ENTRIES):
        await em.logs.append(level, f"entry {hour}", service, timestamp=START + timedelta(hours=hour))
    return em


async def messages(em: EntityManager, **wanted: Any) -> list[str]:
    return [entry.message.removeprefix("entry ") for entry in (await em.logs.recent(**wanted)).items]


async def test_an_entry_has_level_message_service_and_context(em: EntityManager) -> None:
    entry = await em.logs.append("WARNING", "slow \0\ud800", "api", {"ms": 5, "é": None})
    assert (entry.level, entry.message, entry.service) == (LogLevel.WARN, "slow \0\ud800", "api")
    assert (entry.meta, entry.timestamp) == ({"ms": 5, "é": None}, START)
    assert (await em.logs.require(entry.id)).model_dump() == entry.model_dump()
    assert (await em.logs.append("critical", "x")).level is LogLevel.FATAL


async def test_a_level_that_is_none_is_refused(em: EntityManager) -> None:
    for level in ("loud", ""):
        with pytest.raises(ValidationError) as caught:
            await em.logs.append(level, "x")
        assert caught.value.field == "level"
    with pytest.raises(ValidationError):
        await em.logs.create({"level": "warning", "message": "x"})
    assert await em.logs.count() == 0


async def test_entries_are_found_by_level_service_and_time(filled: EntityManager) -> None:
    assert await messages(filled) == ["4", "3", "2", "1", "0"]
    assert await messages(filled, level="error") == ["3"]
    assert await messages(filled, min_level="warn") == ["4", "3", "2"]
    assert await messages(filled, service="api", min_level="info") == ["3", "1"]
    since, until = START + timedelta(hours=1), START + timedelta(hours=3)
    assert await messages(filled, since=since, until=until) == ["2", "1"]
    with pytest.raises(ValidationError, match="since"):
        await filled.logs.recent(since=START.replace(tzinfo=None))


async def test_entries_are_read_in_pages(filled: EntityManager) -> None:
    first = await filled.logs.recent(2, min_level="info")
    second = await filled.logs.recent(2, first.next_cursor, min_level="info")
    assert [entry.message for entry in first.items + second.items] == [f"entry {n}" for n in (4, 3, 2, 1)]
    assert second.next_cursor is None


async def test_entries_are_counted_by_service_and_level(filled: EntityManager) -> None:
    await filled.logs.append("error", "again", "api", timestamp=START)
    with recorded_statements() as statements:
        counts = await filled.logs.counts(until=START + timedelta(hours=4))
    assert [(each.service, each.level, each.entries) for each in counts] == [
        ("api", "debug", 1),
        ("api", "error", 2),
        ("api", "info", 1),
        ("worker", "warn", 1),
    ]
    assert len(statements) == 1
    assert (await filled.logs.counts())[-1].service is None


async def test_old_entries_are_cleaned_up_in_batches(filled: EntityManager) -> None:
    with recorded_statements() as statements:
        assert await filled.logs.cleanup(START + timedelta(hours=3), batch=2) == 3
    assert len(statements) == 2
    assert await messages(filled) == ["4", "3"]
    assert await filled.logs.cleanup(START) == 0
    with pytest.raises(ValidationError, match="batch"):
        await filled.logs.cleanup(START, batch=0)


async def test_of_many_that_write_at_once_none_is_lost(em: EntityManager) -> None:
    await asyncio.gather(*(em.logs.append("info", str(n)) for n in range(64)))
    assert {entry.message async for entry in em.logs.iter()} == {str(n) for n in range(64)}
