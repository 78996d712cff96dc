"""Prompts: contents with authors and reasons, every version had again, and filling them in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system.entity_manager import EntityManager
from agent_system.errors import ConflictError, DuplicateKeyError, NotFoundError, ValidationError
from agent_system.managers.core.templates import fill_in
from tests.clock import Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Prompt

START = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def make(em: EntityManager, name: str = "greeting", content: str = "one", **data: Any) -> Prompt:
    return await em.prompts.create({"name": name, "content": content, **data})


async def stored(em: EntityManager, name: str = "greeting") -> list[tuple[int, str, str, str | None]]:
    return [(row.version, row.content, row.changed_by, row.change_reason) for row in await em.prompts.history(name)]


async def test_a_change_of_the_content_is_a_version_with_author_and_reason(em: EntityManager) -> None:
    prompt = await make(em, created_by="ada")
    assert (prompt.version, prompt.created_by) == (1, "ada")
    second = await em.prompts.update_content("greeting", "two", author="grace", reason="shorter")
    assert (second.id, second.version, second.content) == (prompt.id, 2, "two")
    third = await em.prompts.update_content(prompt.id, "three", author="grace", reason="shorter")
    assert third.version == 3
    assert third.model_dump() == (await em.prompts.require(prompt.id)).model_dump()
    assert await stored(em) == [(1, "one", "grace", "shorter"), (2, "two", "grace", "shorter")]


async def test_every_verb_that_writes_a_content_writes_one_version(em: EntityManager) -> None:
    prompt = await make(em)
    assert (await em.prompts.update(prompt.id, {"content": "two", "description": "d"})).version == 2
    assert (await em.prompts.upsert({"name": "GREETING", "content": "three"}, on=("name",))).version == 3
    with em.events.context(actor="bot"):
        assert (await em.prompts.update(prompt.id, {"content": "four"})).version == 4
        assert (await em.prompts.update_content("greeting", "five", reason="why")).version == 5
    assert await stored(em) == [
        (1, "one", "system", "Content updated"),
        (2, "two", "system", "Content updated"),
        (3, "three", "bot", "Content updated"),
        (4, "four", "bot", "why"),
    ]
    old = await em.prompts.history("greeting")
    assert [row.description for row in old] == [None, "d", "d", "d"]
    with em.events.context(actor="bot"):
        assert (await make(em, "another")).created_by == "bot"


async def test_the_same_text_is_no_version(em: EntityManager) -> None:
    prompt = await make(em)
    same = await em.prompts.update_content("greeting", "one", author="ada", reason="none")
    assert same.model_dump() == prompt.model_dump()
    assert (await em.prompts.update(prompt.id, {"content": "one", "category": "x"})).version == 1
    assert await stored(em) == []


async def test_what_a_program_writes_by_itself_is_seen(em: EntityManager, database: DatabaseManager) -> None:
    await make(em)
    assert (await em.prompts.get_by_name("greeting")) is not None
    statement = text("UPDATE prompts SET content = 'raw'")
    await database.write(lambda executor: executor.execute(statement))
    prompt = await em.prompts.get_by_name("greeting")
    assert prompt is not None
    assert (prompt.content, prompt.version) == ("raw", 2)
    assert await stored(em) == [(1, "one", "system", "Content updated")]


async def test_versions_put_each_author_beside_what_they_wrote(em: EntityManager, clock: Clock) -> None:
    await make(em, created_by="ada")
    for content, author in (("two", "grace"), ("three", None)):
        clock.move(hours=1)
        await em.prompts.update_content("greeting", content, author=author, reason=f"for {content}")
    versions = await em.prompts.versions("Greeting")
    assert [(each.version, each.content, each.author, each.reason) for each in versions] == [
        (1, "one", "ada", None),
        (2, "two", "grace", "for two"),
        (3, "three", "system", "for three"),
    ]
    assert [each.written_at for each in versions] == [START + timedelta(hours=n) for n in range(3)]
    assert [each.is_current for each in versions] == [False, False, True]
    assert {each.name for each in versions} == {"greeting"}
    assert await em.prompts.version("greeting", 2) == versions[1]
    assert await em.prompts.version("greeting", 4) is None
    assert await em.prompts.versions("nothing") == []
    with pytest.raises(NotFoundError):
        await em.prompts.history("nothing")


async def test_as_of_tells_what_was_said_at_a_moment(em: EntityManager, clock: Clock) -> None:
    prompt = await make(em)
    for content in ("two", "three"):
        clock.move(hours=1)
        await em.prompts.update_content("greeting", content)
    clock.move(days=1)

    async def said(**delta: float) -> str | None:
        found = await em.prompts.as_of("greeting", START + timedelta(**delta))
        return None if found is None else found.content

    assert await said(seconds=-1) is None
    assert [await said(minutes=n) for n in (0, 59, 60, 119, 120, 5000)] == [
        "one",
        "one",
        "two",
        "two",
        "three",
        "three",
    ]
    assert (await em.prompts.as_of(prompt.id, START)) is not None
    assert await em.prompts.as_of("nothing", START) is None
    with pytest.raises(ValidationError, match="at"):
        await em.prompts.as_of("greeting", START.replace(tzinfo=None))


async def test_changes_at_one_moment_follow_each_other_all_the_same(em: EntityManager) -> None:
    await make(em)
    for content in ("two", "three"):
        await em.prompts.update_content("greeting", content)
    moments = [each.written_at for each in await em.prompts.versions("greeting")]
    assert moments == sorted(set(moments))


async def test_a_rollback_is_a_version_with_the_old_text(em: EntityManager) -> None:
    await make(em)
    await em.prompts.update_content("greeting", "two")
    back = await em.prompts.rollback("greeting", 1, author="ada", reason="two was worse")
    assert (back.version, back.content) == (3, "one")
    assert (await em.prompts.rollback("greeting", 3)).version == 3
    assert (await em.prompts.rollback("greeting", 1)).version == 3
    assert (await em.prompts.rollback("greeting", 2)).version == 4
    assert await stored(em) == [
        (1, "one", "system", "Content updated"),
        (2, "two", "ada", "two was worse"),
        (3, "one", "system", "Rolled back to version 2"),
    ]
    with pytest.raises(NotFoundError):
        await em.prompts.rollback("greeting", 9)
    with pytest.raises(NotFoundError):
        await em.prompts.rollback("nothing", 1)


async def test_update_content_expects_a_version(em: EntityManager) -> None:
    await make(em)
    await em.prompts.update_content("greeting", "two", expected_version=1)
    for content in ("three", "two"):
        with pytest.raises(ConflictError):
            await em.prompts.update_content("greeting", content, expected_version=1)
    with pytest.raises(NotFoundError):
        await em.prompts.update_content("nothing", "x")
    assert len(await stored(em)) == 1


async def test_a_diff_shows_what_changed(em: EntityManager) -> None:
    await make(em, content="Be kind.\nBe brief.\n")
    await em.prompts.update_content("greeting", "Be kind.\nBe quick.\n")
    expected = "--- greeting v1\n+++ greeting v2\n@@ -1,2 +1,2 @@\n Be kind.\n-Be brief.\n+Be quick."
    assert await em.prompts.diff("greeting", 1, 2) == await em.prompts.diff("greeting", 1) == expected
    assert await em.prompts.diff("greeting", 2, 2) == ""
    for versions in ((1, 3), (0, 1)):
        with pytest.raises(NotFoundError):
            await em.prompts.diff("greeting", *versions)


async def test_racing_changes_are_a_version_each(em: EntityManager) -> None:
    await make(em, content="start")
    texts = [f"content {n}" for n in range(64)]
    await asyncio.gather(*(em.prompts.update_content("greeting", each, author=each) for each in texts))
    prompt = await em.prompts.get_by_name("greeting")
    assert prompt is not None
    assert prompt.version == 65
    versions = await em.prompts.versions("greeting")
    assert [each.version for each in versions] == list(range(1, 66))
    assert {each.content for each in versions} == {"start", *texts}
    assert [each.author for each in versions[1:]] == [each.content for each in versions[1:]]


async def test_authors_and_versions_cannot_be_set_by_hand(em: EntityManager) -> None:
    prompt = await make(em)
    for data in ({"version": 7}, {"changed_by": "ada"}, {"change_reason": "x"}):
        with pytest.raises(ValidationError):
            await make(em, "other", **data)
        with pytest.raises(ValidationError):
            await em.prompts.update(prompt.id, data)


async def test_an_inactive_prompt_is_made_like_any_other(em: EntityManager) -> None:
    prompt = await make(em, is_active=False)
    assert prompt.is_active is False
    assert await em.prompts.get_by_name("greeting") == prompt
    with pytest.raises(NotFoundError, match="in use"):
        await em.prompts.render("greeting")
    assert (await em.prompts.activate("greeting")).is_active
    assert await em.prompts.render("greeting") == "one"
    deactivated = await em.prompts.deactivate("greeting")
    assert (deactivated.is_active, deactivated.version) == (False, 1)


async def test_prompts_are_listed_by_category(em: EntityManager) -> None:
    for name, category, active in (("b", "x", True), ("a", "x", True), ("c", "x", False), ("d", "y", True)):
        await make(em, name, category=category, is_active=active)
    assert [prompt.name for prompt in (await em.prompts.list_active("x")).items] == ["a", "b"]
    assert [prompt.name for prompt in (await em.prompts.list_active()).items] == ["a", "b", "d"]
    with recorded_statements() as statements:
        categories = await em.prompts.categories()
    assert [(each.category, each.prompts, each.active) for each in categories] == [("x", 3, 2), ("y", 1, 1)]
    assert len(statements) == 1


async def test_names_are_unique_whatever_the_case(em: EntityManager) -> None:
    await make(em)
    with pytest.raises(DuplicateKeyError, match="name"):
        await make(em, " GREETING ")
    found = await em.prompts.get_by_name(" Greeting")
    assert found is not None
    assert found.name == "greeting"
    assert await em.prompts.get_by_name("nothing") is None


async def test_racing_ensures_make_one_prompt(em: EntityManager) -> None:
    prompts = await asyncio.gather(*(em.prompts.ensure("greeting", f"content {n}") for n in range(64)))
    assert len({prompt.id for prompt in prompts}) == 1
    assert await em.prompts.count() == 1
    assert (await em.prompts.ensure("Greeting", "other")).version == 1


class TestRendering:
    async def test_values_are_put_in_as_they_are(self, em: EntityManager) -> None:
        await make(em, content="{{name}}: {{ n }} {{flag}} {{list}} {{none}} {{name}} {not} {{}} { {x} }")
        values = {"name": "{{n}}", "n": 1.5, "flag": True, "list": ["é", {"a": 1}], "none": None}
        expected = '{{n}}: 1.5 true ["é", {"a": 1}] null {{n}} {not} {{}} { {x} }'
        assert await em.prompts.render("greeting", values) == expected
        when = datetime(2030, 1, 1, tzinfo=UTC)
        assert em.prompts.render_text("{{when}}", {"when": when}) == str(when)

    async def test_a_missing_value_is_an_error_or_stays(self, em: EntityManager) -> None:
        await make(em, content="Hello {{name}}, {{title}}!")
        with pytest.raises(ValidationError, match=r"\{\{name\}\}, \{\{title\}\}") as caught:
            await em.prompts.render("greeting")
        assert caught.value.field == "name"
        kept = await em.prompts.render("greeting", {"name": "Ada"}, keep_missing=True)
        assert kept == "Hello Ada, {{title}}!"
        with pytest.raises(ValidationError, match="JSON"):
            await em.prompts.render("greeting", {"name": [float("nan")], "title": ""})

    async def test_a_prompt_is_rendered_by_one_statement_at_most(self, em: EntityManager) -> None:
        await make(em, content="Hello {{name}}!")
        with recorded_statements() as statements:
            assert await em.prompts.render("greeting", {"name": "Ada"}) == "Hello Ada!"
        assert len(statements) == 1
        await em.prompts.set_label("greeting", "production")
        with recorded_statements() as statements:
            assert await em.prompts.render("greeting", {"name": "Ada"}, label="production") == "Hello Ada!"
        assert len(statements) == 1
        with pytest.raises(NotFoundError, match="label"):
            await em.prompts.render("greeting", label="staging")

    def test_a_text_full_of_braces_takes_no_longer(self) -> None:
        for braces in ("{{ " * 50_000, "{{" + " " * 100_000, "{" * 100_000):
            assert fill_in(braces, {}) == braces
