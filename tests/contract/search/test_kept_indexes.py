"""Index and text never disagree, whoever writes and whatever goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import requirements as requires
from tests.contract.memories.sql import run

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

MANAGERS = ("memories", "messages", "context_documents")


async def find(em: EntityManager, manager: str, text: str) -> list[Any]:
    """What the index finds, without the fallback to parts of words."""
    hits = await getattr(em, manager).search(f'"{text}"', limit=100)
    return [hit.item for hit in hits]


async def check(em: EntityManager) -> None:
    """Compare every index with its texts."""
    assert [await getattr(em, manager).index.find_damage() for manager in MANAGERS] == [None] * 3


@requires.fts5
async def test_seed_queries_run_as_they_are_written(database: DatabaseManager, em: EntityManager) -> None:
    for content in ("I love pizza", "pizza from an italian oven", "the user preferences"):
        await em.memories.remember("u", content, tags=["food"], context="at home")
    for query, expected in (
        ("SELECT * FROM memories_fts WHERE memories_fts MATCH 'pizza';", 2),
        ("SELECT * FROM memories_fts WHERE memories_fts MATCH '\"user preferences\"';", 1),
        ("SELECT * FROM memories_fts WHERE memories_fts MATCH 'pizza AND italian';", 1),
    ):
        rows = await run(database, query)
        assert len(rows) == expected
        assert {row[1:] for row in rows} == {('["food"]', "at home", None)}
    (definition,) = await run(database, "SELECT sql FROM sqlite_master WHERE name = 'memories_fts'")
    assert "content='memories'" in definition[0]
    assert "content_rowid='id'" in definition[0]


async def test_what_is_written_changed_and_deleted_is_found_so(em: EntityManager) -> None:
    document = await em.context_documents.create({"name": "guide", "title": "One", "content": "比萨", "tags": ["two"]})
    memory = await em.memories.remember("u", "one", tags=["two"], context="three 比萨")
    message = await em.messages.create({"role": "user", "content": "one 比萨", "user_id": "u"})
    for manager, item in (("memories", memory), ("messages", message), ("context_documents", document)):
        for word in ("one", "比萨"):
            assert [row.id for row in await find(em, manager, word)] == [item.id], (manager, word)
    await em.memories.update(memory.id, {"content": "uno", "context": ""})
    await em.messages.update(message.id, {"content": "uno 披萨"})
    await em.context_documents.update_content(document.id, "uno")
    await em.memories.add_tags(memory.id, "京都")
    for manager in MANAGERS:
        assert len(await find(em, manager, "uno")) == 1
        assert await find(em, manager, "比萨") == []
    assert len(await find(em, "memories", "京都")) == len(await find(em, "messages", "披萨")) == 1
    assert len(await find(em, "memories", "two")) == len(await find(em, "context_documents", "two")) == 1
    await check(em)
    for manager, item in (("memories", memory), ("messages", message), ("context_documents", document)):
        assert await getattr(em, manager).delete(item.id)
        assert await find(em, manager, "uno") == []
    await check(em)


async def test_other_programs_are_found_too(database: DatabaseManager, em: EntityManager) -> None:
    await run(database, "INSERT INTO memories (content, tags) VALUES ('one 我喜欢比萨', :tags)", tags='["two"]')
    await run(
        database,
        "INSERT INTO context_documents (id, name, name_key, content)"
        " VALUES ('01a1fdd2-0000-7000-8000-000000000001', 'n', 'n', 'one')",
    )
    assert len(await find(em, "memories", "one")) == len(await find(em, "memories", "two")) == 1
    assert len(await find(em, "context_documents", "one")) == 1
    await run(database, "UPDATE memories SET content = 'uno 我喜欢比萨'")
    assert await find(em, "memories", "one") == []
    # What the database does not cut by itself is found after a rebuild.
    assert await find(em, "memories", "比萨") == []
    version = (await em.memories.recent())[0].version
    assert await em.memories.index.rebuild() == 1
    assert len(await find(em, "memories", "比萨")) == 1
    assert (await em.memories.recent())[0].version == version
    await check(em)
    await run(database, "DELETE FROM memories")
    assert await find(em, "memories", "uno") == []
    await check(em)


async def test_rows_that_fall_with_others_leave_the_index(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    await em.memories.remember(user.id, "theirs")
    await em.context_documents.create({"name": "theirs", "user_id": user.id})
    conversation = await em.conversations.create({"user_id": user.id})
    await em.messages.append(conversation.id, {"role": "user", "content": "theirs"})
    for manager in MANAGERS:
        assert len(await find(em, manager, "theirs")) == 1
    await em.users.delete(user.id)
    for manager in MANAGERS:
        assert await find(em, manager, "theirs") == []
    await check(em)


async def test_what_is_rolled_back_is_not_found(database: DatabaseManager, em: EntityManager) -> None:
    await em.memories.remember("u", "before")

    async def fail() -> None:
        async with database.transaction():
            await em.memories.remember("u", "in vain")
            await em.messages.create({"role": "user", "content": "in vain"})
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await find(em, "memories", "vain") == await find(em, "messages", "vain") == []
    assert len(await find(em, "memories", "before")) == 1
    await check(em)


async def test_streamed_text_is_found_when_it_is_complete(em: EntityManager) -> None:
    conversation = await em.conversations.create({})
    async with em.messages.stream(conversation.id) as stream:
        for part in ("我喜", "欢吃", "比萨 with ol", "ives"):
            await stream.write(part)
    assert len(await find(em, "messages", "olives")) == 1
    assert len(await find(em, "messages", "喜欢")) == 1
    await check(em)


async def test_damage_is_found_and_mended(database: DatabaseManager, em: EntityManager) -> None:
    memory = await em.memories.remember("u", "one")
    await em.memories.index.optimise()
    await damage(database, memory.id)
    assert "memories_fts" in str(await em.memories.index.find_damage())
    await em.memories.index.rebuild()
    await check(em)
    assert len(await find(em, "memories", "one")) == 1


async def damage(database: DatabaseManager, key: int) -> None:
    """Take a row from the index, but not from the table."""
    columns = [row[0] for row in await run(database, "SELECT * FROM memories_fts")]
    assert columns
    name, values = ("rowid", {"key": key}) if columns[0] != key else ("id", {"key": key})
    await run(database, f"DELETE FROM memories_fts WHERE {name} = :key", **values)
