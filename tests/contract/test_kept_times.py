"""`updated_at` is kept whoever writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, text, update

from agent_system.models import metadata
from tests.migration.rows import insert_rows

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

PAST = datetime(2001, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
# A column of each table, and what another program writes into it.
CHANGES: dict[str, dict[str, Any]] = {
    "prompts": {"description": "new"},
    "prompt_labels": {"prompt_version": 9},
    "capabilities_config": {"description": "new"},
    "config": {"notes": "new"},
    "feature_flags": {"enabled": True},
    "goals": {"objective": "new"},
    "todos": {"description": "new"},
    "todo_items": {"status": "in_progress"},
}


@pytest.fixture(params=CHANGES)
async def table(database: DatabaseManager, request: pytest.FixtureRequest) -> str:
    async with database.session() as session:
        await (await session.connection()).run_sync(insert_rows)
        await session.commit()
    return str(request.param)


async def change(database: DatabaseManager, table: str, **values: Any) -> None:
    statement = update(metadata.tables[table]).values(values)
    await database.write(lambda executor: executor.execute(statement))


async def updated_at(database: DatabaseManager, table: str) -> Any:
    column = metadata.tables[table].c.updated_at
    return await database.read(lambda executor: executor.execute(select(column)).scalar_one())


async def test_a_statement_that_does_not_date_its_change_is_dated(database: DatabaseManager, table: str) -> None:
    await change(database, table, updated_at=PAST)
    assert await updated_at(database, table) == PAST
    # As text: SQLAlchemy's own update would set the column.
    changes = ", ".join(f"{name} = :{name}" for name in CHANGES[table])
    statement = text(f"UPDATE {table} SET {changes}")
    await database.write(lambda executor: executor.execute(statement, CHANGES[table]))
    assert abs(await updated_at(database, table) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_statement_that_dates_its_change_is_believed(database: DatabaseManager, table: str) -> None:
    await change(database, table, updated_at=PAST, **CHANGES[table])
    assert await updated_at(database, table) == PAST
