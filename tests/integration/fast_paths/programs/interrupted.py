"""Is told by a signal to end, in the middle of a write on the event loop's own thread."""

# ruff: noqa: T201 (it speaks through its output)
from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from agent_system import DatabaseManager, EntityManager
from agent_system.database import groups
from agent_system.database.inline_writes import Brief

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.database.executor import Executor


def end(*_: object) -> NoReturn:
    """What many programs do when they are told to end."""
    raise SystemExit(3)


def interrupted(write: Callable[[Executor], None], place: str) -> Callable[[Executor], None]:
    """A unit of work in which the signal comes before the row is written, or when it is."""

    def work(executor: Executor) -> None:
        if place == "before":
            signal.raise_signal(signal.SIGTERM)
        write(executor)
        if place == "after":
            signal.raise_signal(signal.SIGTERM)

    return work


async def write(db: DatabaseManager, place: str) -> None:
    """Write an agent and its event."""
    em = EntityManager(db)
    insertion: Any = em.agents.insertion(em.agents.new_values({"name": "Ada"}))
    if place == "commit":
        note = groups._note_commit

        def commit_noted(executor: Any) -> None:
            signal.raise_signal(signal.SIGTERM)
            note(executor)

        groups._note_commit = commit_noted
    await db.write(Brief(interrupted(insertion, place), 0))


async def main(path: str, place: str) -> None:
    """Write, and leave as a program does that closes what it has opened."""
    async with DatabaseManager(path, durability="normal") as db:
        backend: Any = db._backend
        # By a clock that stands still the loop has nothing else to do.
        backend._writer._inline._clock = lambda: 0.0
        await write(db, place)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    raised = "nothing"
    try:
        asyncio.run(main(*sys.argv[1:3]))
    except SystemExit as exc:
        raised = type(exc).__name__
    print(json.dumps(raised))
