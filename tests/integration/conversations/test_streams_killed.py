"""A process that streams is killed: what it had written is there, and is known to be all that there will be."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agent_system.types import StreamingState
from tests.integration.engine.processes import Child

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager

PROGRAM = Path(__file__).parent / "programs" / "streams_until_killed.py"
STEPS = 40


async def test_written_text_survives_the_kill_of_its_writer(em: EntityManager, migrated_url: str) -> None:
    child = await Child.start(str(PROGRAM), migrated_url, options=())
    told = [await child.hear() for _ in range(STEPS)]
    told += [line for line in await child.kill() if isinstance(line, list)]
    written: dict[int, str] = {}
    for message_id, text in told:
        written[message_id] = max(written.get(message_id, ""), text, key=len)

    # The server of PostgreSQL may still be at work for a client that is gone.
    async with asyncio.timeout(20):
        found = {}
        while not written.keys() <= found.keys():
            found |= {row.id: row for row in await em.messages.recover_streams(timedelta(0))}
    for message_id, text in written.items():
        row = found[message_id]
        assert row.content.startswith(text)
        assert row.streaming_state is StreamingState.INTERRUPTED
        name = text.split(" 0\0")[0]
        words = row.content.count("\0")
        assert row.content == "".join(f"{name} {number}\0 " for number in range(words))
