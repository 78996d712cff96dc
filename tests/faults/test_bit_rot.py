"""Pages of the file rot: the doctor finds each of them, and says what to do."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.engine import make_url

from agent_system import DatabaseManager, EntityManager
from agent_system.doctor import Severity, examine_url
from tests import requirements as requires
from tests.faults.writers import WAYS

if TYPE_CHECKING:
    from tests.faults.report import Teller

# Processes are started and ended here: on a machine that is busy with other tests too it takes its time.
pytestmark = pytest.mark.timeout(240)

PAGE_BYTES = 4096
PAGES = 3
MANY_PAGES = 200
ROWS = 10


@pytest.fixture
async def path(migrated_sqlite_url: str) -> Path:
    """Return a closed database with rows."""
    async with DatabaseManager(migrated_sqlite_url, auto_migrate=False) as db:
        em = EntityManager(db)
        for number in range(ROWS):
            for way in WAYS:
                await way(em, f"{way.__name__} rot {number}")
    return Path(str(make_url(migrated_sqlite_url).database))


def used_pages(path: Path) -> list[int]:
    """Return the numbers of the pages that hold something: a tree's root has no free ones above it."""
    with closing(sqlite3.connect(path)) as connection:
        return [page for (page,) in connection.execute("SELECT rootpage FROM sqlite_schema WHERE rootpage > 1")]


async def rot(path: Path, most: int, tell: Teller) -> None:
    luck = random.Random(most)
    pages = used_pages(path)
    chosen = luck.sample(pages, min(most, len(pages)))
    unnoticed = []
    for page in chosen:
        rotten = path.with_name(f"rotten {page}.db")
        shutil.copyfile(path, rotten)
        with rotten.open("r+b") as file:
            file.seek((page - 1) * PAGE_BYTES)
            file.write(luck.randbytes(64))
        report = await examine_url(str(rotten))
        if report.worst is not Severity.ERROR:
            unnoticed.append(page)

    tell("bit rot in a page, found by the doctor", trials=len(chosen))
    assert not unnoticed


@requires.database_file
async def test_the_doctor_finds_a_rotten_page(path: Path, tell: Teller) -> None:
    await rot(path, PAGES, tell)


@requires.database_file
@pytest.mark.full
@pytest.mark.timeout(600)
async def test_the_doctor_finds_every_rotten_page(path: Path, tell: Teller) -> None:
    await rot(path, MANY_PAGES, tell)
