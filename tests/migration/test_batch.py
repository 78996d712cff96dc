"""A table that alembic rebuilds on SQLite keeps its rows, its children and its triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from agent_system.database.manager import DatabaseManager
from agent_system.database.migrations import run_migrations
from agent_system.entity_manager import EntityManager
from tests import requirements as requires
from tests.migration.rows import insert_rows, read_rows
from tests.migration.schema import connected, schema_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tests.migration.conftest import Revisions

REBUILD = """
with op.batch_alter_table("agents", recreate="always") as batch:
    batch.alter_column("description", existing_type=sa.Text(), comment="rebuilt")
"""
TRIGGERS = [
    "CREATE TRIGGER of_the_table AFTER UPDATE ON agents BEGIN UPDATE tools SET description = 'fired'; END",
    "CREATE TRIGGER of_another_table AFTER UPDATE ON users BEGIN UPDATE agents SET description = 'fired'; END",
    "CREATE VIEW of_agents AS SELECT id, name FROM agents",
]


@requires.batch_migrations
async def test_rebuilt_table_keeps_children_triggers_and_views(
    migrated_sqlite_url: str, own_revisions: Revisions
) -> None:
    url = migrated_sqlite_url
    async with connected(url) as connection:
        await connection.run_sync(insert_rows)
        for trigger in TRIGGERS:
            await connection.execute(text(trigger))
        before = await connection.run_sync(read_rows)
        objects = await _triggers_and_views(connection)
    own_revisions.add(REBUILD)

    await run_migrations(url)

    async with connected(url) as connection:
        assert await connection.run_sync(read_rows) == before
        assert await _triggers_and_views(connection) == objects
        await connection.execute(text("UPDATE users SET first_name = 'Ada'"))
        assert (await connection.execute(text("SELECT description FROM agents"))).scalar() == "fired"
        assert (await connection.execute(text("SELECT description FROM tools"))).scalar() == "fired"
        await connection.execute(text("DELETE FROM agents"))
        assert (await connection.execute(text("SELECT count(*) FROM agent_tools"))).scalar() == 0


@requires.batch_migrations
@pytest.mark.parametrize("table", ["agents", "memories", "messages", "queue", "tasks", "tool_usage", "workspaces"])
async def test_rebuilt_table_is_the_same_table(migrated_sqlite_url: str, own_revisions: Revisions, table: str) -> None:
    before = await schema_of(migrated_sqlite_url)
    async with connected(migrated_sqlite_url) as connection:
        await connection.run_sync(insert_rows)
        rows = await connection.run_sync(read_rows)
    own_revisions.add(
        f"""
        with op.batch_alter_table("{table}", recreate="always") as batch:
            batch.alter_column("created_at", nullable=False)
        """
    )
    await run_migrations(migrated_sqlite_url)
    assert await schema_of(migrated_sqlite_url) == before
    async with connected(migrated_sqlite_url) as connection:
        assert await connection.run_sync(read_rows) == rows


@requires.batch_migrations
async def test_rebuilt_table_still_writes_its_history(migrated_sqlite_url: str, own_revisions: Revisions) -> None:
    async with connected(migrated_sqlite_url) as connection:
        await connection.run_sync(insert_rows)
    own_revisions.add(
        """
        with op.batch_alter_table("prompts", recreate="always") as batch:
            batch.alter_column("description", existing_type=sa.Text())
        """
    )
    await run_migrations(migrated_sqlite_url)
    async with connected(migrated_sqlite_url) as connection:
        old = "2001-02-03 04:05:06.789012"
        await connection.execute(text(f"UPDATE prompts SET updated_at = '{old}'"))
        await connection.execute(text("UPDATE prompts SET content = 'new', changed_by = 'ada'"))
        row = (await connection.execute(text("SELECT version, changed_by, updated_at FROM prompts"))).one()
        written = await connection.execute(text("SELECT version, changed_by FROM prompt_history ORDER BY id"))
        assert (row[:2], row[2] > old) == ((3, None), True)
        assert [tuple(entry) for entry in written] == [(1, "ada"), (2, "ada")]


@requires.batch_migrations
@pytest.mark.parametrize("kept", [1, 0])
async def test_rebuilt_table_never_gives_a_key_twice(
    migrated_sqlite_url: str, own_revisions: Revisions, kept: int
) -> None:
    insertion = text("INSERT INTO events (event_type, entity_type) VALUES ('x', 'y') RETURNING id")
    async with connected(migrated_sqlite_url) as connection:
        given = [(await connection.execute(insertion)).scalar_one() for _ in range(3)]
        await connection.execute(text("DELETE FROM events WHERE id > :id"), {"id": given[0] * kept})
    own_revisions.add(
        """
        with op.batch_alter_table("events", recreate="always") as batch:
            batch.alter_column("actor", existing_type=sa.Text())
        """
    )
    await run_migrations(migrated_sqlite_url)
    async with connected(migrated_sqlite_url) as connection:
        assert (await connection.execute(insertion)).scalar_one() > given[-1]


@requires.batch_migrations
@pytest.mark.parametrize("table", ["memories", "messages", "context_documents"])
async def test_rebuilt_table_is_found_by_its_words(
    migrated_sqlite_url: str, own_revisions: Revisions, table: str
) -> None:
    async with DatabaseManager(migrated_sqlite_url, auto_migrate=False) as database:
        em = EntityManager(database)
        # Keys with gaps: what takes the place of a row for its key would find others.
        for number in range(6):
            await em.memories.remember("u", f"word{number} 比萨")
            await em.messages.create({"role": "user", "content": f"word{number} 比萨"})
            await em.context_documents.create({"name": f"word{number}", "content": "比萨"})
        for manager in (em.memories, em.messages, em.context_documents):
            gone = (await manager.list(order_by="created_at", limit=2)).items
            for row in gone:
                await manager.delete(row.id)
    own_revisions.add(
        f"""
        with op.batch_alter_table("{table}", recreate="always") as batch:
            batch.alter_column("created_at", nullable=False)
        """
    )
    await run_migrations(migrated_sqlite_url)
    async with DatabaseManager(migrated_sqlite_url, auto_migrate=False) as database:
        em = EntityManager(database)
        for manager in (em.memories, em.messages, em.context_documents):
            assert await manager.index.find_damage() is None
            assert len(await manager.search('"比萨"')) == 4
            (hit,) = await manager.search("word5")
            assert "word5" in str(hit.item)
            await manager.delete(hit.item.id)
            assert await manager.search('"word5"') == []


@requires.batch_migrations
async def test_trigger_that_a_revision_drops_stays_dropped(migrated_sqlite_url: str, own_revisions: Revisions) -> None:
    async with connected(migrated_sqlite_url) as connection:
        before = await _triggers_and_views(connection)
        await connection.execute(text(TRIGGERS[0]))
    own_revisions.add("op.execute('DROP TRIGGER of_the_table')\n" + REBUILD)
    await run_migrations(migrated_sqlite_url)
    async with connected(migrated_sqlite_url) as connection:
        assert await _triggers_and_views(connection) == before


async def _triggers_and_views(connection: AsyncConnection) -> list[tuple[str, str]]:
    found = await connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name")
    )
    return [(name, sql) for name, sql in found]
