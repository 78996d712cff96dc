"""Working on jobs: claim them, hold them, and say what became of them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from agent_system.clock import utc_now
from agent_system.database.transactions import current_transaction
from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.queue.claims import MOST_LEASE_SECONDS, ClaimRequest, Claims
from agent_system.managers.queue.exchange import complete_all, exchange_all
from agent_system.managers.queue.fusion import Fusion
from agent_system.managers.queue.lease_clock import LeaseClock
from agent_system.managers.queue.outlook import Watchman
from agent_system.managers.queue.retries import RetryPolicy
from agent_system.managers.queue.settlements import Completion, Settlements, lease_lost
from agent_system.models import Job
from agent_system.models.uuids import uuid7
from agent_system.types import JobStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.queue.outlook import Outlook

__all__ = ["QueueWork"]

MOST_WANTED = 10_000
DEFAULT_LEASE_SECONDS = 60.0


class QueueWork(Manager[Job]):
    """What a worker does with the queue.

    Many callers at one time are served by one statement. Inside of a transaction a verb is a part of it.
    """

    entity = Job

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(db, clock=clock)
        self.worker = f"worker-{uuid7()}"
        """Who claims jobs through this manager, unless a claim says another name: one in all the world."""
        self.retry_policy = RetryPolicy()
        """When a job that failed is tried again."""
        self._lease_clock = LeaseClock(db, clock)
        self._fused_claims: Fusion[tuple[ClaimRequest, int], builtins.list[Job]] = Fusion(
            self._claim_for_all, self._release_all
        )
        self._fused_completions: Fusion[Completion, bool] = Fusion(self._complete_for_all)

    @cached_property
    def _claims(self) -> Claims:
        return Claims(self.plans, self._clock, self._lease_clock)

    @cached_property
    def _watchman(self) -> Watchman:
        return Watchman(self._db, self.plans, self._clock, self._lease_clock)

    @cached_property
    def _settlements(self) -> Settlements:
        return Settlements(self._db.dialect)

    def for_another_thread(self) -> tuple[DatabaseManager, Self]:
        """A queue over the same database that is not connected yet, for a thread with a loop of its own."""
        db = self._db.another()
        return db, type(self)(db, clock=self._clock)

    # Claiming.

    async def claim(
        self,
        n: int = 1,
        *,
        types: Iterable[str] | None = None,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        worker: str | None = None,
    ) -> builtins.list[Job]:
        """Claim up to n jobs that may be begun now, the most urgent first; nobody else gets them.

        Of two the one with the higher priority is more urgent, then the one whose time came first. Jobs whose worker
        did not come back before its lease ran out are among them.

        Args:
            n: At most so many.
            types: Only of these types; None is all.
            lease_seconds: How long they are the caller's, unless it prolongs the lease; at most a day.
            worker: Who claims; None is this manager's own name.

        Raises:
            ValidationError: A number is out of range.
        """
        request = self._request(n, types, lease_seconds, worker, least=1)
        if request.types == ():
            return []
        await self._lease_clock.set()
        if current_transaction(self._db) is not None:
            return (await self._claim_for_all([(request, n)]))[0]
        return await self._fused_claims.submit((request, n))

    def _request(
        self, n: int, types: Iterable[str] | None, lease_seconds: float, worker: str | None, *, least: int
    ) -> ClaimRequest:
        if not least <= n <= MOST_WANTED:
            message = f"queue.claim: n is from {least} to {MOST_WANTED:,}, not {n}"
            raise ValidationError(message, field="n", entity="queue")
        wanted_types = None if types is None else tuple(sorted(set(types)))
        return ClaimRequest(wanted_types, _lease(lease_seconds), worker or self.worker)

    async def _claim_for_all(self, asked: Sequence[tuple[ClaimRequest, int]]) -> builtins.list[builtins.list[Job]]:
        claims, together = self._claims, dict[ClaimRequest, int]()
        for request, wanted in asked:
            together[request] = together.get(request, 0) + wanted

        def work(executor: Executor) -> dict[ClaimRequest, builtins.list[Any]]:
            return {request: claims.claim(executor, request, wanted) for request, wanted in together.items()}

        found = await self._db.write(work)
        build = self.plans.hydrate.all
        left = {request: iter(rows) for request, rows in found.items()}
        return [build(islice(left[request], wanted)) for request, wanted in asked]

    async def _release_all(self, jobs: Sequence[Job]) -> None:
        """Give back what was claimed for somebody who is no longer there."""
        for job in jobs:
            await self._settle(job, self._waiting_again(job))

    async def look(self, types: Iterable[str] | None = None) -> Outlook:
        """Tell without writing whether a claim may find something now, and when it may the next time.

        Args:
            types: As for `claim`.
        """
        await self._lease_clock.set()
        return await self._watchman.look(None if types is None else tuple(sorted(set(types))))

    # Holding.

    async def heartbeat(self, job: Job, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> None:
        """Prolong the lease of a job.

        Args:
            lease_seconds: It ends so long from now.

        Raises:
            LeaseLostError: Another worker has it by now, it was cancelled, or it is over.
        """
        if job.id in await self.heartbeat_many([job], lease_seconds):
            raise await self._lost(job)

    async def heartbeat_many(
        self, jobs: Sequence[Job], lease_seconds: float = DEFAULT_LEASE_SECONDS
    ) -> dict[int, str | None]:
        """Prolong the leases of many jobs; returns those that are lost, with where they stand (None: gone).

        Args:
            lease_seconds: They end so long from now.
        """
        await self._lease_clock.set()
        seconds, settlements, clock = _lease(lease_seconds), self._settlements, self._lease_clock
        rows = [(job.id, job.lease_token) for job in jobs]

        def work(executor: Executor) -> dict[int, str | None]:
            kept = settlements.prolong(executor, rows, clock.now() + timedelta(seconds=seconds))
            lost = [id_ for id_, _ in rows if id_ not in kept]
            status = settlements.status(executor, lost) if lost else {}
            return {id_: status.get(id_) for id_ in lost}

        return await self._db.write(work) if rows else {}

    async def lost(self, jobs: Sequence[Job]) -> dict[int, str | None]:
        """Return those of the jobs that are no longer their holder's, with where they stand (None: gone)."""
        settlements = self._settlements
        if not jobs:
            return {}
        found = await self._db.read(lambda executor: settlements.held(executor, [job.id for job in jobs]))
        return {
            job.id: found.get(job.id, (None, 0))[0]
            for job in jobs
            if found.get(job.id) != (JobStatus.IN_PROGRESS.value, job.lease_token)
        }

    async def report_progress(self, job: Job, progress: float) -> None:
        """Write down how much of a job is done.

        Args:
            progress: 0 to 1.

        Raises:
            LeaseLostError: It is no longer the caller's.
            ValidationError: The number is out of range.
        """
        if not 0 <= progress <= 1:
            message = f"queue.progress is from 0 to 1, not {progress!r}"
            raise ValidationError(message, field="progress", entity="queue")
        if not await self._db.write(lambda executor: self._settlements.progress(executor, job, progress)):
            raise await self._lost(job)

    # What became of it.

    async def complete(self, job: Job, result: Any = None) -> None:
        """Say that a job is done.

        Args:
            result: What came out of it, any JSON.

        Raises:
            LeaseLostError: Another worker has it by now, it was cancelled, or it is over; nothing was changed.
            ValidationError: The result is not JSON.
        """
        row = self.completion(job, result)
        if current_transaction(self._db) is not None:
            (is_done,) = await self._complete_for_all([row])
        else:
            is_done = await self._fused_completions.submit(row)
        if not is_done:
            raise await self._lost(job)

    async def _complete_for_all(self, rows: Sequence[Completion]) -> builtins.list[bool]:
        settlements, clock = self._settlements, self._clock
        done = await self._db.write(lambda executor: complete_all(executor, settlements, rows, clock()))
        return [row.job_id in done for row in rows]

    def completion(self, job: Job, result: Any = None) -> Completion:
        """That a job is done, for `exchange`.

        Raises:
            ValidationError: The result is not JSON.
        """
        return self._settlements.completion(job, result)

    async def exchange(
        self,
        done: Sequence[Completion],
        n: int,
        *,
        types: Iterable[str] | None = None,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
    ) -> tuple[builtins.list[Job], builtins.list[Completion]]:
        """Say that many jobs are done and claim the next ones, all in one transaction; see `complete` and `claim`.

        Args:
            n: Claim at most so many; 0 claims none.
            types: Of these types, those of the jobs that are done among them; None is all.

        Returns:
            The jobs that were claimed, and what was done by somebody who had lost his lease, which changed nothing.

        Raises:
            ValidationError: A number is out of range.
        """
        request = self._request(n, types, lease_seconds, None, least=0)
        await self._lease_clock.set()
        settlements, claims, clock = self._settlements, self._claims, self._clock
        completed, found = await self._db.write(
            lambda executor: exchange_all(executor, settlements, claims, done, request, n, clock())
        )
        return self.plans.hydrate.all(found), [one for one in done if one.job_id not in completed]

    @asynccontextmanager
    async def completing(self, job: Job, result: Any = None) -> AsyncIterator[None]:
        """Make what the block writes and the completion of a job one transaction: both are written, or neither.

        On SQLite the block holds the one write lock: do slow work, such as calling a model, before it.

        Args:
            result: What came out of the job, any JSON.

        Raises:
            LeaseLostError: The job is no longer the caller's; nothing of the block was written.
        """
        async with self._db.transaction():
            yield
            await self.complete(job, result)

    async def fail(self, job: Job, error: str, *, retry: bool = True, delay_seconds: float | None = None) -> Job:
        """Say that an attempt at a job failed: it is tried again later, or ends when its retries are used up.

        Args:
            error: What went wrong.
            retry: Whether another attempt may help; without one it ends now.
            delay_seconds: How long to wait before it; None is as `retry_policy` says.

        Returns:
            The job as it is now.

        Raises:
            LeaseLostError: It is no longer the caller's; nothing was changed.
        """
        now = self._clock()
        if not retry or job.retries >= job.max_retries:
            return await self._settle(job, _ended(JobStatus.FAILED, now) | {"error_message": error})
        seconds = self.retry_policy.delay_seconds(job.retries) if delay_seconds is None else delay_seconds
        moment = now + timedelta(seconds=max(0.0, seconds))
        values = {"status": JobStatus.PENDING, "retries": job.retries + 1, "error_message": error}
        return await self._settle(job, values | {"scheduled_for": moment, "due_at": moment})

    async def release(self, job: Job) -> Job:
        """Give a job back that was not begun in earnest, for any worker to claim; it counts as no attempt.

        Raises:
            LeaseLostError: It is no longer the caller's; nothing was changed.
        """
        return await self._settle(job, self._waiting_again(job))

    def _waiting_again(self, job: Job) -> dict[str, Any]:
        return {"status": JobStatus.PENDING, "ready_at": job.scheduled_for or job.created_at}

    async def _settle(self, job: Job, values: dict[str, Any]) -> Job:
        kept = {name: getattr(job, name) for name in ("retries", "error_message", "scheduled_for")}
        values = {"due_at": None, "ready_at": None, "completed_at": None} | kept | values | {"now": self._clock()}
        given = {name if name == "now" else f"set_{name}": value for name, value in values.items()}
        settlements = self._settlements

        def work(executor: Executor) -> bool:
            is_held = settlements.settle(executor, job, given)
            # Others may begin it now, or another one with its key.
            executor.notify()
            return is_held

        if not await self._db.write(work):
            raise await self._lost(job)
        changes = values | {"updated_at": values["now"], "lease_expires_at": None}
        del changes["now"]
        return self.plans.hydrate.build({key: getattr(job, key) for key in self.plans.hydrate.keys} | changes)

    async def _lost(self, job: Job) -> Exception:
        status = await self._db.read(lambda executor: self._settlements.status(executor, [job.id]))
        return lease_lost(job.id, job.lease_token, status.get(job.id))


def _ended(status: JobStatus, now: datetime) -> dict[str, Any]:
    return {"status": status, "completed_at": now}


def _lease(seconds: float) -> float:
    if not 0 < seconds <= MOST_LEASE_SECONDS:
        message = f"queue.lease_seconds is above 0 and at most {MOST_LEASE_SECONDS:g}, not {seconds!r}"
        raise ValidationError(message, field="lease_seconds", entity="queue")
    return seconds
