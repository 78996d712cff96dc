"""Retention: what is old or too much goes, in parts, by jobs of the queue; what has to stay stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, insert, select, update

from agent_system.entity_manager import EntityManager
from agent_system.errors import ValidationError
from agent_system.jobs import RetentionPolicy, Worker, retains
from agent_system.jobs.retention import RETENTION, payload_of
from agent_system.managers.core import pruning
from agent_system.managers.retention import RETAINED
from agent_system.models import metadata
from agent_system.types import JobStatus
from tests.clock import NOW, Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

DAY = timedelta(days=1)
logs = metadata.tables["logs"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def write_logs(em: EntityManager, count: int) -> None:
    rows = [{"level": "info", "service": "s", "message": str(n), "timestamp": NOW - n * DAY} for n in range(count)]
    await em.db.write(lambda executor: executor.execute(insert(logs), rows).rowcount)


async def messages(em: EntityManager) -> list[str]:
    statement = select(logs.c.message).order_by(logs.c.timestamp.desc())
    return list(await em.db.read(lambda executor: executor.execute(statement).scalars().all()))


async def test_what_is_old_or_too_much_goes(em: EntityManager) -> None:
    await write_logs(em, 10)
    policy = RetentionPolicy(table="logs", older_than=6.5 * DAY, most=3)
    assert await em.retention.backlog(policy)
    assert await em.retention.apply(RetentionPolicy(table="logs", older_than=6.5 * DAY)) == 3
    assert await em.retention.apply(policy) == 4
    assert await messages(em) == ["0", "1", "2"]
    assert not await em.retention.backlog(policy)
    assert await em.retention.apply(policy) == 0
    assert await em.retention.apply(RetentionPolicy(table="logs", most=0)) == 3


async def test_it_is_done_in_parts_that_get_smaller_when_they_take_long(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_logs(em, 300)
    sizes: list[int] = []
    original = pruning._delete

    def slow(statement: Any, executor: Any) -> tuple[int, float]:
        count, _ = original(statement, executor)
        sizes.append(count)
        return count, 1.0

    monkeypatch.setattr(pruning, "_delete", slow)
    old = [logs.c.timestamp < NOW]
    assert await pruning.delete_in_parts(em.db, logs, old, 100) == 299
    assert sizes == [100, 50, 25, 25, 25, 25, 25, 24]


async def test_writers_get_their_turn_in_between(em: EntityManager) -> None:
    await write_logs(em, 2_000)
    removing = asyncio.create_task(pruning.delete_in_parts(em.db, logs, [logs.c.timestamp < NOW], 50))
    written = 0
    while not removing.done():
        await em.logs.create({"level": "info", "service": "w", "message": "beside", "timestamp": NOW})
        written += 1
    assert await removing == 1_999
    # It did not have to wait for the end: on SQLite one group of writes stands between two parts.
    assert written > 5


async def test_sealed_events_and_unfinished_jobs_stay(em: EntityManager, clock: Clock) -> None:
    events, jobs = metadata.tables["events"], metadata.tables["queue"]
    parent = await em.events.log("a.b")
    await em.events.log("a.c", parent_event_id=parent.id)
    await em.events.log("a.d")
    sealed = update(events).where(events.c.event_type == "a.c").values(seal_id=1)
    await em.db.write(lambda executor: executor.execute(sealed).rowcount)
    waiting = await em.queue.enqueue("x")
    done = await em.queue.enqueue("y")
    over = update(jobs).where(jobs.c.id == done.id).values(status=JobStatus.COMPLETED, completed_at=NOW)
    await em.db.write(lambda executor: executor.execute(over).rowcount)
    clock.move(days=40)
    for table in ("events", "queue"):
        await em.retention.apply(RetentionPolicy(table=table, older_than=30 * DAY))
    assert [event.event_type for event in await em.events.find()] == ["a.b", "a.c"]
    assert [job.id for job in await em.queue.find()] == [waiting.id]


async def test_every_table_that_is_named_can_be_retained(em: EntityManager) -> None:
    for table, moment in RETAINED.items():
        assert moment in metadata.tables[table].columns
        await em.retention.apply(RetentionPolicy(table=table, older_than=DAY, most=5))


@pytest.mark.parametrize(
    "fields",
    [
        {"table": "users", "most": 1},
        {"table": "logs"},
        {"table": "logs", "most": -1},
        {"table": "logs", "older_than": -DAY},
    ],
)
def test_a_policy_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RetentionPolicy(**fields)


async def test_workers_carry_policies_out(em: EntityManager) -> None:
    await write_logs(em, 5)
    policy = RetentionPolicy(table="logs", older_than=2.5 * DAY)
    worker = Worker(concurrency=1)
    retains(worker, [policy])
    job = await em.queue.enqueue(RETENTION, payload_of(policy))
    await worker.run(em, until_idle=True)
    assert (await em.queue.require(job.id)).result == {"table": "logs", "removed": 2}
    schedules = metadata.tables["queue_schedules"]
    count = select(func.count()).select_from(schedules).where(schedules.c.name == f"{RETENTION}.logs")
    assert await em.db.read(lambda executor: executor.execute(count).scalar()) == 1


async def test_sizes_of_tables_are_told(em: EntityManager) -> None:
    await write_logs(em, 100)
    sizes = await em.db.sizes()
    assert (sizes["logs"] or 0) > 8_000
    assert "users" in sizes
