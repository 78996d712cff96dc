"""Backups of a database that is written to are restored, again and again: each is a state that was there."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.engine import make_url

from agent_system import DatabaseManager, EntityManager
from agent_system.backup import create_backup, restore_backup
from tests import requirements as requires
from tests.faults.writers import WAYS, whole_titles

if TYPE_CHECKING:
    from tests.faults.report import Teller
    from tests.faults.writers import Way

# Processes are started and ended here: on a machine that is busy with other tests too it takes its time.
pytestmark = pytest.mark.timeout(240)

DRILLS = 20
MANY_DRILLS = 200
# Between two writes of a writer, or the copies would become the whole test.
PAUSE_SECONDS = 0.02


async def write(em: EntityManager, way: Way, acknowledged: set[str]) -> None:
    """Write until somebody says that it is enough."""
    for number in count():
        title = f"{way.__name__} drill {number}"
        await way(em, title)
        acknowledged.add(title)
        await asyncio.sleep(PAUSE_SECONDS)


async def drill(path: Path, drills: int, tell: Teller) -> None:
    acknowledged, lost = set[str](), set[str]()
    async with DatabaseManager(path, auto_migrate=False) as db:
        em = EntityManager(db)
        writers = [asyncio.create_task(write(em, way, acknowledged)) for way in WAYS]
        try:
            for number in range(drills):
                before = set(acknowledged)
                backup = await create_backup(path, path.parent / "kept", compress=bool(number % 2))
                restored = path.parent / f"restored {number}" / "system.db"
                await restore_backup(backup.path, restored)
                async with DatabaseManager(restored, auto_migrate=False) as copy:
                    lost |= before - await whole_titles(EntityManager(copy))
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
        # A write whose writer is gone may still be under way; one that comes behind it has seen it end.
        await em.agents.create({"name": "the last one"})
        # The copying took nothing away from those who were connected all the time.
        lost |= acknowledged - await whole_titles(em)

    tell("backup under writes, then a restore", trials=drills, acknowledged=len(acknowledged), lost=len(lost))
    assert len(acknowledged) > drills
    assert not lost


def path_of(url: str) -> Path:
    return Path(str(make_url(url).database))


@requires.database_file
async def test_what_was_acknowledged_before_a_backup_comes_back(migrated_sqlite_url: str, tell: Teller) -> None:
    await drill(path_of(migrated_sqlite_url), DRILLS, tell)


@requires.database_file
@pytest.mark.full
@pytest.mark.timeout(600)
async def test_many_drills_bring_everything_back(migrated_sqlite_url: str, tell: Teller) -> None:
    await drill(path_of(migrated_sqlite_url), MANY_DRILLS, tell)
