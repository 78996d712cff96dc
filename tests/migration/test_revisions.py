"""Every revision goes up and down with rows in the tables, and the newest one is what the models say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

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
    # All the way up and all the way down: what each revision found is what has to be there when it has been taken back.
    schema: list[str] = []
    rows: dict[str, list[tuple[Any, ...]]] = {}
    found = []
    for revision in REVISIONS:
        found.append((schema, rows))
        await run_migrations(database_url, revision)
        async with connected(database_url) as connection:
            assert await current_revision(connection) == revision
            rows_above = await connection.run_sync(read_rows)
            await connection.run_sync(insert_rows)
            rows_filled = await connection.run_sync(read_rows)
        for name, below in rows.items():
            # A column that the revision adds comes last.
            assert [above[: len(below_it)] for above, below_it in zip(rows_above[name], below, strict=True)] == below
        schema, rows = await schema_of(database_url), rows_filled

    for number in reversed(range(len(REVISIONS))):
        schema, rows = found[number]
        await run_migrations(database_url, number)
        assert await schema_of(database_url) == schema
        async with connected(database_url) as connection:
            assert await connection.run_sync(read_rows) == rows


async def test_all_rows_are_kept_while_the_schema_stays_at_head(migrated_url: str) -> None:
    async with connected(migrated_url) as connection:
        await connection.run_sync(insert_rows)
        before = await connection.run_sync(read_rows)
    await run_migrations(migrated_url)
    async with connected(migrated_url) as connection:
        assert await connection.run_sync(read_rows) == before
    assert all(before.values())
