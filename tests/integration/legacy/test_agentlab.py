"""Seed 002: agentlab.db as AMIGA left it, and as its older versions would have."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from agent_system.importers.legacy import import_legacy
from agent_system.models import Task, ToolUsage
from agent_system.types import DocumentStatus, GameStatus, TaskStatus, ToolCallState, UserRole
from tests.integration.legacy.outcome import complaints, counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent_system.entity_manager import EntityManager

    MakeFile = Callable[..., Path]

# Schema 13: before last_agent_type, tokens were counted already.
SCHEMA_13 = (
    "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL)",
    """CREATE TABLE tasks (task_id TEXT PRIMARY KEY, user_id INTEGER NOT NULL, description TEXT NOT NULL,
       status TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, model TEXT NOT NULL,
       workspace TEXT NOT NULL, agent_type TEXT NOT NULL DEFAULT 'code_agent', result TEXT, error TEXT, pid INTEGER,
       activity_log TEXT, session_uuid TEXT, workflow TEXT, context TEXT, current_phase TEXT,
       phase_number INTEGER DEFAULT 0)""",
    """CREATE TABLE users (user_id TEXT PRIMARY KEY, username TEXT UNIQUE NOT NULL, email TEXT UNIQUE NOT NULL,
       password_hash TEXT NOT NULL, created_at TEXT NOT NULL, is_admin BOOLEAN NOT NULL DEFAULT 0)""",
    """CREATE TABLE documents (id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
       created_at TEXT NOT NULL, updated_at TEXT NOT NULL, archived_at TEXT, task_id TEXT, notes TEXT,
       FOREIGN KEY (task_id) REFERENCES tasks(task_id))""",
    "CREATE VIEW interrupted AS SELECT * FROM a_table_that_was_dropped",
)
# Before any migration: no users, files or documents, and tool calls without categories, screenshots and tokens.
SCHEMA_1 = (
    """CREATE TABLE tasks (task_id TEXT PRIMARY KEY, user_id INTEGER NOT NULL, description TEXT NOT NULL,
       status TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, model TEXT NOT NULL,
       workspace TEXT NOT NULL, agent_type TEXT NOT NULL, result TEXT, error TEXT, pid INTEGER, activity_log TEXT,
       session_uuid TEXT)""",
    """CREATE TABLE tool_usage (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, task_id TEXT NOT NULL,
       tool_name TEXT NOT NULL, duration_ms REAL, success BOOLEAN, error TEXT, parameters TEXT)""",
    "CREATE TABLE agent_status (id INTEGER PRIMARY KEY, timestamp TEXT, task_id TEXT, status TEXT)",
)
SESSION = "ff2dff4c-a51c-49d1-a727-a8e6c826609e"
BCRYPT = "$2b$04$xGJeX/tJsMQDnprzQVLzEefMAK.a/JjUqjJ.FTtBWhqrs6aeQNq2i"
THEN = "2025-10-06T10:00:00.123456"
MOMENT = datetime(2025, 10, 6, 10, 0, 0, 123456, tzinfo=UTC)


async def task_of(em: EntityManager, task_id: str) -> Task:
    (task,) = [task async for task in em.tasks.iter() if task.meta["legacy"]["task_id"] == task_id]
    return task


async def test_the_whole_file_comes_over(em: EntityManager, real_file: Callable[[str], Path]) -> None:
    path = real_file("amiga.db")
    report = await import_legacy(em, path)
    assert counts(report) == {
        "users": (3, 3, 0, 0, 0),
        "tasks": (200, 200, 0, 0, 0),
        "tasks.activity_log": (297, 297, 0, 0, 0),
        "tool_usage": (1002, 1002, 0, 0, 0),
        "agent_status": (200, 200, 0, 0, 0),
        "games": (13, 13, 0, 0, 0),
        "files": (10, 10, 0, 0, 0),
        "files.task_ids": (178, 178, 0, 0, 0),
        "documents": (21, 21, 0, 0, 0),
        "messages.conversations": (102, 6, 0, 96, 0),
        "messages": (151, 151, 0, 0, 0),
    }
    assert list(report.left_out) == ["schema_version"]
    await check_people(em)
    await check_tasks(em)
    await check_calls(em)
    await check_records(em)
    again = await import_legacy(em, path)
    assert (again.total("written"), again.total("skipped"), again.is_reconciled) == (0, again.total("read"), True)
    assert (await em.tasks.count(), await em.users.count(), await em.messages.count()) == (200, 12, 151)
    assert await complaints(em) == []


async def check_people(em: EntityManager) -> None:
    admin, other = await em.users.get_by_username("admin"), await em.users.get_by_username("Admin (2)")
    assert admin is not None
    assert other is not None
    assert (admin.role, admin.email, other.role, other.email) == (UserRole.ADMIN, "a@x.io", UserRole.USER, None)
    assert other.meta["legacy"]["email"] == "A@x.io"
    # Their hashes are cut off: nobody gets in with them.
    assert (admin.password_hash, admin.must_reset_password) == (None, True)
    # The owners of tasks were known by the number of a platform only.
    owner = await em.users.get_by_username("agentlab-521930094")
    assert owner is not None
    assert (owner.password_hash, owner.meta["legacy"]["id"]) == (None, 521930094)
    assert await em.tasks.count(user_id=owner.id) == 48


async def check_tasks(em: EntityManager) -> None:
    odd, shouted, dated = [await task_of(em, each) for each in ("8329c0", "af3aea", "ad9a62")]
    assert odd.meta["legacy"]["activity_log"] == "not json"
    assert (shouted.status, shouted.meta["legacy"]["status"]) == (TaskStatus.RUNNING, "RUNNING")
    assert dated.created_at == datetime(2026, 11, 21, 9, 34, 9, tzinfo=UTC)
    assert dated.updated_at == datetime(2026, 11, 21, 9, 34, 9, 633487, tzinfo=UTC)
    (activity,) = (await em.tasks.activities(dated.id)).items
    assert (activity.message, activity.data) == ("step 0 ✓", {"output_lines": 10})
    assert activity.created_at == datetime(2026, 11, 21, 9, 34, 5, 2864, tzinfo=UTC)
    assert (await task_of(em, "2c42ee")).phase_number == 0
    assert await em.tasks.count(status=TaskStatus.COMPLETED, completed_at=None) == 0


async def check_calls(em: EntityManager) -> None:
    cut, dangling, texts, empty = (await em.tool_usage.list(order_by="id", limit=1002)).items[-4:]
    assert (cut.parameters, cut.task_id, cut.meta["legacy"]["task_id"]) == ('{"command": "trunc', None, "ffffff")
    assert cut.timestamp == datetime(2026, 11, 21, 9, 34, 9, 633487, tzinfo=UTC)
    assert (dangling.state, dangling.success) == (ToolCallState.RUNNING, None)
    assert (texts.success, texts.duration_ms, texts.meta["legacy"]["duration_ms"]) == (True, None, "12ms")
    assert texts.timestamp == datetime(2025, 10, 26, 17, 33, 20, tzinfo=UTC)
    assert (empty.state, empty.duration_ms, empty.meta["legacy"]["timestamp"]) == (ToolCallState.DONE, None, "")
    assert await em.tool_usage.count(success=True) == 636
    assert len((await em.tool_usage.list(where=(ToolUsage.session_uuid.is_not(None),), limit=50)).items) == 14
    assert await em.tool_usage.count(task_id=None) == 18
    # What was done for a task is its owner's.
    assert len((await em.tool_usage.list(where=(ToolUsage.user_id.is_(None),), limit=50)).items) == 18


async def check_records(em: EntityManager) -> None:
    file, odd = await em.files.find_one(file_path="/r/f1.py"), await em.files.find_one(file_path="/r/neg.py")
    assert file is not None
    assert odd is not None
    assert (file.access_count, file.read_count, file.edit_count, file.content_hash) == (44, 14, 30, "ab12")
    assert (odd.access_count, odd.read_count, odd.meta["legacy"]["operations"]) == (0, 0, '{"read":"x"}')
    ghost = await em.documents.find_one(path="ghost.md")
    assert ghost is not None
    assert (ghost.status, ghost.task_id) == (DocumentStatus.DELETED, None)
    assert ghost.meta["legacy"]["task_id"] == "no-such-task"
    message = (await em.messages.find(role="system"))[0]
    assert (message.content, message.has_image) == ("nul\0inside", True)
    assert message.created_at == datetime(2025, 10, 27, 10, 0, 0, 123000, tzinfo=UTC)
    conversations = (await em.conversations.list(limit=10)).items
    assert sum(each.message_count for each in conversations) == 102
    assert await em.games.count(status=GameStatus.ACTIVE) == 5


async def test_schema_13_and_older_ones_come_over_too(em: EntityManager, make_file: MakeFile) -> None:
    task = ("00db3c", 7, "a", "failed", THEN, THEN, "opus", "/r", "code_agent", None, "x", None)
    new = make_file(
        *SCHEMA_13,
        schema_version=[(13, THEN)],
        tasks=[(*task, '[{"timestamp": "2025-10-06T10:00:01", "message": "m"}, "cut off"]', SESSION, *"wcp", 2)],
        users=[("u", "ada", "ada@x.io", BCRYPT, THEN, "true")],
        documents=[
            (1, "a.md", "ARCHIVED", THEN, THEN, None, "00db3c", "old"),
            (2, "b.md", "active", THEN, THEN, THEN, None, None),
        ],
    )
    report = await import_legacy(em, new, zone=ZoneInfo("Europe/Paris"))
    assert counts(report) == {
        "users": (1, 1, 0, 0, 0),
        "tasks": (1, 1, 0, 0, 0),
        "tasks.activity_log": (2, 2, 0, 0, 0),
        "documents": (2, 2, 0, 0, 0),
    }
    found = await task_of(em, "00db3c")
    # Their clock showed local time.
    assert (found.created_at, found.phase_number) == (MOMENT.replace(hour=8), 2)
    assert [each.message for each in (await em.tasks.activities(found.id)).items] == ["m", "cut off"]
    document = await em.documents.find_one(path="a.md")
    assert document is not None
    assert (document.status, document.task_id) == (DocumentStatus.ARCHIVED, found.id)
    restored = await em.documents.find_one(path="b.md")
    assert restored is not None
    assert (restored.archived_at, restored.meta["legacy"]["archived_at"]) == (None, THEN)
    # The oldest files have fewer columns; what was done in a session belongs to its task.
    old = make_file(
        *SCHEMA_1,
        name="oldest.db",
        tasks=[("ffffff", 7, "b", "stopped", THEN, THEN, "opus", "/r", "x", None, None, None, None, SESSION)],
        tool_usage=[(1, THEN, SESSION, "Bash", 12.5, 0, "no", '{"password": "hunter2"}')],
        agent_status=[(1, THEN, "ffffff", "started")],
    )
    report = await import_legacy(em, old)
    assert (report.total("written"), report.total("rejected")) == (3, 0)
    (call,) = await em.tool_usage.find()
    assert (call.task_id, call.state) == ((await task_of(em, "ffffff")).id, ToolCallState.FAILED)
    assert (call.completed_at, call.session_uuid) == (MOMENT.replace(microsecond=135956), SESSION)
    assert "hunter2" not in str(call.parameters)


async def test_an_old_password_lets_its_user_in_once_and_becomes_a_new_hash(
    em: EntityManager, make_file: MakeFile
) -> None:
    users = [("u", "ada", "ada@x.io", BCRYPT, THEN, 0), ("v", "bob", "bob@x.io", "hunter2", THEN, 0)]
    report = await import_legacy(em, make_file(*SCHEMA_13, users=users))
    assert "hunter2" not in str(report.as_dict())
    user = await em.users.login("ADA", "secret")
    assert user.password_hash is not None
    assert user.password_hash.startswith("$argon2id$")
    bob = await em.users.get_by_username("bob")
    assert bob is not None
    assert (bob.password_hash, bob.must_reset_password) == (None, True)
    assert "hunter2" not in str(bob.model_dump())


async def test_of_two_active_games_one_is_abandoned_and_counts_are_kept(em: EntityManager, make_file: MakeFile) -> None:
    games = """CREATE TABLE games (game_id INTEGER PRIMARY KEY, user_id INTEGER, game_type TEXT, status TEXT,
        score INTEGER, level INTEGER, created_at TEXT, updated_at TEXT, state_data TEXT)"""
    rows = [(number, 7, "snake", "active", number, 1, f"{THEN}{number}"[-26:], THEN, "[1") for number in (1, 2)]
    report = (await import_legacy(em, make_file(games, games=rows))).tables[0]
    assert (report.written, report.repaired) == (2, 2)
    first, second = await em.games.find()
    assert (first.status, second.status, first.state_data) == (GameStatus.ACTIVE, GameStatus.ABANDONED, "[1")
    player = await em.users.get_by_username("agentlab-7")
    assert player is not None
    assert first.user_id == str(player.id)


async def test_two_imports_at_once_end_as_one(em: EntityManager, make_file: MakeFile) -> None:
    task = (7, "a", "pending", THEN, THEN, "opus", "/r", "code_agent", None, None, None, '[{"message": "m"}]')
    rows = [(f"task{number:02}", *task, None, *"wcp", 0) for number in range(20)]
    path = make_file(*SCHEMA_13, tasks=rows)
    reports = await asyncio.gather(*(import_legacy(em, path) for _ in range(4)))
    assert [report.is_reconciled for report in reports] == [True] * 4
    assert sum(report.total("written") for report in reports) == 40
    assert (await em.tasks.count(), await em.users.count()) == (20, 1)
