"""The queue in any order of verbs does what a list of jobs in memory does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.errors import LeaseLostError
from agent_system.managers.queue.retries import RetryPolicy
from tests.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime

    from agent_system.models import Job

STEPS = 20
LEASE = 10
TYPES = ("a", "b")


@dataclass
class Expected:
    """What the machine knows of a job."""

    id: int
    task_type: str
    priority: int
    since: datetime
    key: str | None
    status: str = "pending"
    retries: int = 0
    max_retries: int = 1
    lease_ends: datetime | None = None
    holders: list[Job] = field(default_factory=list)
    """Everybody who ever claimed it; only the last may still have it."""


class Queue(RuleBasedStateMachine):
    """Does everything twice: to the queue and to a list."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock.ahead()
        self.db = DatabaseManager(self.url, auto_migrate=False)
        self.em = EntityManager(self.db, clock=self.clock)
        self.em.queue.retry_policy = RetryPolicy(random=lambda: 1.0, first_seconds=5, factor=1)
        self.jobs: dict[int, Expected] = {}

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @initialize()
    def connect(self) -> None:
        self.run(self.db.connect())

    def teardown(self) -> None:
        if self.db.is_connected:
            self.run(self._empty())
            self.run(self.db.disconnect())
        self.runner.close()

    async def _empty(self) -> None:
        for job in await self.em.queue.find():
            await self.em.queue.delete(job.id)

    # What the list says.

    def is_lost(self, job: Expected) -> bool:
        return job.status == "in_progress" and job.lease_ends is not None and job.lease_ends <= self.clock.now

    def running(self, key: str) -> int:
        return sum(job.status == "in_progress" and job.key == key for job in self.jobs.values())

    def may_begin(self, job: Expected, types: tuple[str, ...]) -> bool:
        is_free = job.key is None or self.running(job.key) == 0
        return job.status == "pending" and job.task_type in types and job.since <= self.clock.now and is_free

    def expect_claim(self, most: int, types: tuple[str, ...]) -> list[int]:
        """Take what a claim takes."""
        found: list[int] = []
        for job in sorted(self.jobs.values(), key=lambda job: (-job.priority, job.since, job.id)):
            if len(found) < most and self.may_begin(job, types):
                job.status = "in_progress"
                found.append(job.id)
        return found

    # The verbs.

    @rule(
        task_type=st.sampled_from(TYPES),
        priority=st.integers(1, 3),
        delay=st.sampled_from([0, 0, 3, 12]),
        key=st.sampled_from([None, None, "k"]),
    )
    def enqueue(self, task_type: str, priority: int, delay: int, key: str | None) -> None:
        job = self.run(
            self.em.queue.enqueue(task_type, priority=priority, delay=delay or None, concurrency_key=key, max_retries=1)
        )
        since = job.scheduled_for or job.created_at
        self.jobs[job.id] = Expected(job.id, task_type, priority, since, key)

    @rule(most=st.integers(1, 4), types=st.sampled_from([TYPES, ("a",), ("b",)]))
    def claim(self, most: int, types: tuple[str, ...]) -> None:
        # A job that was lost for the last time ends wherever a claim comes upon it; here each claim comes upon all.
        self.run(self.em.queue.release_stalled())
        for job in self.jobs.values():
            if self.is_lost(job):
                is_spent = job.retries >= job.max_retries
                job.status = "failed" if is_spent else "pending"
                job.retries += not is_spent
        claimed = self.run(self.em.queue.claim(most, types=types, lease_seconds=LEASE))
        assert [job.id for job in claimed] == self.expect_claim(most, types)
        for job in claimed:
            expected = self.jobs[job.id]
            expected.lease_ends = job.lease_expires_at
            expected.holders.append(job)

    def holders(self) -> list[tuple[Expected, Job]]:
        return [(job, holder) for job in self.jobs.values() for holder in job.holders]

    @precondition(lambda self: any(job.holders for job in self.jobs.values()))
    @rule(data=st.data(), verb=st.sampled_from(["complete", "fail", "release", "heartbeat"]))
    def settle(self, data: st.DataObject, verb: str) -> None:
        job, holder = data.draw(st.sampled_from(self.holders()), label="holder")
        work: dict[str, Any] = {
            "complete": lambda: self.em.queue.complete(holder),
            "fail": lambda: self.em.queue.fail(holder, "no"),
            "release": lambda: self.em.queue.release(holder),
            "heartbeat": lambda: self.em.queue.heartbeat(holder, LEASE),
        }
        if job.status != "in_progress" or holder is not job.holders[-1]:
            with pytest.raises(LeaseLostError):
                self.run(work[verb]())
            return
        settled = self.run(work[verb]())
        if verb == "heartbeat":
            job.lease_ends = self.run(self.em.queue.require(job.id)).lease_expires_at
        elif verb == "complete":
            job.status = "completed"
        elif verb == "fail" and job.retries >= job.max_retries:
            job.status = "failed"
        else:
            job.status = "pending"
            if verb == "fail":
                job.retries, job.since = job.retries + 1, settled.scheduled_for

    @precondition(lambda self: any(job.status in {"pending", "in_progress"} for job in self.jobs.values()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = [job for job in self.jobs.values() if job.status in {"pending", "in_progress"}]
        job = data.draw(st.sampled_from(waiting), label="job")
        self.run(self.em.queue.cancel(job.id))
        job.status = "cancelled"

    @precondition(lambda self: any(job.status in {"failed", "cancelled"} for job in self.jobs.values()))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        ended = [job for job in self.jobs.values() if job.status in {"failed", "cancelled"}]
        job = data.draw(st.sampled_from(ended), label="job")
        found = self.run(self.em.queue.retry(job.id))
        job.status, job.retries, job.since = "pending", 0, found.created_at

    @rule(seconds=st.sampled_from([1, 4, 11]))
    def wait(self, seconds: int) -> None:
        self.clock.move(seconds=seconds)

    @invariant()
    def every_job_stands_where_the_list_says(self) -> None:
        if self.db.is_connected:
            stored = {job.id: (job.status, job.retries) for job in self.run(self.em.queue.find())}
            assert stored == {job.id: (job.status, job.retries) for job in self.jobs.values()}


def test_any_order_of_verbs(migrated_url: str) -> None:
    machine = type("QueueOfThisTest", (Queue,), {"url": migrated_url})
    run_machine(machine, settings=settings(stateful_step_count=STEPS, max_examples=settings.default.max_examples // 2))
