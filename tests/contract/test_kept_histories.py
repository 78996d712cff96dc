"""Versions and histories that triggers keep, whatever program writes and in whatever SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, text, update

from agent_system.models import metadata

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

# Of each table: how a program adds a row and gives it another content, and what its history then holds of the old one.
PROMPTS = (
    "INSERT INTO prompts (name, name_key, content) VALUES ('p', 'p', 'one')",
    "UPDATE prompts SET content = '{}'",
    ("prompts", "prompt_history", "content", "Content updated"),
)
CAPABILITIES = (
    "INSERT INTO capabilities_config (name, name_key, config) VALUES ('p', 'p', '\"one\"')",
    "UPDATE capabilities_config SET config = '\"{}\"'",
    ("capabilities_config", "capabilities_history", "config", "Configuration updated"),
)
CONFIG = (
    "INSERT INTO config (config_key, config_key_key, config_value) VALUES ('p', 'p', 'one')",
    "UPDATE config SET config_value = '{}'",
    ("config", "config_history", "config_value", "Value updated"),
)


class Kept:
    """One of the tables, as another program writes it."""

    def __init__(self, database: DatabaseManager, statements: Any) -> None:
        self.insertion, self.change, (self.table, self.history, self.column, self.reason) = statements
        self._database = database

    async def sql(self, statement: str, **parameters: Any) -> Any:
        return await self._database.write(lambda executor: executor.execute(text(statement), parameters).rowcount)

    async def write(self, content: str, **columns: str) -> int:
        also = "".join(f", {name} = :{name}" for name in columns)
        count: int = await self.sql(self.change.format(content) + also, **columns)
        return count

    async def set(self, **values: Any) -> None:
        statement = update(metadata.tables[self.table]).values(values)
        await self._database.write(lambda executor: executor.execute(statement))

    async def row(self) -> Any:
        (row,) = await self._read(self.table)
        return row

    async def old(self) -> list[tuple[Any, ...]]:
        rows = await self._read(self.history)
        return [(row["version"], row[self.column], row["changed_by"], row["change_reason"]) for row in rows]

    async def moments(self) -> list[tuple[datetime, datetime]]:
        return [(row["began_at"], row["created_at"]) for row in await self._read(self.history)]

    async def _read(self, name: str) -> Any:
        table = metadata.tables[name]
        statement = select(table).order_by(table.c.id)
        return await self._database.read(lambda executor: executor.execute(statement).mappings().all())


@pytest.fixture(params=[PROMPTS, CAPABILITIES, CONFIG], ids=["prompts", "capabilities", "config"])
async def kept(database: DatabaseManager, request: pytest.FixtureRequest) -> Kept:
    kept = Kept(database, request.param)
    await kept.sql(kept.insertion)
    return kept


async def test_a_new_content_raises_the_version_and_writes_the_old_one_down(kept: Kept) -> None:
    assert await kept.write("two") == 1
    assert await kept.write("three") == 1
    row = await kept.row()
    assert (row["version"], row[kept.column]) == (3, "three")
    assert await kept.old() == [(1, "one", "system", kept.reason), (2, "two", "system", kept.reason)]


async def test_the_same_content_is_no_new_version(kept: Kept) -> None:
    await kept.write("one")
    await kept.sql(f"UPDATE {kept.table} SET metadata = '{{\"a\": 1}}'")
    assert (await kept.row())["version"] == 1
    assert await kept.old() == []


async def test_a_program_says_who_and_why_in_its_statement(kept: Kept) -> None:
    await kept.write("two", changed_by="ada", change_reason="tone")
    await kept.write("three", changed_by="ada", change_reason="tone")
    await kept.write("four", change_reason="length")
    await kept.write("five")
    assert [entry[2:] for entry in await kept.old()] == [
        ("ada", "tone"),
        ("ada", "tone"),
        ("system", "length"),
        ("system", kept.reason),
    ]
    row = await kept.row()
    assert (row["changed_by"], row["change_reason"]) == (None, None)


async def test_an_author_without_a_change_is_not_taken_for_the_next_one(kept: Kept) -> None:
    await kept.write("one", changed_by="ada", change_reason="nothing")
    await kept.sql(f"UPDATE {kept.table} SET changed_by = 'ada'")
    assert (await kept.row())["changed_by"] is None
    await kept.write("two")
    assert await kept.old() == [(1, "one", "system", kept.reason)]


async def test_a_version_that_a_program_counts_itself_is_counted_once(kept: Kept) -> None:
    await kept.sql(kept.change.format("two") + ", version = version + 1")
    assert (await kept.row())["version"] == 2
    assert [entry[0] for entry in await kept.old()] == [1]


async def test_many_rows_at_once_have_a_history_each(kept: Kept) -> None:
    await kept.sql(kept.insertion.replace("'p'", "'q'"))
    assert await kept.write("two") == 2
    assert [entry[:2] for entry in await kept.old()] == [(1, "one"), (1, "one")]


async def test_an_upsert_of_another_program_is_a_change_too(kept: Kept) -> None:
    column = "config_key_key" if kept.table == "config" else "name_key"
    for content in ("one", "two", "two"):
        insertion = kept.insertion.replace("one", content)
        await kept.sql(f"{insertion} ON CONFLICT ({column}) DO UPDATE SET {kept.column} = excluded.{kept.column}")
    assert (await kept.row())["version"] == 2
    assert [entry[:2] for entry in await kept.old()] == [(1, "one")]


async def test_what_is_rolled_back_has_no_history(database: DatabaseManager, kept: Kept) -> None:
    async def change_and_fail() -> None:
        async with database.transaction():
            await kept.write("two")
            raise KeyError

    with pytest.raises(KeyError):
        await change_and_fail()
    assert (await kept.row())["version"] == 1
    assert await kept.old() == []


async def test_contents_follow_each_other_without_a_gap(kept: Kept) -> None:
    started = datetime.now(UTC)
    for content in ("two", "three"):
        await kept.write(content)
    row = await kept.row()
    (first, first_end), (second, second_end) = await kept.moments()
    assert (first, first_end) == (row["created_at"], second)
    assert abs(second_end - started) < timedelta(minutes=1)
    assert abs(row["updated_at"] - second_end) < timedelta(seconds=1)


async def test_a_moment_that_the_statement_names_is_that_of_the_history(kept: Kept) -> None:
    then = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    await kept.write("two")
    await kept.set(updated_at=then, **{kept.column: "three"})
    assert (await kept.row())["updated_at"] == then
    assert (await kept.moments())[-1][1] == then


async def test_a_deleted_setting_leaves_its_last_value(database: DatabaseManager) -> None:
    kept = Kept(database, CONFIG)
    await kept.sql(kept.insertion)
    await kept.write("two")
    await kept.sql("DELETE FROM config")
    assert await kept.old() == [(1, "one", "system", "Value updated"), (2, "two", "system", "Deleted")]
    (_, ended), (began, _) = await kept.moments()
    assert ended == began


async def test_a_change_of_a_switch_is_a_version_of_the_capability(database: DatabaseManager) -> None:
    kept = Kept(database, CAPABILITIES)
    await kept.sql(kept.insertion)
    await kept.sql("UPDATE capabilities_config SET is_enabled = false")
    assert (await kept.row())["version"] == 2
    assert await kept.old() == [(1, "one", "system", "Configuration updated")]
