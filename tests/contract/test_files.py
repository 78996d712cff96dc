"""Files and documents: no use of a file gets lost, and a path is one row per owner."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agent_system import EntityManager
from agent_system.errors import DuplicateKeyError, NotFoundError, ValidationError
from agent_system.managers.files.files import FileStatistics
from agent_system.types import DocumentStatus, FileOperation
from tests.clock import Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def test_uses_of_a_file_are_counted(em: EntityManager, clock: Clock) -> None:
    task = await em.tasks.create({"instruction": "i", "session_uuid": "s"})
    first = await em.files.record("/src/главная.py", "read", task_id=task.id, size_bytes=10, content_hash="h")
    assert (first.access_count, first.read_count, first.first_seen_at) == (1, 1, NOON)
    clock.now += timedelta(minutes=1)
    for operation in ("Write", "Edit", FileOperation.SEARCH):
        last = await em.files.record("/src/главная.py", operation, session_uuid="s")
    assert (last.id, last.access_count, last.read_count, last.write_count, last.edit_count) == (first.id, 4, 1, 1, 1)
    assert (last.first_seen_at, last.last_accessed_at, last.size_bytes, last.content_hash) == (NOON, clock.now, 10, "h")
    assert await em.files.get_by_path("/src/главная.py") == last
    history = await em.files.history(first.id, limit=3)
    assert [use.operation.value for use in history.items] == ["search", "edit", "write"]
    assert {use.task_id for use in history.items} == {task.id}


@pytest.mark.parametrize("uses", [20, pytest.param(100, marks=pytest.mark.full)])
async def test_64_tasks_with_many_uses_each_lose_nothing(em: EntityManager, uses: int) -> None:
    task = await em.tasks.create({"instruction": "i"})

    async def use() -> None:
        for number in range(uses):
            await em.files.record("/src/main.py", "read" if number % 2 else "edit", task_id=task.id)

    async with asyncio.timeout(55):
        await asyncio.gather(*(use() for _ in range(64)))
    (file,) = await em.files.find()
    assert (file.access_count, file.read_count, file.edit_count) == (64 * uses, 32 * uses, 32 * uses)
    (of_task,) = await em.files.of_task(task.id)
    by_operation = {FileOperation.READ: 32 * uses, FileOperation.EDIT: 32 * uses}
    assert (of_task.accesses, of_task.by_operation) == (64 * uses, by_operation)


async def test_a_path_is_one_file_per_owner(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    task = await em.tasks.create({"instruction": "i", "user_id": user.id})
    shared = await em.files.record("a", "read")
    hers = await em.files.record("a", "read", task_id=task.id)
    again = await em.files.record("a", "read", user_id=user.id)
    assert shared.id != hers.id == again.id
    assert (again.user_id, again.access_count) == (user.id, 2)
    assert await em.files.get_by_path("a", user.id) == again
    with pytest.raises(DuplicateKeyError):
        await em.files.create({"file_path": "a"})
    for bad in ({"operation": "eat"}, {"operation": "read", "size_bytes": -1}):
        with pytest.raises(ValidationError):
            await em.files.record("b", **bad)
    assert await em.files.get_by_path("b") is None


async def test_which_task_used_which_file_how_often(em: EntityManager, clock: Clock) -> None:
    tasks = [await em.tasks.create({"instruction": "i"}) for _ in range(2)]
    for path, task, times in (("a", 0, 3), ("b", 0, 1), ("a", 1, 1), ("c", 1, 2)):
        clock.now += timedelta(minutes=1)
        for _ in range(times):
            await em.files.record(path, "edit", task_id=tasks[task].id)
    with recorded_statements() as statements:
        used = await em.files.of_task(tasks[0].id)
        users = await em.files.tasks_of("a")
        most = (await em.files.most_accessed(2)).items
        window = await em.files.most_accessed_between(NOON + timedelta(minutes=2), NOON + timedelta(minutes=4))
    assert len(statements) == 4
    assert [(use.file.file_path, use.accesses) for use in used] == [("a", 3), ("b", 1)]
    assert [(use.task_id, use.accesses) for use in users] == [(tasks[1].id, 1), (tasks[0].id, 3)]
    assert [file.file_path for file in most] == ["a", "c"]
    assert [(use.file.file_path, use.accesses) for use in window] == [("a", 1), ("b", 1)]
    await em.tasks.delete(tasks[0].id)
    assert [(use.task_id, use.accesses) for use in await em.files.tasks_of("a")] == [(tasks[1].id, 1), (None, 3)]
    assert await em.files.of_task(uuid4()) == []


async def test_what_all_uses_add_up_to(em: EntityManager) -> None:
    assert await em.files.statistics() == FileStatistics()
    for path, operation, size in (("a", "read", 5), ("a", "write", 7), ("b", "edit", None), ("b", "delete", 1)):
        await em.files.record(path, operation, size_bytes=size)
    assert await em.files.statistics() == FileStatistics(files=2, accesses=4, reads=1, writes=1, edits=1, size_bytes=8)
    assert (await em.files.statistics({"file_path": "a"})).accesses == 2


async def test_old_uses_and_files_are_cleaned_up(em: EntityManager, clock: Clock) -> None:
    await em.files.record("old", "read")
    await em.files.record("used again", "read")
    clock.now += timedelta(days=60)
    await em.files.record("used again", "read")
    clock.now += timedelta(days=31)
    assert await em.files.cleanup() == 1
    (file,) = await em.files.find()
    assert (file.file_path, file.access_count) == ("used again", 2)
    assert len((await em.files.history(file.id)).items) == 1


async def test_registering_a_document_twice_changes_nothing(em: EntityManager) -> None:
    task = await em.tasks.create({"instruction": "i"})
    first = await em.documents.register("docs/plan.md", task_id=task.id, notes="n")
    assert await em.documents.register("docs/plan.md", notes="other") == first
    documents = await asyncio.gather(*(em.documents.register("docs/racing.md") for _ in range(32)))
    assert len({document.id for document in documents}) == 1
    assert await em.documents.count() == 2
    assert await em.documents.of_task(task.id) == [first]
    await em.tasks.delete(task.id)
    assert (await em.documents.require(first.id)).task_id is None
    with pytest.raises(DuplicateKeyError):
        await em.documents.create({"path": "docs/plan.md"})


async def test_documents_are_archived_and_restored(em: EntityManager, clock: Clock) -> None:
    document = await em.documents.register("a")
    await em.documents.register("b")
    clock.now += timedelta(hours=1)
    archived = await em.documents.archive(document.id, "done with")
    assert (archived.status, archived.archived_at, archived.notes) == (DocumentStatus.ARCHIVED, clock.now, "done with")
    assert await em.documents.archive(document.id) == archived
    assert [one.path for one in (await em.documents.find_by_status()).items] == ["b"]
    assert [one.path for one in (await em.documents.find_by_status("archived")).items] == ["a"]
    restored = await em.documents.restore(document.id)
    assert (restored.status, restored.archived_at, restored.notes) == (DocumentStatus.ACTIVE, None, "done with")
    assert (await em.documents.update(document.id, {"status": "archived"})).archived_at == clock.now
    assert (await em.documents.mark_deleted(document.id)).archived_at is None
    assert await em.documents.statistics() == {
        DocumentStatus.ACTIVE: 1, DocumentStatus.ARCHIVED: 0, DocumentStatus.DELETED: 1,
    }  # fmt: skip
    made = await em.documents.create({"path": "c", "status": "archived", "created_at": NOON})
    assert made.archived_at == NOON
    assert await em.documents.get_by_path("c") == made
    with pytest.raises(NotFoundError):
        await em.documents.archive(12345)
