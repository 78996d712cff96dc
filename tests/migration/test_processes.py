"""Several processes migrate at once, and one is killed in the middle."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from agent_system.database.migrations import current_revision, head_revision, run_migrations
from tests.migration.conftest import stream
from tests.migration.rows import insert_rows, read_rows
from tests.migration.schema import connected, schema_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.migration.conftest import Revisions

    Start = Callable[[str, str], subprocess.Popen[str]]

RACERS = 4


async def test_four_processes_that_migrate_at_once_all_succeed(database_url: str, start_migration: Start) -> None:
    processes = [start_migration(database_url, "head") for _ in range(RACERS)]
    for process in processes:
        stream(process.stdin).write("go\n")
        stream(process.stdin).flush()
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * RACERS, errors
    async with connected(database_url) as connection:
        assert await current_revision(connection) == head_revision()


async def test_killed_migration_leaves_the_old_schema_and_the_next_one_works(
    migrated_url: str, own_revisions: Revisions, start_migration: Start
) -> None:
    async with connected(migrated_url) as connection:
        await connection.run_sync(insert_rows)
        rows = await connection.run_sync(read_rows)
    schema = await schema_of(migrated_url)
    revision = own_revisions.add(
        """
        op.add_column("agents", sa.Column("nickname", sa.Text))
        op.drop_table("conversation_heads")
        print("half-way", flush=True)
        sys.stdin.readline()
        """
    )
    process = start_migration(migrated_url, "head")
    stream(process.stdin).write("go\n")
    stream(process.stdin).flush()
    assert stream(process.stdout).readline() == "half-way\n"
    process.send_signal(signal.SIGKILL)
    process.wait()

    async with connected(migrated_url) as connection:
        assert await connection.run_sync(read_rows) == rows
    assert await schema_of(migrated_url) == schema
    own_revisions.remove(revision)
    own_revisions.add("op.create_table('whole', sa.Column('id', sa.Integer, primary_key=True))")
    await run_migrations(migrated_url)
    async with connected(migrated_url) as connection:
        assert await current_revision(connection) == revision
