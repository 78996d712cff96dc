"""The results of a unit of work's statements: they may leave it, and those that nobody takes are in nobody's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, text

from agent_system.models import Host
from tests.integration.fast_paths.managers import Hosts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

hosts: Any = Host.__table__  # type: ignore[attr-defined]
NAMES = select(hosts.c.name).order_by(hosts.c.id)


@pytest.fixture
async def db(open_database: OpenDatabase) -> DatabaseManager:
    """Return a manager that does all its reads on one connection."""
    db = await open_database(durability="normal", inline_reads=False)
    await Hosts(db).create_many([{"name": name} for name in ("one", "two", "three")])
    return db


async def test_a_result_may_leave_the_unit_of_work_that_read_it(db: DatabaseManager) -> None:
    result = await db.read(lambda executor: executor.execute(NAMES))
    assert result.scalars().all() == ["one", "two", "three"]


async def test_a_result_may_leave_the_unit_of_work_that_wrote(db: DatabaseManager) -> None:
    statement = insert(hosts).values(name="four", name_key="four").returning(hosts.c.name)
    result = await db.write(lambda executor: executor.execute(statement))
    assert result.scalar_one() == "four"
    assert await Hosts(db).count() == 4


@pytest.mark.parametrize("taken", [1, 2])
async def test_what_is_left_of_a_result_holds_no_snapshot(db: DatabaseManager, taken: int) -> None:
    manager = Hosts(db)
    first = await manager.require(1)
    result = await db.read(lambda executor: executor.execute(NAMES))
    result.fetchmany(taken)
    changed = await manager.update(first.id, {"name": "changed"})
    for _ in range(2):
        assert await manager.get_by_id(first.id) == changed
    assert len(result.all()) == 3 - taken


async def test_what_is_left_of_a_result_hinders_no_commit(db: DatabaseManager) -> None:
    def work(executor: Any) -> Any:
        result = executor.execute(text("UPDATE hosts SET base_url = 'x' RETURNING id"))
        result.fetchone()
        return result

    result = await db.write(work)
    async with db.transaction():
        other = await db.write(work)
        other.fetchone()
    await Hosts(db).create({"name": "four"})
    assert len(result.all()) == len(other.all()) + 1 == 2


async def test_rows_can_be_taken_in_parts(db: DatabaseManager) -> None:
    result = await db.read(lambda executor: executor.execute(NAMES))
    assert result.fetchone() == ("one",)
    assert result.fetchmany(1) == [("two",)]
    assert result.fetchall() == [("three",)]
    assert (await db.read(lambda executor: executor.execute(NAMES))).first() == ("one",)
    assert [row.name for row in await db.read(lambda executor: executor.execute(NAMES))] == ["one", "two", "three"]


async def test_many_rows_of_parameters_are_one_statement(db: DatabaseManager) -> None:
    rows = [{"name": str(number), "name_key": str(number)} for number in range(10)]
    statement = insert(hosts)
    result = await db.write(lambda executor: executor.execute(statement, rows))
    assert result.rowcount in {10, -1}
    assert await Hosts(db).count() == 13
