"""Every revision goes up and down with rows in the tables, and the newest one is what the models say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from agent_system.database.migrations import check_schema, current_revision, head_revision, run_migrations
from agent_system.database.revisions import alembic_config, revision_history
from agent_system.models import metadata
from tests.migration.rows import ROWS, insert_rows, read_rows
from tests.migration.schema import connected, schema_of

REVISIONS = revision_history()


def test_revisions_are_one_line_of_numbers() -> None:
    assert [f"{number:04}" for number in range(1, len(REVISIONS) + 1)] == REVISIONS


@pytest.mark.parametrize("revision", REVISIONS)
def test_revision_is_named_by_its_file_and_says_what_a_downgrade_loses(revision: str) -> None:
    script = ScriptDirectory.from_config(alembic_config()).get_revision(revision)
    assert re.fullmatch(rf"{revision}_[a-z]+(_[a-z]+)+\.py", Path(script.path).name)
    assert "downgrade" in (script.module.__doc__ or "")


def test_rows_for_these_tests_fill_every_table() -> None:
    assert set(ROWS) == set(metadata.tables)


async def test_newest_revision_is_what_the_models_say(database_url: str) -> None:
    async with connected(database_url) as connection:
        await connection.run_sync(metadata.create_all)
    created = await schema_of(database_url)
    async with connected(database_url) as connection:
        await connection.run_sync(metadata.drop_all)

    await run_migrations(database_url)

    assert await schema_of(database_url) == created


async def test_alembic_finds_no_difference(migrated_url: str) -> None:
    async with connected(migrated_url) as connection:
        assert await check_schema(connection) == []
        assert await current_revision(connection) == head_revision()


async def test_down_to_base_and_up_again_gives_the_same_schema(migrated_url: str) -> None:
    before = await schema_of(migrated_url)
    await run_migrations(migrated_url, "base")
    assert await schema_of(migrated_url) == []
    await run_migrations(migrated_url, "head")
    assert await schema_of(migrated_url) == before


@pytest.mark.timeout(300)
async def test_every_step_goes_up_and_down_with_rows_in_all_tables(database_url: str) -> None:
    for number, revision in enumerate(REVISIONS, start=1):
        await run_migrations(database_url, number - 1)
        below = await schema_of(database_url)
        async with connected(database_url) as connection:
            await connection.run_sync(insert_rows)
            rows_below = await connection.run_sync(read_rows)

        await run_migrations(database_url, revision)
        async with connected(database_url) as connection:
            assert await current_revision(connection) == revision
            rows_above = await connection.run_sync(read_rows)
            await connection.run_sync(insert_rows)
        for name, rows in rows_below.items():
            # A column that the revision adds comes last.
            assert [above[: len(below_it)] for above, below_it in zip(rows_above[name], rows, strict=True)] == rows

        await run_migrations(database_url, number - 1)
        assert await schema_of(database_url) == below
        async with connected(database_url) as connection:
            assert await connection.run_sync(read_rows) == rows_below


async def test_all_rows_are_kept_while_the_schema_stays_at_head(migrated_url: str) -> None:
    async with connected(migrated_url) as connection:
        await connection.run_sync(insert_rows)
        before = await connection.run_sync(read_rows)
    await run_migrations(migrated_url)
    async with connected(migrated_url) as connection:
        assert await connection.run_sync(read_rows) == before
    assert all(before.values())
