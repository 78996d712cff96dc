"""The queue stays fast however many jobs are over: each statement looks along an index that holds none of them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system.database.dialects.postgresql_executor import PREFER_INDEXES, PostgresExecutor
from agent_system.database.executor import SqliteExecutor
from agent_system.entity_manager import EntityManager
from tests import requirements as requires
from tests.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import Plan

FINISHED = 30_000
# What walks through the table, or sorts what it found there.
SCANS = re.compile(
    r"SCAN queue\b(?! USING)|Seq Scan on queue\b(?!_)|SEARCH queue USING (COVERING )?INDEX idx_queue_status"
)


@pytest.fixture
def clock() -> Clock:
    return Clock.ahead()


@pytest.fixture
async def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    """Return a facade over a queue in which many jobs are over and a few are not."""
    em = EntityManager(database, clock=clock)
    await em.queue.enqueue_many([{"task_type": "a"}] * 4)
    columns = "task_type, payload, status, due_at, completed_at"
    await database.write(
        lambda executor: executor.execute(
            text(
                f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {FINISHED})"
                f" INSERT INTO queue ({columns}) SELECT 'a', '{{}}', 'completed', NULL, created_at"
                " FROM numbers, (SELECT created_at FROM queue LIMIT 1) AS first"
            )
        )
    )
    return em


@contextmanager
def heard_plans() -> Iterator[list[tuple[Plan, Any]]]:
    """Give a list that grows by every compiled statement that runs in the block, with its parameters."""
    heard: list[tuple[Plan, Any]] = []
    patch = pytest.MonkeyPatch()
    for executor in (SqliteExecutor, PostgresExecutor):
        for verb in ("fetch", "change"):
            patch.setattr(executor, verb, _hearing(getattr(executor, verb), heard))
    try:
        yield heard
    finally:
        patch.undo()


def _hearing(original: Any, heard: list[tuple[Plan, Any]]) -> Any:
    def run(executor: Any, plan: Plan, parameters: Any) -> Any:
        heard.append((plan, parameters))
        return original(executor, plan, parameters)

    return run


async def explain(database: DatabaseManager, plan: Plan, parameters: Any, keyword: str) -> str:
    async with database.engine.connect() as connection:
        rows = await connection.exec_driver_sql(f"{keyword} {plan.sql}", tuple(parameters))
        return "\n".join(str(row) for row in rows)


async def test_no_statement_of_a_workers_round_looks_at_what_is_over(
    em: EntityManager, database: DatabaseManager, clock: Clock
) -> None:
    await database.write(lambda executor: executor.execute(text("ANALYZE queue")))
    with heard_plans() as heard:
        await em.queue.look(["a"])
        await em.queue.look()
        (one,) = await em.queue.claim(1, types=["a", "b"])
        (other,) = await em.queue.claim(1)
        await em.queue.heartbeat(one)
        await em.queue.lost([one, other])
        await em.queue.report_progress(one, 0.5)
        await em.queue.complete(one)
        await em.queue.fail(other, "no")
        await em.queue.limit("a", max_running=1)
        clock.move(seconds=3_600)
        await em.queue.claim(2, types=["a"])
        await em.queue.claim(2)
    statements = {plan.sql: (plan, parameters) for plan, parameters in heard if "queue" in plan.sql}
    assert len(statements) > 10
    keyword = "EXPLAIN QUERY PLAN" if database.url.get_backend_name() == "sqlite" else "EXPLAIN"
    for plan, parameters in statements.values():
        explained = await explain(database, plan, parameters, keyword)
        assert not SCANS.search(explained), f"{plan.sql}\n{explained}"


@requires.server_connection
async def test_statistics_from_before_let_no_claim_sort_what_waits(database: DatabaseManager, clock: Clock) -> None:
    em = EntityManager(database, clock=clock)
    # The server has never looked at the table, and believes that next to nothing of it waits.
    await em.queue.enqueue_many([{"task_type": "a"}] * 3_000)
    with heard_plans() as heard:
        jobs = await em.queue.claim(50, types=["a"])
        await em.queue.exchange([em.queue.completion(job) for job in jobs], 50, types=["a"])
    plans = {
        plan.sql: (plan, parameters) for plan, parameters in heard if plan.sql.startswith(("WITH picked", "UPDATE"))
    }
    assert len(plans) == 2
    async with database.engine.connect() as connection:
        await connection.exec_driver_sql(PREFER_INDEXES)
        for plan, parameters in plans.values():
            rows = await connection.exec_driver_sql(f"EXPLAIN {plan.sql}", tuple(parameters))
            explained = "\n".join(row[0] for row in rows)
            assert not re.search(r"Seq Scan on queue|Bitmap", explained), explained
            # What has been found is put in order, nothing else.
            assert explained.count("Sort  (") <= 1, explained


async def test_jobs_that_are_over_are_purged_and_counted(em: EntityManager, clock: Clock) -> None:
    (job,) = await em.queue.claim(1, types=["a"])
    await em.queue.complete(job)
    clock.move(seconds=1)
    assert await em.queue.purge(timedelta(0), limit=10) == 10
    stats = await em.queue.stats()
    assert (stats.total, stats.ready) == (FINISHED + 4 - 10, 3)
