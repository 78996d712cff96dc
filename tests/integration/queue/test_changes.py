"""Waiting for a commit: whoever waits is told, in this process and from others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from agent_system.database.dialects import sqlite_changes
from agent_system.database.inotify import FolderEvents
from tests import requirements as requires

if TYPE_CHECKING:
    from pathlib import Path

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager

LONG = 20


def write(executor: Executor) -> None:
    executor.execute(text("INSERT INTO hosts (name, name_key) SELECT 'h' || count(*), 'h' || count(*) FROM hosts"))
    executor.notify()


async def test_a_commit_of_another_connection_ends_the_wait(database: DatabaseManager) -> None:
    async with database.changes() as changes, database.another() as other:
        await other.write(write)
        for _ in range(3):
            mark = changes.mark()
            waiting = asyncio.create_task(changes.changed(mark, LONG))
            await asyncio.sleep(0)
            await other.write(write)
            assert await waiting
            assert await changes.changed(mark, 0)


async def test_without_a_commit_the_wait_ends_by_itself(database: DatabaseManager) -> None:
    async with database.changes() as changes:
        async with asyncio.timeout(LONG):
            # On PostgreSQL the connection that listens is a change of its own when it comes.
            while await changes.changed(changes.mark(), 0.05):
                pass
        assert changes.is_listening


@requires.write_ahead_log
@pytest.mark.parametrize("lacking", ["events", "index"])
async def test_where_nobody_tells_it_is_looked_for(
    database: DatabaseManager, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    if lacking == "events":
        monkeypatch.setattr(sqlite_changes.FolderEvents, "of", lambda *_: None)
    else:
        monkeypatch.setattr(sqlite_changes.WalIndex, "of", lambda *_: None)
    async with database.changes() as changes:
        assert not changes.is_listening
        waiting = asyncio.create_task(changes.changed(changes.mark(), LONG))
        await asyncio.sleep(0)
        await database.write(write)
        assert await waiting


@requires.server_connection
async def test_a_connection_that_is_ended_is_replaced(database: DatabaseManager) -> None:
    async with database.changes() as changes:
        while not changes.is_listening:
            await changes.changed(changes.mark(), 0.1)
        mark = changes.mark()
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        await database.write(lambda executor: executor.execute(text(ended)))
        # The new connection is a change: what was sent in between was not heard.
        assert await changes.changed(mark, LONG)
        mark = changes.mark()
        await database.write(write)
        assert await changes.changed(mark, LONG)


@requires.write_ahead_log
async def test_what_others_wait_for_is_announced_when_it_can_be_seen(
    database: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_changes, "ARMED_POLL_SECONDS", LONG)
    monkeypatch.setattr(sqlite_changes, "ARMED_SECONDS", LONG)
    monkeypatch.setattr(sqlite_changes, "BACKSTOP_SECONDS", LONG)
    async with database.changes() as changes, database.another() as other:
        for _ in range(5):
            waiting = asyncio.create_task(changes.changed(changes.mark(), LONG))
            await asyncio.sleep(0)
            async with asyncio.timeout(LONG / 2), other.transaction():
                await other.write(write)
            async with asyncio.timeout(LONG / 2):
                await other.write(write)
                assert await waiting


def test_only_events_of_the_file_count(tmp_path: Path) -> None:
    events = FolderEvents.of(str(tmp_path), "a-wal")
    assert events is not None
    try:
        (tmp_path / "other").write_text("x")
        assert not events.drain()
        (tmp_path / "a-wal").write_text("x")
        assert events.drain()
        assert not events.drain()
    finally:
        events.close()
    assert FolderEvents.of(str(tmp_path / "missing"), "a") is None
