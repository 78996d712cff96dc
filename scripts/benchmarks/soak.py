"""The endurance run: random work with cancellations, failures and a rival that is killed; at the end ledger = table.

It works in stretches. After each one everybody stops, the ledger is compared with the table, both are emptied, and the
process is measured: so what is measured does not grow by what the run itself remembers.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, text, update
from sqlmodel import col

from agent_system import DatabaseManager, DatabaseSettings, EntityManager
from agent_system.models import Conversation, Message
from scripts.benchmarks.ledger import Ledger
from scripts.benchmarks.memory import resident_bytes
from scripts.benchmarks.rival import Rival
from scripts.benchmarks.rows import agent_row
from scripts.benchmarks.strain import Strain

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from agent_system.database.executor import Executor

__all__ = ["soak"]

COROUTINES = 48
AGENTS = 50
CONVERSATIONS = 20
MISCOUNTED = text("""
    SELECT id FROM conversations AS talk
    WHERE message_count <> (SELECT count(*) FROM messages WHERE conversation_id = talk.id)
    OR head_message_id IS NOT (SELECT max(id) FROM messages WHERE conversation_id = talk.id)
""")
LONGEST_STRETCH_SECONDS = 20.0
# What may be different from the first stretches to the last ones: the allocator's noise, no more.
MEMORY_FACTOR = 1.10
MEMORY_ALLOWANCE_BYTES = 16 * 2**20
OPEN_FILES = Path("/proc/self/fd")


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How big the process is while nobody works."""

    memory_bytes: int
    tasks: int
    threads: int
    files: int


async def soak(seconds: float, say: Callable[[str], None]) -> list[str]:
    """Run for about so many seconds; the result is what went wrong."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        path = Path(folder, "soak.db")
        problems, sizes, strain = await _run(path, seconds, say)
        with closing(sqlite3.connect(path)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                problems.append("the file is damaged")
            if connection.execute("PRAGMA foreign_key_check").fetchall():
                problems.append("references lead nowhere")
    problems += _growth(sizes)
    say(_summary(strain, sizes))
    return problems


async def _run(path: Path, seconds: float, say: Callable[[str], None]) -> tuple[list[str], list[Size], Strain]:
    # A small page cache is full after the first stretch and does not look like growth later.
    settings = DatabaseSettings().model_copy(update={"sqlite_cache_pages": 500})
    problems: list[str] = []
    sizes: list[Size] = []
    stretch = min(LONGEST_STRETCH_SECONDS, seconds / 4)
    async with DatabaseManager(path, settings=settings) as db:
        em = EntityManager(db)
        agents = await em.agents.create_many([agent_row(number) for number in range(AGENTS)])
        ledger = Ledger(versions={agent.id: 1 for agent in agents})
        rival = Rival(path, ledger)
        talks = await em.conversations.create_many([{"title": str(number)} for number in range(CONVERSATIONS)])
        strain = Strain(db, em, ledger, [talk.id for talk in talks])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            killed = rival.killed
            rival.start()
            await _work(strain, time.monotonic() + stretch)
            await rival.stop()
            stored = await _stored(db)
            found = ledger.compare(stored, killed=rival.killed - killed) + strain.take_problems()
            if await db.read(lambda executor: executor.execute(MISCOUNTED).all()):
                found.append("a conversation's row does not tell its messages")
            problems += found
            sizes.append(_measure())
            say(_line(strain, rival, stored, sizes[-1], found))
            await db.write(_forget_messages)
            ledger.clear()
    return problems, sizes, strain


async def _work(strain: Strain, until: float) -> None:
    async def one() -> None:
        while time.monotonic() < until:
            await strain.step()

    await asyncio.gather(*(one() for _ in range(COROUTINES)))


def _forget_messages(executor: Executor) -> None:
    executor.execute(delete(Message))
    executor.execute(update(Conversation).values(message_count=0, head_message_id=None))


async def _stored(db: DatabaseManager) -> dict[UUID, str]:
    statement = select(col(Message.uid), col(Message.content))
    rows: list[Any] = list(await db.read(lambda executor: executor.execute(statement).all()))
    return dict(rows)


def _measure() -> Size:
    gc.collect()
    return Size(
        memory_bytes=resident_bytes(),
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        files=len([*OPEN_FILES.iterdir()]) if OPEN_FILES.exists() else 0,
    )


def _growth(sizes: list[Size]) -> list[str]:
    """Compare the second stretch, when caches are full, with the last one."""
    if len(sizes) < 3:  # noqa: PLR2004 (two points are no line)
        return []
    early, late = sizes[1], sizes[-1]
    problems = []
    if late.memory_bytes > early.memory_bytes * MEMORY_FACTOR + MEMORY_ALLOWANCE_BYTES:
        problems.append(f"memory grew from {early.memory_bytes / 2**20:.0f} to {late.memory_bytes / 2**20:.0f} MB")
    for name in ("tasks", "threads", "files"):
        before, after = getattr(early, name), getattr(late, name)
        if after > before:
            problems.append(f"{name} grew from {before} to {after}")
    return problems


def _line(strain: Strain, rival: Rival, stored: dict[UUID, str], size: Size, problems: list[str]) -> str:
    return (
        f"{strain.total:>9,} operations, {rival.killed:>4} kills, {len(stored):>7,} rows, "
        f"{size.memory_bytes / 2**20:6.1f} MB, {size.tasks} tasks, {size.threads} threads, {size.files} files"
        f"{f': {len(problems)} problems' if problems else ''}"
    )


def _summary(strain: Strain, sizes: list[Size]) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(strain.counts.items()))
    memory = " -> ".join(f"{size.memory_bytes / 2**20:.1f}" for size in (sizes[0], sizes[-1]))
    return f"{strain.total:,} operations: {counts}\nmemory in MB: {memory}"
