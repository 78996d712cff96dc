"""Context documents: every version of a content, and the ways to find a document."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import ConflictError, NotFoundError, ValidationError
from agent_system.types import LifecycleStatus
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager
    from agent_system.models import ContextDocument


async def make(em: EntityManager, name: str = "rules", **data: Any) -> ContextDocument:
    return await em.context_documents.create({"name": name, **data})


async def history(em: EntityManager, document: ContextDocument) -> list[tuple[int, str, str | None, str | None]]:
    versions = await em.context_documents.versions(document.id)
    return [(each.version, each.content, each.author, each.reason) for each in versions]


async def test_a_new_document_is_its_first_version(em: EntityManager) -> None:
    document = await make(em, content="one", title="Rules", updated_by="ada")
    assert document.content_version == 1
    (version,) = await em.context_documents.versions(document.id)
    assert (version.version, version.title, version.content, version.author) == (1, "Rules", "one", "ada")
    many = await em.context_documents.create_many({"name": f"d{n}", "content": str(n)} for n in range(3))
    assert [await history(em, each) for each in many] == [[(1, str(n), None, None)] for n in range(3)]


async def test_every_change_of_the_content_is_a_version(em: EntityManager) -> None:
    document = await make(em, content="one")
    second = await em.context_documents.update_content(document.id, "two", author="ada", reason="better")
    assert (second.content, second.content_version, second.updated_by, second.version) == ("two", 2, "ada", 2)
    third = await em.context_documents.update(document.id, {"content": "three", "title": "Three"})
    assert (third.content_version, third.updated_by) == (3, None)
    fourth = await em.context_documents.upsert({"name": "rules", "content": "four"}, on=("name",))
    assert (fourth.id, fourth.content_version) == (document.id, 4)
    with em.events.context(actor="bot"):
        await em.context_documents.update_content(document.id, "five")
    assert await history(em, document) == [
        (1, "one", None, None),
        (2, "two", "ada", "better"),
        (3, "three", None, None),
        (4, "four", None, None),
        (5, "five", "bot", None),
    ]
    version = await em.context_documents.version(document.id, 3)
    assert version is not None
    assert version.title == "Three"
    assert await em.context_documents.version(document.id, 6) is None


async def test_the_same_text_is_no_new_version(em: EntityManager) -> None:
    document = await make(em, content="one")
    same = await em.context_documents.update_content(document.id, "one", author="ada")
    assert same.model_dump() == document.model_dump()
    await em.context_documents.update(document.id, {"content": "one", "category": "system"})
    await em.context_documents.update(document.id, {"title": "only a title"})
    assert await history(em, document) == [(1, "one", None, None)]


async def test_a_version_cannot_be_set_by_hand(em: EntityManager) -> None:
    with pytest.raises(ValidationError, match="content_version"):
        await make(em, content_version=7)
    document = await make(em)
    with pytest.raises(ValidationError, match="content_version"):
        await em.context_documents.update(document.id, {"content_version": 7})


async def test_update_content_expects_a_version(em: EntityManager) -> None:
    document = await make(em, content="one")
    await em.context_documents.update_content(document.id, "two", expected_version=1)
    for text in ("two", "three"):
        with pytest.raises(ConflictError):
            await em.context_documents.update_content(document.id, text, expected_version=1)
    with pytest.raises(NotFoundError):
        await em.context_documents.update_content(uuid4(), "three")
    assert await history(em, document) == [(1, "one", None, None), (2, "two", None, None)]


async def test_racing_writers_each_leave_a_version(em: EntityManager) -> None:
    document = await make(em, content="")
    await asyncio.gather(*(em.context_documents.update_content(document.id, f"text {n}") for n in range(10)))
    versions = await em.context_documents.versions(document.id)
    assert [each.version for each in versions] == list(range(1, 12))
    assert {each.content for each in versions} == {"", *(f"text {n}" for n in range(10))}
    assert (await em.context_documents.require(document.id)).content == versions[-1].content


async def test_a_version_goes_with_the_change_that_failed(database: DatabaseManager, em: EntityManager) -> None:
    document = await make(em, content="one")

    async def change_in_vain() -> None:
        async with database.transaction():
            await em.context_documents.update_content(document.id, "two")
            raise KeyError(document.name)

    with pytest.raises(KeyError):
        await change_in_vain()
    assert await history(em, document) == [(1, "one", None, None)]
    assert (await em.context_documents.require(document.id)).content_version == 1


async def test_restoring_a_version_is_a_version_too(em: EntityManager) -> None:
    document = await make(em, content="one", title="First")
    await em.context_documents.update(document.id, {"content": "two", "title": "Second"})
    restored = await em.context_documents.restore_version(document.id, 1, author="ada")
    assert (restored.title, restored.content, restored.content_version) == ("First", "one", 3)
    assert (await history(em, document))[2] == (3, "one", "ada", "version 1 restored")
    again = await em.context_documents.restore_version(document.id, 3)
    assert again.content_version == 3
    for key, version in ((document.id, 9), (uuid4(), 1)):
        with pytest.raises(NotFoundError):
            await em.context_documents.restore_version(key, version)


async def test_versions_come_with_the_documents_in_one_more_statement(em: EntityManager) -> None:
    for n in range(3):
        document = await make(em, f"d{n}", content="one")
        await em.context_documents.update_content(document.id, "two")
    with recorded_statements() as statements:
        page = await em.context_documents.list(include=("versions",))
    assert len(statements) == 2
    assert [[each.content for each in document.versions] for document in page.items] == [["one", "two"]] * 3


async def test_versions_go_with_the_document(em: EntityManager) -> None:
    document = await make(em)
    await em.context_documents.delete(document.id)
    assert await em.context_documents.versions(document.id) == []


async def test_tags(em: EntityManager) -> None:
    document = await make(em, tags=["a"])
    tagged = await em.context_documents.add_tag(document.id, "b", "a", "c")
    assert (tagged.tags, tagged.version) == (["a", "b", "c"], 2)
    same = await em.context_documents.add_tag(document.id, "a")
    assert same.version == 2
    fewer = await em.context_documents.remove_tag(document.id, "a", "x")
    assert fewer.tags == ["b", "c"]
    await asyncio.gather(*(em.context_documents.add_tag(document.id, f"t{n}") for n in range(10)))
    assert len((await em.context_documents.require(document.id)).tags) == 12
    with pytest.raises(NotFoundError):
        await em.context_documents.add_tag(uuid4(), "a")


async def test_documents_are_found_by_what_they_are(em: EntityManager) -> None:
    await make(em, "b", category="system", format="json", tags=["x", "yy"])
    await make(em, "A", category="system", tags=["x"])
    await make(em, "c", tags=["xx", "%"])
    archived = await make(em, "d", category="system", format="json", tags=["x"])
    await em.context_documents.archive(archived.id)

    def names(rows: list[ContextDocument]) -> list[str]:
        return [row.name for row in rows]

    documents = em.context_documents
    assert names(await documents.find_by_category("system")) == ["A", "b"]
    assert names(await documents.find_by_category("system", include_archived=True)) == ["A", "b", "d"]
    assert names(await documents.find_by_format("json")) == ["b"]
    assert names(await documents.find_by_tag("x")) == ["A", "b"]
    assert names(await documents.find_by_tag("x", include_archived=True)) == ["A", "b", "d"]
    assert names(await documents.find_by_tag("%")) == ["c"]
    assert names(await documents.find_by_tag("y")) == []


async def test_documents_are_found_by_name(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    shared = await make(em, "Rules")
    own = await make(em, "rules", user_id=user.id)
    other = await make(em, "style")
    get = em.context_documents.get_by_name
    assert (found := await get(" RULES ")) is not None
    assert found.id == shared.id
    assert (found := await get("rules", user.id)) is not None
    assert found.id == own.id
    assert await get("style", user.id) is None
    # Of several, the newest that is in use.
    newer = await make(em, "RULES")
    await em.context_documents.archive(newer.id)
    assert (found := await get("rules")) is not None
    assert found.id == shared.id
    await em.context_documents.restore(newer.id)
    with recorded_statements() as statements:
        by_name = await em.context_documents.get_by_names(["style", "rules", "nothing"])
    assert len(statements) == 1
    assert {name: row.id for name, row in by_name.items()} == {"style": other.id, "rules": newer.id}


async def test_a_clone_knows_its_original(em: EntityManager) -> None:
    original = await make(em, content="text", tags=["a"], category="system", meta={"k": 1}, format="json")
    await em.context_documents.update_content(original.id, "text 2")
    clone = await em.context_documents.clone(original.id, "copy", tags=["b"])
    assert (clone.parent_document_id, clone.name, clone.content, clone.tags) == (original.id, "copy", "text 2", ["b"])
    assert (clone.category, clone.meta, clone.format, clone.content_version) == ("system", {"k": 1}, "json", 1)
    assert [row.id for row in await em.context_documents.children(original.id)] == [clone.id]
    with pytest.raises(ValidationError, match="colour"):
        await em.context_documents.clone(original.id, "other", colour="red")
    with pytest.raises(NotFoundError):
        await em.context_documents.clone(uuid4(), "other")
    await em.context_documents.delete(original.id)
    assert (await em.context_documents.require(clone.id)).parent_document_id is None


async def test_an_archived_document_comes_back(em: EntityManager) -> None:
    document = await make(em, status="testing")
    assert (await em.context_documents.restore(document.id)).status is LifecycleStatus.TESTING
    assert (await em.context_documents.archive(document.id)).status is LifecycleStatus.ARCHIVED
    assert (await em.context_documents.archive(document.id)).version == 2
    assert (await em.context_documents.restore(document.id)).status is LifecycleStatus.ACTIVE
