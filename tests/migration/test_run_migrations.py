"""`run_migrations`: where it goes, what it refuses, and what an error of a revision leaves behind."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from agent_system.database.engine import resolve_url
from agent_system.database.migrations import check_schema, current_revision, prepare_schema, run_migrations
from agent_system.database.revisions import head_revision
from agent_system.errors import DatabaseUnavailableError, MigrationError, SchemaMismatchError, TransactionError
from agent_system.settings import DatabaseSettings
from tests import requirements as requires
from tests.faults.migrating import stopping
from tests.migration.rows import insert_rows, read_rows
from tests.migration.schema import connected, schema_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.migration.conftest import Revisions

HEAD = head_revision()


async def revision_of(url: str) -> str | None:
    async with connected(url) as connection:
        return await current_revision(connection)


async def execute(url: str, *statements: str) -> None:
    async with connected(url, foreign_keys=False) as connection:
        for statement in statements:
            await connection.execute(text(statement))


@pytest.mark.parametrize(
    ("target", "revision"),
    [(None, HEAD), ("head", HEAD), (2, "0002"), ("0003", "0003"), ("4", "0004"), (int(HEAD), HEAD)],
)
async def test_target_is_a_number_a_revision_or_head(
    database_url: str, target: str | int | None, revision: str
) -> None:
    await run_migrations(database_url, target)
    assert await revision_of(database_url) == revision


@pytest.mark.parametrize("target", [0, "0", "base"])
async def test_zero_and_base_take_everything_back(migrated_url: str, target: str | int) -> None:
    await run_migrations(migrated_url, target)
    assert await revision_of(migrated_url) is None


async def test_lower_target_downgrades_and_higher_upgrades(migrated_url: str) -> None:
    await run_migrations(migrated_url, 3)
    assert await revision_of(migrated_url) == "0003"
    await run_migrations(migrated_url, 5)
    assert await revision_of(migrated_url) == "0005"


@pytest.mark.parametrize("target", [int(HEAD) + 1, 10_000, -1, "nonsense", True])
async def test_target_that_does_not_exist_is_refused_before_anything_is_opened(
    sqlite_path: Path, target: str | int
) -> None:
    with pytest.raises(MigrationError, match="there is no revision"):
        await run_migrations(sqlite_path, target)
    assert not sqlite_path.exists()


@requires.database_file
async def test_folder_of_a_new_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "system.db"
    await run_migrations(path)
    assert [file.name for file in path.parent.iterdir()] == ["system.db"]


@requires.database_file
async def test_path_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="folder"):
        await run_migrations(tmp_path)


async def test_database_of_a_newer_version_is_refused(migrated_url: str, own_revisions: Revisions) -> None:
    newer = own_revisions.add("op.create_table('of_tomorrow', sa.Column('id', sa.Integer, primary_key=True))")
    # Tables beyond the models are harmless; the test is about the revision.
    await run_migrations(migrated_url)
    before = await schema_of(migrated_url)
    own_revisions.remove(newer)

    for target in ("head", 3, "base"):
        with pytest.raises(SchemaMismatchError, match=rf"revision {newer}.*install the agent_system that wrote it"):
            await run_migrations(migrated_url, target)
    with pytest.raises(SchemaMismatchError, match=newer):
        await prepare_schema(resolve_url(migrated_url), DatabaseSettings(), auto_migrate=True)
    assert await schema_of(migrated_url) == before


async def test_foreign_tables_are_refused_and_left_alone(database_url: str) -> None:
    await execute(
        database_url, "CREATE TABLE agents (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO agents VALUES (1, 'x')"
    )
    before = await schema_of(database_url)
    with pytest.raises(MigrationError, match=r"tables that agent_system did not make \(agents\).*import legacy"):
        await run_migrations(database_url)
    assert await schema_of(database_url) == before


@requires.database_file
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
async def test_foreign_file_keeps_every_byte(sqlite_path: Path, journal_mode: str) -> None:
    import sqlite3  # noqa: PLC0415

    connection = sqlite3.connect(sqlite_path)
    connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    connection.execute("CREATE TABLE tasks (task_id TEXT PRIMARY KEY)")
    connection.close()
    before = hashlib.sha256(sqlite_path.read_bytes()).hexdigest()
    with pytest.raises(MigrationError, match="did not make"):
        await run_migrations(sqlite_path)
    assert hashlib.sha256(sqlite_path.read_bytes()).hexdigest() == before
    assert [file.name for file in sqlite_path.parent.iterdir()] == [sqlite_path.name]


async def test_schema_is_asked_for_when_it_may_not_be_migrated(database_url: str) -> None:
    url, settings = resolve_url(database_url), DatabaseSettings()
    with pytest.raises(SchemaMismatchError, match=r"empty.*agent-system upgrade"):
        await prepare_schema(url, settings, auto_migrate=False)
    await run_migrations(database_url, 3)
    with pytest.raises(SchemaMismatchError, match=rf"at revision 0003 and has to be at {HEAD}"):
        await prepare_schema(url, settings, auto_migrate=False)
    await prepare_schema(url, settings, auto_migrate=True)
    await prepare_schema(url, settings, auto_migrate=False)
    assert await revision_of(database_url) == HEAD


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ("DROP INDEX idx_agents_name", "add_index: idx_agents_name"),
        ("ALTER TABLE agents ADD COLUMN nickname TEXT", "remove_column: agents.nickname"),
        ("ALTER TABLE agents DROP COLUMN description", "add_column: agents.description"),
        ("DROP TABLE conversation_heads", "add_table: conversation_heads"),
    ],
)
async def test_schema_changed_by_hand_is_found_and_refused(migrated_url: str, statement: str, difference: str) -> None:
    await execute(migrated_url, statement)
    async with connected(migrated_url) as connection:
        assert difference in await check_schema(connection)
    with pytest.raises(MigrationError, match="differs from what its revision says"):
        await run_migrations(migrated_url)


async def test_tables_and_indexes_of_an_operator_are_no_obstacle(migrated_url: str) -> None:
    await execute(migrated_url, "CREATE TABLE notes (id INTEGER)", "CREATE INDEX idx_of_mine ON agents (description)")
    await run_migrations(migrated_url)
    async with connected(migrated_url) as connection:
        assert await check_schema(connection) == ["remove_table: notes", "remove_index: idx_of_mine"]


async def test_revision_that_raises_leaves_the_old_schema_and_rows(migrated_url: str, own_revisions: Revisions) -> None:
    async with connected(migrated_url) as connection:
        await connection.run_sync(insert_rows)
        rows = await connection.run_sync(read_rows)
    schema = await schema_of(migrated_url)
    revision = own_revisions.add(
        """
        op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
        op.add_column("agents", sa.Column("nickname", sa.Text))
        op.execute("UPDATE agents SET instruction = 'changed'")
        op.drop_table("conversation_heads")
        raise RuntimeError("out of luck")
        """
    )

    with pytest.raises(
        MigrationError, match=f"migration to {revision} failed and was rolled back.*out of luck"
    ) as caught:
        await run_migrations(migrated_url)

    assert isinstance(caught.value.__cause__, RuntimeError)
    assert await schema_of(migrated_url) == schema
    async with connected(migrated_url) as connection:
        assert await connection.run_sync(read_rows) == rows
    own_revisions.remove(revision)
    own_revisions.add("op.create_table('whole', sa.Column('id', sa.Integer, primary_key=True))")
    await run_migrations(migrated_url)
    assert await revision_of(migrated_url) == revision


async def test_later_revision_that_raises_takes_the_earlier_ones_back(
    database_url: str, own_revisions: Revisions
) -> None:
    own_revisions.add("op.execute('SELECT no_such_column FROM agents')")
    with pytest.raises(MigrationError, match="no_such_column"):
        await run_migrations(database_url)
    assert await schema_of(database_url) == []
    assert await revision_of(database_url) is None


async def test_downgrade_that_raises_leaves_the_schema_as_it_was(migrated_url: str, own_revisions: Revisions) -> None:
    own_revisions.add("pass", "raise RuntimeError('no way back')")
    await run_migrations(migrated_url)
    before = await schema_of(migrated_url)
    with pytest.raises(MigrationError, match="no way back"):
        await run_migrations(migrated_url, 3)
    assert await schema_of(migrated_url) == before


@requires.database_file
async def test_revision_that_breaks_foreign_keys_is_rolled_back(
    migrated_sqlite_url: str, own_revisions: Revisions
) -> None:
    async with connected(migrated_sqlite_url) as connection:
        await connection.run_sync(insert_rows)
    own_revisions.add("op.execute('DELETE FROM conversations')")
    with pytest.raises(MigrationError, match=r"broken after the migration.*(messages|tasks) row 1"):
        await run_migrations(migrated_sqlite_url)
    assert await revision_of(migrated_sqlite_url) == HEAD


@requires.database_file
async def test_database_with_broken_foreign_keys_is_not_migrated(migrated_sqlite_url: str) -> None:
    await execute(
        migrated_sqlite_url, "INSERT INTO conversation_heads (conversation_id, name, message_id) VALUES ('x', 'y', 1)"
    )
    with pytest.raises(MigrationError, match=r"broken before the migration.*conversation_heads row 1"):
        await run_migrations(migrated_sqlite_url, 3)
    assert await revision_of(migrated_sqlite_url) == HEAD


async def test_tasks_of_one_process_take_turns(database_url: str, tmp_path: Path) -> None:
    urls = [database_url, database_url, *(str(tmp_path / f"{number}.db") for number in range(3))]
    await asyncio.gather(*(run_migrations(url) for url in urls))
    assert [await revision_of(url) for url in urls] == [HEAD] * len(urls)


async def test_cancelled_migration_ends_at_once_and_leaves_the_old_schema(database_url: str) -> None:
    loop = asyncio.get_running_loop()
    migration = asyncio.ensure_future(run_migrations(database_url))
    with stopping(40, lambda: loop.call_soon_threadsafe(migration.cancel)) as statements:
        with pytest.raises(asyncio.CancelledError):
            await migration
        seen = statements.seen
        assert await schema_of(database_url) == []
        await run_migrations(database_url)
    assert seen < (statements.seen - seen) // 2


@requires.database_file
async def test_revision_that_goes_on_in_a_transaction_that_is_gone_changes_nothing(
    migrated_sqlite_url: str, own_revisions: Revisions
) -> None:
    schema = await schema_of(migrated_sqlite_url)
    own_revisions.add(
        """
        try:
            op.execute("CREATE TRIGGER gone BEFORE INSERT ON users BEGIN SELECT raise(ROLLBACK, 'all is lost'); END")
            op.execute("INSERT INTO users DEFAULT VALUES")
        except Exception:
            op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
        """
    )
    with pytest.raises(TransactionError, match="nothing of it was written"):
        await run_migrations(migrated_sqlite_url)
    assert await schema_of(migrated_sqlite_url) == schema
    assert await revision_of(migrated_sqlite_url) == HEAD
