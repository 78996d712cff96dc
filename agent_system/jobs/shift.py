"""What a worker has in hand while it runs: the jobs that it was given, and the attempts at them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from agent_system.database.dialects.registry import writes_side_by_side
from agent_system.jobs.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_system.entity_manager import EntityManager
    from agent_system.jobs.handlers import Handlers
    from agent_system.jobs.reporter import Reporter
    from agent_system.managers.queue.settlements import Completion
    from agent_system.models import Job

__all__ = ["Shift"]

logger = logging.getLogger("agent_system.jobs")

# So many times as many jobs as handlers may have failed and not be reported, while the database does not answer.
MOST_UNREPORTED = 8
# Handlers that take no longer on average would wait for commits most of the time: of their jobs as many are claimed
# ahead as are done in AHEAD_SECONDS, at most MOST_AHEAD times as many as there are handlers. A claim and a completion
# of 32 jobs in one transaction cost 44 µs of a processor for each, of 256 they cost 20; PostgreSQL did 9,000 jobs a
# second 144 at a time, 13,000 with 272 and 17,000 with 528, because the round trips cost the same for all of them.
SHORT_SECONDS = 0.005
AHEAD_SECONDS = 0.035
MOST_AHEAD = 31
# More in one transaction would keep others from writing for longer than it saves.
MOST_AT_ONCE = 512
# From so many jobs on, that are done and that are claimed, two transactions cost less time than one.
LEAST_SIDE_BY_SIDE = 64
# How much the last handler counts in the average.
NEWEST_SHARE = 0.1
# How long a handler may take to end when it is cancelled.
HAND_BACK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Report:
    """What is to be reported."""

    begun: float
    job: Job
    completion: Completion


class Shift:
    """Begins jobs as handlers end, and knows all that are this worker's.

    Args:
        concurrency: So many handlers run side by side.
        timeout_seconds: Longest run of an attempt that neither job nor handler limits.
    """

    def __init__(
        self,
        em: EntityManager,
        handlers: Handlers,
        reporter: Reporter,
        *,
        concurrency: int,
        timeout_seconds: float | None,
    ) -> None:
        self._em = em
        self._handlers = handlers
        self._reporter = reporter
        self._concurrency = concurrency
        self._timeout = timeout_seconds
        self._attempts: dict[int, Attempt] = {}
        self._ahead: deque[tuple[float, Job]] = deque()
        self._reports: list[_Report] = []
        self._reporting: list[_Report] = []
        self._is_side_by_side = writes_side_by_side(em.db.url)
        # Where fewer jobs came than were wanted, a rule may wait for what is reported: a claim shall know of it.
        self._is_plenty = False
        self._handling = 0
        self._average_seconds: float | None = None
        self._is_over = False
        self.woken = asyncio.Event()
        """Set when a handler or a report has ended."""

    @property
    def is_busy(self) -> bool:
        """Whether there is a job that is not over and reported."""
        return bool(self._attempts or self._ahead or self._reports or self._reporting)

    @property
    def has_reports(self) -> bool:
        """Whether a job is done and not reported."""
        return bool(self._reports)

    def held(self) -> list[tuple[float, Job]]:
        """The jobs that are this worker's, by when they were given to it on the machine's own clock."""
        attempts = [(attempt.begun, attempt.job) for attempt in list(self._attempts.values()) if attempt.is_held]
        reports = [(report.begun, report.job) for report in (*self._reporting, *self._reports)]
        return attempts + reports + list(self._ahead)

    def wanted(self) -> int:
        """So many more jobs would be of use."""
        if len(self._attempts) >= self._concurrency * MOST_UNREPORTED:
            return 0
        ahead = self._concurrency * self._rounds_ahead()
        free = self._concurrency - self._handling
        if free <= 0 and len(self._ahead) * 2 > ahead:
            return 0
        return max(0, min(MOST_AT_ONCE, free + ahead - len(self._ahead)))

    def _rounds_ahead(self) -> int:
        average = self._average_seconds
        if average is None or average >= SHORT_SECONDS:
            return 0
        return min(MOST_AHEAD, int(AHEAD_SECONDS / max(average, AHEAD_SECONDS / MOST_AHEAD)))

    async def exchange(self, wanted: int, *, types: Sequence[str], lease_seconds: float) -> bool:
        """Report what is done and claim so many jobs; whether there were any.

        They are begun, or kept until a handler ends, or given back when the shift is over. It is one transaction, or
        two side by side where that is faster: a server does many of both on two processors.
        """
        # What could not be reported the last time is reported again.
        self._reporting += self._reports
        self._reports = []
        done = [report.completion for report in self._reporting]
        exchange = partial(self._reporter.exchange, types=types, lease_seconds=lease_seconds)
        if not (self._is_side_by_side and self._is_plenty and min(len(done), wanted) >= LEAST_SIDE_BY_SIDE):
            jobs = await exchange(done, wanted)
            self._reporting = []
            await self._take(jobs)
        else:
            report = asyncio.create_task(exchange(done, 0))
            try:
                jobs = await exchange((), wanted)
                await self._take(jobs)
                await report
            finally:
                report.cancel()
            self._reporting = []
        self._is_plenty = len(jobs) == wanted
        return bool(jobs)

    async def let_short_ones_end(self) -> None:
        """Let handlers that end in their first turn do so, so that they are reported together."""
        for _ in range(MOST_AHEAD + 1):
            await asyncio.sleep(0)
            if not self._ahead or self.wanted():
                return

    async def _take(self, jobs: Sequence[Job]) -> None:
        now = time.monotonic()
        self._ahead.extend((now, job) for job in jobs)
        if self._is_over:
            await self._give_back()
        else:
            self._fill()

    def lose(self, lost: Mapping[int, str | None]) -> None:
        """Stop what is no longer this worker's; where each stands, by id."""
        if any(job.id in lost for _, job in self._ahead):
            self._ahead = deque((since, job) for since, job in self._ahead if job.id not in lost)
        for job_id, status in lost.items():
            attempt = self._attempts.get(job_id)
            if attempt is not None:
                attempt.lose(status)

    def end(self) -> None:
        """Begin nothing more; called again, hand back what runs."""
        if self._is_over:
            for attempt in self._attempts.values():
                attempt.hand_back()
        self._is_over = True
        self.woken.set()

    async def drain(self, seconds: float) -> None:
        """Let handlers end, and hand back the jobs of those that do not in so many seconds."""
        self._is_over = True
        await self._give_back()
        await self._wait_for_attempts(seconds)
        for attempt in self._attempts.values():
            attempt.hand_back()
        await self._wait_for_attempts(HAND_BACK_SECONDS)
        for attempt in self._attempts.values():
            job = attempt.job
            logger.error(
                "%s %d does not stop; another worker takes it over when its lease runs out", job.task_type, job.id
            )

    async def _wait_for_attempts(self, seconds: float) -> None:
        """Wait for so long, and report what is done meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            if self._reports or self._reporting:
                await self.exchange(0, types=(), lease_seconds=1)
            tasks = [attempt.task for attempt in self._attempts.values()]
            if self._reports:
                continue
            left = deadline - time.monotonic()
            if not tasks or left <= 0:
                return
            await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def _give_back(self) -> None:
        jobs = [job for _, job in self._ahead]
        self._ahead.clear()
        await asyncio.gather(*(self._reporter.release(job) for job in jobs))

    def _fill(self) -> None:
        while self._ahead and self._handling < self._concurrency and not self._is_over:
            _, job = self._ahead.popleft()
            self._begin(job)

    def _begin(self, job: Job) -> None:
        # What the attributes say, at a fifth of their price: SQLAlchemy watches them.
        columns = vars(job)
        job_id, timeout = columns["id"], columns["timeout_seconds"]
        former = self._attempts.get(job_id)
        if former is not None:
            # It was lost while the loop was busy, and has come back to the same worker.
            former.lose("in_progress")
        handler = self._handlers[columns["task_type"]]
        if timeout is None:
            timeout = self._timeout if handler.timeout_seconds is None else handler.timeout_seconds
        self._handling += 1
        self._attempts[job_id] = Attempt(self._em, job, handler, self._reporter, timeout, self)

    # What attempts say.

    def handled(self, seconds: float) -> None:
        """A handler took so long; the next one begins."""
        self._handling -= 1
        average = self._average_seconds
        self._average_seconds = seconds if average is None else average + NEWEST_SHARE * (seconds - average)
        self._fill()
        self.woken.set()

    def completed(self, attempt: Attempt, completion: Completion) -> None:
        """A job is done, and is reported by the next exchange."""
        self._reports.append(_Report(attempt.begun, attempt.job, completion))

    def ended(self, attempt: Attempt) -> None:
        """Nothing more comes of an attempt."""
        job_id = vars(attempt.job)["id"]
        if self._attempts.get(job_id) is attempt:
            del self._attempts[job_id]
        self.woken.set()
