"""Seed 003: coachartie.db as Coach Artie left it, before later columns came and after."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from agent_system.importers.legacy import import_legacy
from agent_system.models import ModelUsage, metadata
from agent_system.types import GoalStatus, JobStatus, MemoryKind, MemoryStatus, MessageRole, TodoStatus
from tests.integration.legacy.outcome import complaints, counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent_system.entity_manager import EntityManager

    MakeFile = Callable[..., Path]

# As the code of June made them: no tokens, no metadata, a message for every call.
OLDER = (
    """CREATE TABLE memories (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL, content TEXT NOT NULL,
       tags TEXT NOT NULL DEFAULT '[]', context TEXT DEFAULT '', timestamp TEXT NOT NULL, importance INTEGER)""",
    "CREATE VIRTUAL TABLE memories_fts USING fts5(content, tags, context, content='memories', content_rowid='id')",
    """CREATE TABLE model_usage_stats (id INTEGER PRIMARY KEY, model_name TEXT NOT NULL, user_id TEXT NOT NULL,
       message_id TEXT NOT NULL, input_length INTEGER, output_length INTEGER, response_time_ms INTEGER,
       success BOOLEAN, error_type TEXT, timestamp DATETIME)""",
    "CREATE TABLE config (id INTEGER PRIMARY KEY, config_key TEXT, config_value TEXT, notes TEXT, history TEXT)",
    "CREATE TABLE todos (id INTEGER PRIMARY KEY, name TEXT, description TEXT, data TEXT, created_at TEXT NOT NULL)",
    "CREATE TABLE model_timeouts (model TEXT PRIMARY KEY, until TEXT)",
    "CREATE TABLE queue (id INTEGER PRIMARY KEY, task_type TEXT, payload TEXT, max_retries INTEGER)",
    "CREATE VIEW brain AS SELECT * FROM brain_memories",
)
NEWER = (
    """CREATE TABLE memories (id INTEGER PRIMARY KEY, user_id TEXT, guild_id TEXT, channel_id TEXT, content TEXT,
       tags TEXT, context TEXT, timestamp TEXT, importance INTEGER, metadata TEXT, recall_count INTEGER,
       last_recalled_at TEXT, is_pinned BOOLEAN, related_message_id TEXT, created_at DATETIME, updated_at DATETIME)""",
    """CREATE TABLE passive_memories (id INTEGER PRIMARY KEY, user_id TEXT, content TEXT, categories TEXT,
       sentiment TEXT, importance INTEGER, is_confirmed BOOLEAN, expires_at TEXT, created_at TEXT)""",
    """CREATE TABLE goals (id INTEGER PRIMARY KEY, user_id TEXT, objective TEXT, status TEXT, priority INTEGER,
       deadline TEXT, created_at TEXT, completed_at TEXT)""",
    """CREATE TABLE todo_lists (id INTEGER PRIMARY KEY, user_id TEXT, name TEXT, goal_id INTEGER, created_at TEXT,
       UNIQUE (user_id, name))""",
    """CREATE TABLE todo_items (id INTEGER PRIMARY KEY, list_id INTEGER, content TEXT, status TEXT, position INTEGER,
       created_at TEXT, completed_at TEXT)""",
    "CREATE TABLE passive_listening_consent (user_id TEXT PRIMARY KEY, enabled BOOLEAN)",
)
THEN = "2025-08-28 10:00:00"
MOMENT = datetime(2025, 8, 28, 10, tzinfo=UTC)


async def test_the_whole_file_comes_over(em: EntityManager, real_file: Callable[[str], Path]) -> None:
    path = real_file("coachartie.db")
    report = await import_legacy(em, path)
    assert counts(report) == {
        "user_identities": (4, 4, 0, 0, 0),
        "messages": (200, 200, 0, 0, 0),
        "messages.embedding_models": (166, 2, 0, 164, 0),
        "messages.embeddings": (166, 166, 0, 0, 0),
        "memories": (322, 322, 0, 0, 0),
        "prompts": (8, 8, 0, 0, 0),
        "prompt_history": (13, 13, 0, 0, 0),
        "capabilities_config": (5, 5, 0, 0, 0),
        "config": (13, 13, 0, 0, 0),
        "queue": (80, 80, 0, 0, 0),
        "logs": (30, 30, 0, 0, 0),
        "todos": (20, 20, 0, 0, 0),
        "todos.entries": (20, 20, 0, 0, 0),
        "model_usage_stats": (300, 300, 0, 0, 0),
        "credit_balance": (6, 6, 0, 0, 0),
        "credit_alerts": (4, 4, 0, 0, 0),
    }
    assert list(report.left_out) == ["schema_migrations"]
    await check_messages(em)
    await check_memories(em)
    await check_setup(em)
    await check_figures(em)
    again = await import_legacy(em, path)
    assert (again.total("written"), again.total("skipped"), again.is_reconciled) == (0, again.total("read"), True)
    assert await complaints(em) == []


async def check_messages(em: EntityManager) -> None:
    rows = (await em.messages.list(order_by="id", limit=200)).items
    texts = {each.email_metadata if isinstance(each.email_metadata, str) else None for each in rows}
    assert texts == {None, "{oops"}
    assert sum(each.email_metadata == {"subject": "Re: тест"} for each in rows) == 39
    # Five formats, of which three are one moment; what was not dated is dated now, and told.
    moments = [each.created_at for each in rows if each.created_at.year == 2025]
    assert (len(moments), set(moments)) == (156, {MOMENT, MOMENT.replace(hour=8)})
    assert sum(each.response_id is not None for each in rows) == 72
    assert sum(each.meta.get("legacy", {}).get("response_id") == 99999 for each in rows) == 62
    assert {each.role for each in rows} == {MessageRole.USER}
    assert (await em.messages.count(user_id="юзер"), await em.messages.count(guild_id="g1")) == (50, 99)
    embeddings = metadata.tables["embeddings"]
    vectors = await em.db.read(lambda executor: executor.execute(embeddings.select()).all())
    assert {len(np.frombuffer(each.vector, "<f4")) for each in vectors} == {1, 2}
    # Identities that share a discord id, and addresses that differ in case, stay as they are.
    assert (await em.identities.count(discord_id="688448399879438340"), await em.identities.count()) == (3, 6)


async def check_memories(em: EntityManager) -> None:
    assert await em.memories.count(status=MemoryStatus.ARCHIVED) == 34
    assert (await em.memories.count(user_id=None), await em.memories.count(user_id="ghost-user")) == (59, 5)
    odd = {each.content: each for each in await em.memories.find(user_id="ghost-user")}
    early, late, date, word, epoch = odd.values()
    assert [each.meta["legacy"]["timestamp"] for each in (early, late, word)] == [
        "0302-01-01T04:56:02.000Z",
        "2500-01-01T05:00:00.000Z",
        "yesterday",
    ]
    assert early.timestamp == late.timestamp == datetime(2026, 11, 21, 9, 39, 35, tzinfo=UTC)
    assert (date.timestamp, epoch.timestamp) == (datetime(2025, 8, 28, tzinfo=UTC), MOMENT)
    twins = await em.memories.find(user_id="u2", content="dup")
    assert [(each.importance, each.status) for each in twins] == [
        (5, MemoryStatus.ACTIVE),
        (5, MemoryStatus.ARCHIVED),
    ]
    hits = await em.memories.search("pizza", user_id="u2", limit=50)
    assert hits
    assert all("pizza" in hit.item.content for hit in hits)


async def check_setup(em: EntityManager) -> None:
    prompt = await em.prompts.find_one(name="p1")
    assert prompt is not None
    assert (prompt.version, prompt.content, prompt.meta) == (5, "content 9", {"a": 1})
    history = metadata.tables["prompt_history"]
    rows = await em.db.read(
        lambda executor: executor.execute(
            history.select().where(history.c.prompt_id == prompt.id).order_by(history.c.version)
        ).all()
    )
    assert [(each.version, each.content) for each in rows] == [
        (1, "v1 1"),
        (2, "content 1"),
        (3, "content 5"),
        (4, "content 9"),
    ]
    broken, kept = await em.config.find_one(config_key="k0"), await em.config.find_one(config_key="k1")
    assert broken is not None
    assert kept is not None
    assert (broken.meta["legacy"]["history"], kept.meta["history"]) == ("{not json", [{"v": 0}])
    assert await em.capabilities.count(is_enabled=False) == 3


async def check_figures(em: EntityManager) -> None:
    jobs = await em.queue.find()
    assert {each.payload if isinstance(each.payload, str) else None for each in jobs} == {None, "{bad"}
    assert (sum(each.status is JobStatus.PENDING for each in jobs), max(each.retries for each in jobs)) == (18, 4)
    todo = await em.todos.find_one(name="todo 3")
    assert todo is not None
    assert (todo.data, todo.meta["legacy"]["data"]) == ({}, "x")
    assert [(each.content, each.status) for each in await em.todos.items.find(todo_id=todo.id)] == [
        ("todo 3", TodoStatus.PENDING)
    ]
    # A price that nobody knew was 0 there.
    unpriced = ModelUsage.estimated_cost.is_(None)
    assert len((await em.model_usage.list(where=(unpriced,), limit=100)).items) == 68
    assert await em.model_usage.count(estimated_cost=0.0) == 83
    assert await em.model_usage.count(user_id=None) == 54
    assert await em.alerts.count(alert_type="daily_limit") == 1


async def test_files_without_what_came_later(em: EntityManager, make_file: MakeFile) -> None:
    path = make_file(
        *OLDER,
        memories=[(1, "u", "a", "a,b,c", None, THEN, None), (2, "u", "b", "", None, "1756375200000", 11)],
        model_usage_stats=[(1, "m", "u", "m1", 5, 9, -1, "true", None, THEN)],
        config=[(1, "k", "1", None, None)],
        todos=[(1, "t", None, None, THEN), (2, "T ", None, "{}", THEN)],
        model_timeouts=[("m", THEN)],
    )
    report = await import_legacy(em, path)
    assert counts(report) == {
        "memories": (2, 2, 0, 0, 0),
        "config": (1, 1, 0, 0, 0),
        "queue": (0, 0, 0, 0, 0),
        "todos": (2, 2, 0, 0, 0),
        "todos.entries": (2, 2, 0, 0, 0),
        "model_usage_stats": (1, 1, 0, 0, 0),
    }
    assert list(report.left_out) == ["model_timeouts"]
    first, second = await em.memories.find()
    assert (first.tags, first.context, first.importance) == (["a", "b", "c"], "", 5)
    assert (second.timestamp, second.importance, second.meta["legacy"]) == (MOMENT, 5, {"importance": 11})
    (call,) = await em.model_usage.find()
    assert (call.response_time_ms, call.success, call.prompt_tokens, call.estimated_cost) == (None, True, None, None)
    assert [each.name for each in await em.todos.find()] == ["t", "T (2)"]


async def test_columns_and_tables_that_came_later(em: EntityManager, make_file: MakeFile) -> None:
    later = '{"legacy": 1, "mood": "good"}'
    path = make_file(
        *NEWER,
        memories=[(1, "u", "g", "c", "a", "[]", "", THEN, 7, later, 3, THEN, 2, "m9", THEN, THEN)],
        passive_memories=[(1, "u", "likes tea", '["food"]', "good", 4, 1, "2099-01-01", THEN)],
        goals=[(4, "u", "sail", "done", 8, "2099-01-01", THEN, THEN)],
        todo_lists=[(6, "u", "boat", 4, THEN), (7, "v", "boat", 9, THEN)],
        todo_items=[
            (1, 6, "mast", "completed", 2, THEN, None),
            (2, 99, "lost", "pending", 1, THEN, None),
            (3, 6, "sail", "pending", 3, THEN, "later"),
        ],
        passive_listening_consent=[("u", 1)],
    )
    report = await import_legacy(em, path)
    assert (report.total("written"), report.total("rejected"), list(report.left_out)) == (
        7,
        1,
        ["passive_listening_consent"],
    )
    told, overheard = await em.memories.find()
    assert (told.guild_id, told.channel_id, told.pinned, told.recall_count) == ("g", "c", True, 3)
    # What no column holds stays in the metadata, and a key of theirs that is ours is moved aside.
    assert told.meta == {"mood": "good", "legacy": {"is_pinned": 2, "related_message_id": "m9", "legacy": 1}}
    assert (overheard.kind, overheard.tags) == (MemoryKind.PASSIVE, ["food"])
    assert overheard.meta["legacy"] == {"sentiment": "good", "is_confirmed": 1}
    (goal,) = await em.goals.find()
    assert (goal.status, goal.completed_at) == (GoalStatus.COMPLETED, MOMENT)
    boat, other = await em.todos.find(name="boat")
    assert (boat.goal_id, other.goal_id, other.meta["legacy"]) == (goal.id, None, {"goal_id": 9})
    mast, sail = await em.todos.items.find(todo_id=boat.id)
    assert (mast.completed_at, sail.completed_at, sail.meta["legacy"]) == (MOMENT, None, {"completed_at": "later"})
