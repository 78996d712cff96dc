"""A PostgreSQL database that a test has used is as new for the next one, or the next one gets another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager

if TYPE_CHECKING:
    from agent_system.settings import DatabaseSettings
    from tests.copies import Copies


async def test_rows_and_counters_are_undone(postgres_copies: Copies, settings: DatabaseSettings) -> None:
    counted: list[int | None] = []
    names: list[str] = []
    for _ in range(2):
        names.append(await postgres_copies.lend())
        url = postgres_copies.server.url_of(names[-1])
        async with DatabaseManager(url, settings=settings, auto_migrate=False) as database:
            em = EntityManager(database)
            assert (await em.agents.count(), await em.events.count()) == (0, 0)
            message = await em.messages.create({"role": "user", "content": "Hello"})
            await em.agents.create({"name": "researcher", "instruction": "Find."})
            counted.append(message.id)
        await postgres_copies.take_back(names[-1])
    assert (counted, names[1]) == ([1, 1], names[0])


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW seen AS SELECT 1 AS one",
        "ALTER TABLE agents DISABLE TRIGGER ALL",
        "CREATE TEMPORARY TABLE passing (id int)",
        "TRUNCATE alembic_version",
        "ANALYZE agents",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 65', current_database()); END $$",
        "INSERT INTO logs (level,message,created_at) SELECT 'info', repeat('u',999), now() FROM generate_series(1,99)",
    ],
)
async def test_what_else_is_done_ends_a_copy(postgres_copies: Copies, statement: str) -> None:
    name = await postgres_copies.lend()
    connection = await asyncpg.connect(postgres_copies.server.dsn_of(name))
    await connection.execute(statement)
    await connection.close()
    await postgres_copies.take_back(name)
    other = await postgres_copies.lend()
    await postgres_copies.take_back(other)
    assert other != name
