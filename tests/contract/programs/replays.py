"""Sends a history and appends messages under given uids, all at once, and tells the keys that they have."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import sys
from uuid import UUID

from agent_system import DatabaseManager, EntityManager


async def main(url: str, conversation: str, *uids: str) -> None:
    conversation_id = UUID(conversation)
    async with DatabaseManager(url, auto_migrate=False) as db:
        em = EntityManager(db)
        print(json.dumps({"is_ready": True}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        history = [{"role": "user", "content": str(number)} for number in range(10)]
        await em.messages.append_history(conversation_id, history)
        rows = await asyncio.gather(
            *(
                em.messages.append(conversation_id, {"role": "user", "content": "uid", "uid": UUID(uid)})
                for uid in [*uids, *uids]
            )
        )
        print(json.dumps([row.id for row in rows]), flush=True)


asyncio.run(main(*sys.argv[1:]))
