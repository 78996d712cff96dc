"""The heart: what its own connection does between two beats."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import TYPE_CHECKING

from agent_system.database.checkpoints import Checkpointer
from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.jobs.heart import Heart
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    import pytest

    from agent_system.models import Job

PAGES = 8


async def test_a_checkpoint_that_a_heartbeat_has_begun_ends_without_another_beat(
    migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consider = Checkpointer.consider

    def consider_in_the_heart(self: Checkpointer) -> None:
        if threading.current_thread() is not threading.main_thread():
            consider(self)

    monkeypatch.setattr(Checkpointer, "consider", consider_in_the_heart)
    loop, has_beaten = asyncio.get_running_loop(), asyncio.Event()
    async with DatabaseManager(migrated_sqlite_url, settings=DatabaseSettings(checkpoint_pages=PAGES)) as db:
        em = EntityManager(db)
        await em.logs.create({"level": "info", "message": "x" * 16 * PAGES * 1024})
        await em.queue.enqueue("a")
        jobs = await em.queue.claim(1)

        def held() -> list[tuple[float, Job]]:
            if not jobs:
                loop.call_soon_threadsafe(has_beaten.set)
            return [(-math.inf, jobs.pop())] if jobs else []

        heart = Heart(em.queue, held, lambda _: None, lease_seconds=0.03, patience_seconds=60)
        heart.start()
        async with asyncio.timeout(10):
            await has_beaten.wait()
            await em.queue.enqueue("b")
            await heart.stop()
