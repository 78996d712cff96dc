"""The figures for the person on call: what waits, what stands still, and a database that does not answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from agent_system import EntityManager
from agent_system.database.migrations import head_revision

if TYPE_CHECKING:
    from agent_system import DatabaseManager


async def test_the_figures_are_those_of_the_rows(database: DatabaseManager) -> None:
    now = datetime.now(UTC)
    em = EntityManager(database, clock=lambda: now)
    await em.queue.enqueue("mail", {"to": "a"})
    await em.queue.enqueue("mail", {"to": "b"})
    await em.queue.claim(1, lease_seconds=10)
    agent = await em.agents.create({"name": "one"})
    task = await em.tasks.create({"agent_id": agent.id, "instruction": "do"})
    await em.tasks.update(task.id, {"status": "running"})

    health = await em.health()

    assert (health.queue_backlog, health.queue_running, health.queue_stalled, health.queue_dead_letters) == (1, 1, 0, 0)
    assert (health.tasks_running, health.streams_stalled) == (1, 0)
    assert health.revision == health.head_revision == head_revision()
    later = await EntityManager(database, clock=lambda: now + timedelta(seconds=11)).health()
    assert later.queue_stalled == 1


async def test_the_figures_of_seed_003_are_there(em: EntityManager) -> None:
    await em.agents.create({"name": "one"})
    health = await em.health()
    assert health.cold_storage_connected is True
    assert health.problem is None
    assert health.write_queue_depth == 0
    assert health.last_sync_time is not None
    assert health.disk_usage > 0
    assert health.hot_cache_size >= 0
    assert health.wal_file_size >= 0
    assert {"hot_cache_size", "queue_backlog", "cache_hit_ratio"} <= health.as_dict().keys()


async def test_a_schema_that_is_not_ours_is_no_error(database: DatabaseManager) -> None:
    await database.write(lambda executor: executor.execute(text("DROP TABLE alembic_version")).close())
    health = await EntityManager(database).health()
    assert health.cold_storage_connected is True
    assert health.revision is None
    assert health.queue_backlog is None
