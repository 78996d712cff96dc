"""What people on call suffer from, and what becomes of it here; tests/faults tries the harder cases."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, update

from agent_system import DatabaseManager, EntityManager
from agent_system.errors import DatabaseCorruptError, SchemaMismatchError
from agent_system.models import metadata

if TYPE_CHECKING:
    from agent_system.models import LogEntry

ROOT = Path(__file__).parents[2]
ROWS = 10_000


async def test_the_loop_never_stops_for_long_while_ten_thousand_rows_load(em: EntityManager) -> None:
    """Row 51; counted is the processor time of the loop's own thread, which other programs do not change."""
    rows = [{"level": "info", "service": "s", "message": f"message {number}"} for number in range(ROWS)]
    await em.db.write(lambda executor: executor.execute(insert(metadata.tables["logs"]), rows).rowcount)
    # Once in a process statements are made and classes are looked at; and what the tests themselves have left behind is
    # no garbage of ours to look through.
    async for _ in em.logs.iter(batch=ROWS // 4):
        pass
    gc.collect()
    gc.freeze()
    loaded: list[LogEntry] = []

    async def load() -> None:
        loaded.extend([row async for row in em.logs.iter()])

    loading = asyncio.create_task(load())
    longest = 0.0
    while not loading.done():
        before = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - before)
    await loading
    assert len(loaded) == ROWS
    assert longest < 0.02


async def test_an_old_schema_is_refused_with_the_command_to_run(postgres_url: str, sqlite_url: str) -> None:
    """Rows 1 and 12."""
    for url in (postgres_url, sqlite_url):
        with pytest.raises(SchemaMismatchError, match="run `agent-system upgrade`"):
            await DatabaseManager(url, auto_migrate=False).connect()


async def test_a_damaged_file_is_not_written_to(tmp_path: Path, sqlite_template: Path) -> None:
    """Row 60: it is refused before anything is written, and the advice is a backup."""
    path = tmp_path / "system.db"
    damaged = b"x" * 4096 + sqlite_template.read_bytes()[4096:]
    path.write_bytes(damaged)
    with pytest.raises(DatabaseCorruptError, match="backup"):
        await DatabaseManager(path).connect()
    assert path.read_bytes() == damaged


async def test_tasks_share_a_database_in_memory() -> None:
    """Row 61: `:memory:` is one database, whichever connection a task gets."""
    async with DatabaseManager(":memory:") as db:
        em = EntityManager(db)
        await asyncio.gather(*(em.agents.create({"name": f"agent-{number}"}) for number in range(16)))
        counts = await asyncio.gather(*(em.agents.count() for _ in range(16)))
        async with db.session(read_only=True) as session:
            connection = await session.connection()
            counts.append((await connection.exec_driver_sql("SELECT count(*) FROM agents")).scalar_one())
    assert set(counts) == {16}


def test_every_dependency_has_a_pinned_version() -> None:
    """What `pip-audit -r constraints.txt` looks at is all that is installed."""
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    assert not [line for line in pinned if "/" in line or "@" in line]
    project = (ROOT / "pyproject.toml").read_text()
    dependencies = re.search(r"^dependencies = \[(.*?)^\]", project, re.DOTALL | re.MULTILINE)
    assert dependencies is not None
    named = re.findall(r'^ +"([A-Za-z0-9_.-]+)', dependencies[1], re.MULTILINE)
    assert {name.lower().replace("_", "-") for name in named} <= pinned


async def test_a_message_of_a_newer_version_is_told_and_never_overwritten(em: EntityManager) -> None:
    conversation = await em.conversations.create({"title": "chat"})
    old, new = await em.messages.append_many(
        conversation.id, [{"role": "user", "content": text} for text in ("old", "new")]
    )
    messages = metadata.tables["messages"]
    newer = update(messages).where(messages.c.id == new.id).values(format_version=2)
    await em.db.write(lambda executor: executor.execute(newer).rowcount)
    for attempt in (
        em.messages.last(conversation.id),
        em.messages.history(conversation.id),
        em.messages.require(new.id),
        em.messages.update(new.id, {"content": "lost"}),
    ):
        with pytest.raises(SchemaMismatchError, match=r"format 2.*knows 1"):
            await attempt
    assert (await em.messages.require(old.id)).content == "old"
    stored = await em.query("SELECT content FROM messages WHERE id = :id", {"id": new.id})
    assert [row["content"] for row in stored.rows] == ["new"]
