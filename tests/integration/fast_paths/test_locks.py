"""Closing any descriptor of a database's files drops all locks of the process; nothing of ours may do so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_system.database.wal_index import WalIndex
from tests import requirements as requires
from tests.integration.engine.processes import Child
from tests.integration.fast_paths.managers import Agents

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager
    from tests.integration.engine.processes import OtherProcess

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

pytestmark = requires.file_locks
PROGRAMS = Path(__file__).with_name("programs")
ASK_FOR_LOCK = "BEGIN IMMEDIATE"


async def test_nobody_but_sqlite_opens_a_file_of_the_database(migrated_sqlite_url: str) -> None:
    path = migrated_sqlite_url.partition("///")[2]
    child = await Child.start(str(PROGRAMS / "living.py"), path)
    assert await child.finish() == [{"opened": [], "closed": [], "left": []}]


class TestLockOfATransaction:
    @pytest.fixture
    def doings(self, db: DatabaseManager, open_database: OpenDatabase) -> dict[str, Callable[[], Awaitable[object]]]:
        """Return what may be done in the process while one of its transactions is open."""

        async def open_and_close() -> None:
            second = await open_database()
            await Agents(second).get_by_id("0199a2b4-0000-7000-8000-000000000000")
            await second.disconnect()

        async def map_and_unmap() -> None:
            index = WalIndex.of(str(db.url.database))
            assert index is not None
            index.close()

        async def read_beside() -> None:
            async with db.session(read_only=True) as session:
                await session.get(Agents.entity, "0199a2b4-0000-7000-8000-000000000000")

        return {
            "a second manager": open_and_close,
            "another WAL index": map_and_unmap,
            "health": db.health,
            "a session": read_beside,
        }

    @pytest.mark.parametrize("doing", ["a second manager", "another WAL index", "health", "a session"])
    async def test_no_other_process_gets_it(
        self,
        db: DatabaseManager,
        other_process: OtherProcess,
        doings: dict[str, Callable[[], Awaitable[object]]],
        doing: str,
    ) -> None:
        agents = Agents(db)
        is_open, is_done = asyncio.Event(), asyncio.Event()

        async def do_beside() -> None:
            await is_open.wait()
            await doings[doing]()
            is_done.set()

        beside = asyncio.create_task(do_beside())
        async with db.transaction():
            agent = await agents.create({"name": "mine"})
            is_open.set()
            await is_done.wait()
            assert await other_process.try_to(ASK_FOR_LOCK) == "SQLITE_BUSY"
        await beside
        assert await other_process.try_to(ASK_FOR_LOCK) is None
        assert await other_process.run("SELECT name FROM agents") == [["mine"]]
        await other_process.run("COMMIT")
        assert await agents.get_by_id(agent.id) == agent

    async def test_it_is_kept_when_the_manager_that_was_first_is_closed(
        self, open_database: OpenDatabase, other_process: OtherProcess
    ) -> None:
        first, second = await open_database(), await open_database()
        async with second.transaction():
            await Agents(second).create({"name": "mine"})
            await first.disconnect()
            assert await other_process.try_to(ASK_FOR_LOCK) == "SQLITE_BUSY"
