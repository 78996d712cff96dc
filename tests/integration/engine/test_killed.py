"""A process that writes is killed: what it was told is written is there, whole transactions only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests import requirements as requires
from tests.integration.engine.notes import add, read_titles, run_sql
from tests.integration.engine.processes import Child

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]


async def acknowledged_until_killed(url: str, name: str, rows: int) -> set[str]:
    """Let a process write and kill it after so many acknowledged rows; returns all that it still told."""
    child = await Child.start("writes_until_killed.py", url, name, options=())
    told = {await child.hear() for _ in range(rows)}
    return told | {title for title in await child.kill() if isinstance(title, str)}


async def kill_and_check(url: str, db: DatabaseManager, rounds: int, rows: int) -> None:
    acknowledged: set[str] = set()
    for number in range(rounds):
        acknowledged |= await acknowledged_until_killed(url, f"round {number}", rows + number)
    there = set(await db.read(read_titles))

    assert len(acknowledged) >= rounds * rows
    assert acknowledged <= there
    assert {half.replace("first", "second") for half in there if half.endswith("first")} <= there


async def test_acknowledged_rows_survive_the_kill_of_their_writer(db: DatabaseManager, migrated_url: str) -> None:
    await kill_and_check(migrated_url, db, rounds=1, rows=200)
    await db.write(add("after"))

    assert "after" in await db.read(read_titles)


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_acknowledged_rows_survive_many_kills(db: DatabaseManager, migrated_url: str) -> None:
    await kill_and_check(migrated_url, db, rounds=20, rows=500)


@requires.database_file
async def test_the_file_is_sound_after_a_kill_when_nobody_else_had_it_open(
    db: DatabaseManager, migrated_url: str, open_database: OpenDatabase
) -> None:
    await db.disconnect()
    acknowledged = await acknowledged_until_killed(migrated_url, "alone", 300)
    again = await open_database()

    assert acknowledged <= set(await again.read(read_titles))
    assert await again.read(run_sql("PRAGMA integrity_check")) == [("ok",)]


@requires.one_writer
async def test_the_lock_of_a_killed_process_is_free_at_once(db: DatabaseManager) -> None:
    child = await Child.start("other_process.py", db.url.database)
    await child.hear()
    await child.tell(sql="BEGIN IMMEDIATE")
    await child.tell(sql="INSERT INTO notes (title, amount) VALUES ('never there', 0)")
    writing = asyncio.create_task(db.write(add("waited")))
    await asyncio.sleep(0)
    assert not writing.done()
    await child.kill()
    async with asyncio.timeout(10):
        await writing

    assert await db.read(read_titles) == ["waited"]
