"""Seed 000's links, promises and queues."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent_system.importers.legacy import import_legacy
from agent_system.models import metadata
from agent_system.types import JobStatus, LinkStatus, PromiseStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent_system.entity_manager import EntityManager

    MakeFile = Callable[..., Path]

THEN = "2025-06-01 10:00:00"
MOMENT = datetime(2025, 6, 1, 10, tzinfo=UTC)
LINKS = """CREATE TABLE links (id INTEGER PRIMARY KEY, url TEXT, domain TEXT, timestamp DATETIME, analysis_result TEXT,
  analysis_status TEXT, title TEXT, created_at DATETIME)"""
PROMISES = """CREATE TABLE promises (id INTEGER PRIMARY KEY, chat_id INTEGER, message_id INTEGER, task_description TEXT,
  task_type TEXT, status TEXT, created_at TIMESTAMP, completed_at TIMESTAMP, metadata TEXT)"""
TASKS = """CREATE TABLE server_tasks (id INTEGER PRIMARY KEY, task_type TEXT, task_data TEXT, priority INTEGER,
  status TEXT, scheduled_for TIMESTAMP, attempts INTEGER, created_at TIMESTAMP, processed_at TIMESTAMP)"""
BROKEN_VIEW = "CREATE VIEW active_tasks AS SELECT * FROM tasks_that_were_dropped"


async def test_links_are_one_for_each_page_and_their_analysis_is_json(em: EntityManager, make_file: MakeFile) -> None:
    rows = [
        (21, "https://example.com/a/", "example.com", THEN, "{'title': 'It\\'s', 'n': None}", "success", None, THEN),
        (22, "HTTPS://EXAMPLE.COM/a?utm_source=x", "example.com", "yesterday", None, "odd", "A", THEN),
        (23, "https://пример.рф/", "пример.рф", 1748772000, '{"title": "cut', None, None, THEN),
        (24, "ftp://files.example.com", "files.example.com", THEN, None, "pending", None, THEN),
    ]
    report = (await import_legacy(em, make_file(LINKS, links=rows))).tables[0]
    assert (report.read, report.written, report.merged, report.rejected) == (4, 2, 1, 1)
    first, second = await em.links.find()
    assert (first.analysis_result, first.title, first.timestamp) == ({"title": "It's", "n": None}, "A", MOMENT)
    assert (second.analysis_result, second.analysis_status) == ('{"title": "cut', LinkStatus.PENDING)
    assert second.timestamp == MOMENT


async def test_promises_wait_for_what_they_depend_on(em: EntityManager, make_file: MakeFile) -> None:
    waits = '{"dependencies": [3, 99], "priority": 3}'
    rows = [
        (3, -100, 1, "first", "code", "in_progress", THEN, None, None),
        (5, 0, 2, "second", "search", "waiting", THEN, None, waits),
        (7, 0, 3, "third", "odd", "COMPLETED", THEN, "2025-06-01T11:00:00", "{bad json"),
    ]
    report = await import_legacy(em, make_file(PROMISES, BROKEN_VIEW, promises=rows))
    first, second, third = await em.promises.find()
    assert (first.chat_id, second.status, second.meta["priority"]) == (-100, PromiseStatus.WAITING, 3)
    assert third.completed_at == MOMENT.replace(hour=11)
    assert (third.status, third.meta) == (
        PromiseStatus.COMPLETED,
        {"legacy": {"task_type": "odd", "status": "COMPLETED", "metadata": "{bad json"}},
    )
    dependencies = await em.db.read(
        lambda executor: executor.execute(metadata.tables["promise_dependencies"].select()).all()
    )
    assert [tuple(row)[:2] for row in dependencies] == [(second.id, first.id)]
    assert [(t.table, t.read, t.written, t.rejected) for t in report.tables] == [
        ("promises", 3, 3, 0),
        ("promises.dependencies", 2, 1, 1),
    ]
    # What has changed there since does not follow.
    ended = [(3, -100, 1, "first", "code", "completed", THEN, THEN, None)]
    assert (await import_legacy(em, make_file(PROMISES, name="later.db", promises=ended))).total("skipped") == 1
    assert (await em.promises.require(first.id)).status is first.status


async def test_the_most_urgent_server_task_stays_the_most_urgent(em: EntityManager, make_file: MakeFile) -> None:
    rows = [
        (1, "send", '{"chat_id": 1}', 1, "pending", "2025-06-01T09:00:00", 0, THEN, None),
        (2, "scan", None, 10, "pending", THEN, 1, THEN, None),
        (3, "scan", None, 5, "failed", THEN, 2, THEN, THEN),
    ]
    await import_legacy(em, make_file(TASKS, server_tasks=rows))
    claimed = await em.queue.claim(5)
    assert [(job.task_type, job.priority, job.payload) for job in claimed] == [
        ("send", 10, {"chat_id": 1}),
        ("scan", 1, {}),
    ]
    (failed,) = await em.queue.find(status=JobStatus.FAILED)
    assert (failed.retries, failed.completed_at) == (2, MOMENT)
