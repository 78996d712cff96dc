"""Writers that run in processes of their own until somebody kills them, and what must be there afterwards.

Each of the four ways touches more than one row in its transaction, so that half of one would be seen: an agent has its
event, tasks come in pairs, a memory has its words in the full-text index, a message its conversation's count.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

from agent_system import DatabaseManager, DatabaseSettings, EntityManager
from agent_system.doctor import Severity, examine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from multiprocessing.connection import Connection

    Way = Callable[[EntityManager, str], Awaitable[None]]
    Acknowledge = Callable[[str], None]


async def make_agent(em: EntityManager, title: str) -> None:
    """Write an agent, and with it an event."""
    await em.agents.create({"name": title})


async def make_tasks(em: EntityManager, title: str) -> None:
    """Write two tasks in one transaction."""
    async with em.db.transaction():
        await em.tasks.create({"instruction": f"{title} first"})
        await em.tasks.create({"instruction": f"{title} second"})


async def remember(em: EntityManager, title: str) -> None:
    """Write a memory, and by a trigger its words."""
    await em.memories.create({"content": title, "user_id": "somebody"})


async def say(em: EntityManager, title: str) -> None:
    """Append a message to the conversation of its writer, which counts it."""
    writer = title.rpartition(" ")[0]
    conversation = await em.conversations.find_one(title=writer) or await em.conversations.create({"title": writer})
    await em.messages.append(conversation.id, {"role": "user", "content": title})


WAYS: tuple[Way, ...] = (make_agent, make_tasks, remember, say)


async def write_for_ever(em: EntityManager, way: Way, name: str, acknowledge: Acknowledge) -> None:
    """Write one title after the other and tell of each that was acknowledged."""
    for number in count():
        title = f"{way.__name__} {name} {number}"
        await way(em, title)
        acknowledge(title)


async def write_in_all_ways(url: str, name: str, acknowledge: Acknowledge, **settings: Any) -> None:
    """Connect and let the four writers run at once."""
    async with DatabaseManager(url, settings=DatabaseSettings(**settings), auto_migrate=False) as db:
        em = EntityManager(db)
        await asyncio.gather(*(write_for_ever(em, way, name, acknowledge) for way in WAYS))


def run(url: str, name: str, pipe: Connection) -> None:
    """Run as a process; the titles go into the pipe."""
    # Few pages in the log: checkpoints are killed too.
    asyncio.run(write_in_all_ways(url, name, pipe.send, durability="full", checkpoint_pages=100))


async def whole_titles(em: EntityManager) -> set[str]:
    """Return the titles of all writes that are there; nothing may be there by half.

    Raises:
        AssertionError: A transaction is there by half.
    """
    agents = {str(agent.id): agent.name async for agent in em.agents.iter()}
    audited = {event.entity_id async for event in em.events.iter(where={"event_type": "agent.created"})}
    tasks = {task.instruction async for task in em.tasks.iter()}
    memories = {memory.content async for memory in em.memories.iter()}
    messages = [message async for message in em.messages.iter()]
    counts = {conversation.id: conversation.message_count async for conversation in em.conversations.iter()}

    assert agents.keys() == audited
    assert {task.replace("first", "second") for task in tasks if task.endswith("first")} == {
        task for task in tasks if task.endswith("second")
    }
    assert sum(counts.values()) == len(messages)
    pairs = {task.rpartition(" ")[0] for task in tasks}
    return {*agents.values(), *pairs, *memories, *(message.content for message in messages)}


async def must_be_sound(db: DatabaseManager) -> None:
    """Let the doctor look at everything: pages, foreign keys, full-text indexes, counts."""
    report = await examine(db)
    assert report.worst is not Severity.ERROR, report
