"""Several processes migrate at once, and one is killed in the middle."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from agent_system.database import revisions
from agent_system.database.migrations import current_revision, head_revision, run_migrations
from tests.migration.rows import insert_rows, read_rows
from tests.migration.schema import connected, schema_of

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from tests.migration.conftest import Revisions

RACERS = 4


def migrate_when_all_are_there(url: str, start: Barrier) -> None:
    """Run as a process."""
    start.wait()
    asyncio.run(run_migrations(url))


def migrate_with(folder: Path, url: str) -> None:
    """Run as a process."""
    revisions.script_location = lambda: folder
    asyncio.run(run_migrations(url))


async def test_four_processes_that_migrate_at_once_all_succeed(database_url: str, processes: ForkServerContext) -> None:
    start = processes.Barrier(RACERS)
    racers = [processes.Process(target=migrate_when_all_are_there, args=(database_url, start)) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * RACERS
    async with connected(database_url) as connection:
        assert await current_revision(connection) == head_revision()


async def test_killed_migration_leaves_the_old_schema_and_the_next_one_works(
    migrated_url: str, own_revisions: Revisions, processes: ForkServerContext
) -> None:
    async with connected(migrated_url) as connection:
        await connection.run_sync(insert_rows)
        rows = await connection.run_sync(read_rows)
    schema = await schema_of(migrated_url)
    revision = own_revisions.add(
        """
        op.add_column("agents", sa.Column("nickname", sa.Text))
        op.drop_table("conversation_heads")
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    process = processes.Process(target=migrate_with, args=(own_revisions.folder, migrated_url))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL

    async with connected(migrated_url) as connection:
        assert await connection.run_sync(read_rows) == rows
    assert await schema_of(migrated_url) == schema
    own_revisions.remove(revision)
    own_revisions.add("op.create_table('whole', sa.Column('id', sa.Integer, primary_key=True))")
    await run_migrations(migrated_url)
    async with connected(migrated_url) as connection:
        assert await current_revision(connection) == revision
