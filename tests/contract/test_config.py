"""Config: typed settings with a history that outlives them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system.entity_manager import EntityManager
from agent_system.errors import NotFoundError, ValidationError
from agent_system.types import ConfigType
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
VALUES: list[tuple[Any, ConfigType, str]] = [
    ("text \0\ud800", ConfigType.STRING, "text \0\ud800"),
    ("", ConfigType.STRING, ""),
    ("5", ConfigType.STRING, "5"),
    (5, ConfigType.INT, "5"),
    (-(10**30), ConfigType.INT, str(-(10**30))),
    (0.1, ConfigType.FLOAT, "0.1"),
    (True, ConfigType.BOOL, "true"),
    (False, ConfigType.BOOL, "false"),
    ({"b": [1, None], "a": "é\0"}, ConfigType.JSON, '{"b": [1, null], "a": "é\\u0000"}'),
    ([], ConfigType.JSON, "[]"),
    (None, ConfigType.JSON, "null"),
]


@pytest.fixture
def moments() -> list[datetime]:
    """What the clock says: the last of these."""
    return [START]


@pytest.fixture
def em(database: DatabaseManager, moments: list[datetime]) -> EntityManager:
    return EntityManager(database, clock=lambda: moments[-1])


async def lost(em: EntityManager, key: str = "k") -> list[tuple[str, str, str | None]]:
    return [(row.config_value, row.changed_by, row.change_reason) for row in await em.config.history_of(key)]


@pytest.mark.parametrize(("value", "kind", "stored"), VALUES, ids=str)
async def test_a_value_comes_back_as_it_was_set(em: EntityManager, value: Any, kind: ConfigType, stored: str) -> None:
    row = await em.config.set("k", value)
    assert (row.value_type, row.config_value) == (kind, stored)
    found = await em.config.get("K", "default")
    assert (found, type(found)) == (value, type(value))
    assert await em.config.values() == {"k": value}


async def test_what_is_not_set_is_the_default(em: EntityManager) -> None:
    assert await em.config.get("k") is None
    assert await em.config.get("k", 7, ConfigType.INT) == 7
    await em.config.set("k", None)
    assert await em.config.get("k", 7) is None


async def test_a_value_is_set_and_read_as_a_type(em: EntityManager) -> None:
    await em.config.set("k", 5, kind="float")
    assert await em.config.get("k") == 5.0
    await em.config.set("k", "5", kind=ConfigType.JSON)
    assert await em.config.get("k") == "5"
    for value, kind in (("5", "int"), (5.5, "int"), (1, "bool"), (True, "int"), (5, "string")):
        with pytest.raises(ValidationError, match=r"config\.k"):
            await em.config.set("k", value, kind=kind)
    for value in (float("nan"), object(), {1, 2}, {"a": b""}):
        with pytest.raises(ValidationError, match=r"config\.k"):
            await em.config.set("k", value)
    with pytest.raises(ValidationError, match="there is no type 'number'"):
        await em.config.get("k", kind="number")
    await em.config.set("k", " Yes ")
    assert await em.config.get("k", kind="bool") is True
    assert await em.config.get("k") == " Yes "
    for kind in ("int", "float", "json"):
        with pytest.raises(ValidationError, match=r"config\.k"):
            await em.config.get("k", 1, kind)
    await em.config.set("k", "inf")
    with pytest.raises(ValidationError):
        await em.config.get("k", kind="float")


async def test_every_value_is_kept_with_who_replaced_it_and_why(em: EntityManager) -> None:
    first = await em.config.set("k", 1, author="ada", notes="about k")
    assert (first.version, first.created_by, first.notes) == (1, "ada", "about k")
    second = await em.config.set("K", 2, author="grace", reason="more")
    assert (second.id, second.version, second.notes, second.config_key) == (first.id, 2, "about k", "k")
    assert (await em.config.set("k", 2, author="none")).version == 2
    with em.events.context(actor="bot"):
        assert (await em.config.set("k", "2", notes="a text now")).version == 3
    assert await lost(em) == [("1", "grace", "more"), ("2", "bot", "Value updated")]
    versions = await em.config.versions("k")
    assert [(each.value, each.author, each.reason) for each in versions] == [
        (1, "ada", None),
        (2, "grace", "more"),
        ("2", "bot", "Value updated"),
    ]


async def test_a_rollback_is_a_version_with_the_old_value(em: EntityManager) -> None:
    for value in (1, "two"):
        await em.config.set("k", value)
    back = await em.config.rollback("k", 1, author="ada", reason="as it was")
    assert (back.version, back.config_value, back.value_type) == (3, "1", ConfigType.INT)
    assert await em.config.get("k") == 1
    with pytest.raises(NotFoundError):
        await em.config.rollback("k", 9)


async def test_a_deleted_setting_keeps_its_history(em: EntityManager) -> None:
    first = await em.config.set("k", 1)
    assert await em.config.unset("K", author="ada", reason="unused")
    assert not await em.config.unset("k")
    assert await em.config.get("k", "gone") == "gone"
    again = await em.config.set("k", 2)
    assert (again.version, again.id != first.id) == (1, True)
    with em.events.context(actor="bot"):
        assert await em.config.delete(again.id)
    assert not await em.config.delete(again.id)
    await em.config.set("k", 3)
    assert await lost(em) == [("1", "ada", "unused"), ("2", "bot", "Deleted")]
    assert await em.config.history("k") == []


async def test_all_settings_are_cleared_at_once(em: EntityManager) -> None:
    for n in range(3):
        await em.config.set(f"k{n}", n)
    assert await em.config.clear(author="ada", reason="afresh") == 3
    assert await em.config.clear() == 0
    assert await em.config.values() == {}
    assert [await lost(em, f"k{n}") for n in range(3)] == [[(str(n), "ada", "afresh")] for n in range(3)]


async def test_as_of_tells_the_value_at_a_moment_also_of_what_was_deleted(
    em: EntityManager, moments: list[datetime]
) -> None:
    async def after(hours: int) -> None:
        moments.append(START + timedelta(hours=hours))

    await em.config.set("k", 1)
    await after(1)
    await em.config.set("k", 2)
    await after(2)
    await em.config.unset("k")
    await after(4)
    await em.config.set("k", 3)
    await after(5)
    await em.config.set("k", 4)
    values = []
    for minutes in (-1, 0, 59, 60, 119, 120, 239, 240, 299, 300, 9999):
        found = await em.config.as_of("k", START + timedelta(minutes=minutes))
        values.append(None if found is None else found.value)
    assert values == [None, 1, 1, 2, 2, None, None, 3, 3, 4, 4]
    with pytest.raises(ValidationError, match="at"):
        await em.config.as_of("k", START.replace(tzinfo=None))


async def test_racing_writers_of_a_new_setting_make_one_with_all_versions(em: EntityManager) -> None:
    await asyncio.gather(*(em.config.set("k", n, author=str(n)) for n in range(64)))
    assert await em.config.count() == 1
    versions = await em.config.versions("k")
    assert [each.version for each in versions] == list(range(1, 65))
    assert {each.value for each in versions} == set(range(64))
    assert [each.author for each in versions] == [str(each.value) for each in versions]


async def test_racing_patches_of_one_document_all_survive(em: EntityManager) -> None:
    await em.config.set("k", {"kept": {"a": 1}})
    await asyncio.gather(*(em.config.merge("k", {"kept": {f"k{n}": n}}) for n in range(64)))
    assert await em.config.get("k") == {"kept": {"a": 1} | {f"k{n}": n for n in range(64)}}
    assert (await em.config.merge("k", {"kept": None})).value_type is ConfigType.JSON
    assert await em.config.get("k") == {}
    await em.config.set("text", "{}")
    with pytest.raises(ValidationError, match="text"):
        await em.config.merge("text", {"a": 1})
    with pytest.raises(NotFoundError):
        await em.config.merge("nothing", {"a": 1})


async def test_what_another_program_writes_is_shown_as_it_is(em: EntityManager, database: DatabaseManager) -> None:
    await em.config.set("k", {"a": 1})
    await em.config.set("other", 1)
    statement = text("UPDATE config SET config_value = '{broken' WHERE config_key = 'k'")
    await database.write(lambda executor: executor.execute(statement))
    assert await em.config.get("k") == "{broken"
    assert await em.config.values() == {"k": "{broken", "other": 1}
    with pytest.raises(ValidationError):
        await em.config.get("k", kind="json")
    assert (await em.config.versions("k"))[1].value == "{broken"


async def test_settings_are_put_into_a_text_by_one_statement(em: EntityManager) -> None:
    for key, value in {"Name": "Ada", "n": 5, "flag": True, "tree": {"é": [1]}, "x": "{{n}}"}.items():
        await em.config.set(key, value)
    template = "{{name}} {{ NAME }} {{n}} {{flag}} {{tree}} {{x}} {{missing}}"
    with recorded_statements() as statements:
        assert await em.config.substitute(template) == 'Ada Ada 5 true {"é": [1]} {{n}} {{missing}}'
    assert len(statements) == 1
    with pytest.raises(ValidationError, match="missing"):
        await em.config.substitute(template, keep_missing=False)
    with recorded_statements() as statements:
        assert await em.config.substitute("nothing to do") == "nothing to do"
    assert statements == []


async def test_settings_are_listed_by_prefix(em: EntityManager) -> None:
    for key in ("mail.host", "Mail.port", "mailbox", "queue_size", "queue%"):
        await em.config.set(key, key)
    with recorded_statements() as statements:
        assert list(await em.config.values("MAIL.")) == ["mail.host", "Mail.port"]
    assert len(statements) == 1
    assert list(await em.config.values("queue%")) == ["queue%"]
    assert len(await em.config.values()) == 5
    assert (await em.config.list(order_by="config_key", limit=2)).next_cursor
