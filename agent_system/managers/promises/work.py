"""Keeping promises: begin, say how far it is, end; and find what was left lying after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, literal, or_, select, update

from agent_system.errors import NotFoundError, TransitionError
from agent_system.managers.core.base import Manager
from agent_system.managers.promises.dependents import UNSUCCESSFUL, Dependents, is_undecided
from agent_system.managers.promises.promise_jobs import PromiseJobs, has_live_job
from agent_system.managers.queue.lease_clock import LeaseClock
from agent_system.managers.queue.queue import QueueManager
from agent_system.managers.queue.settlements import lease_lost
from agent_system.models import Promise, metadata
from agent_system.types import JobStatus, PromiseStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Job

__all__ = ["PromiseWork"]

BATCH = 500

_promises = metadata.tables["promises"]
_jobs = metadata.tables["queue"]
_columns = _promises.c
_OPEN = (PromiseStatus.PENDING, PromiseStatus.WAITING, PromiseStatus.IN_PROGRESS)


class PromiseWork(Manager[Promise]):
    """What a worker does with promises. Each change of status is one conditional update: of many callers one wins."""

    entity = Promise
    fixed = frozenset({"status", "started_at", "completed_at", "job_id"})

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime]) -> None:
        super().__init__(db, clock=clock)
        self._queue = QueueManager(db, clock=clock)
        self._lease_clock = LeaseClock(db, clock)
        self._jobs = PromiseJobs(self._queue, clock)
        self._dependents = Dependents(self._jobs, clock)

    # Doing it.

    async def start(self, promise_id: Any, *, job: Job | None = None) -> Promise:
        """Begin to keep a promise; of many who try, one does.

        Args:
            job: The promise's job, by whoever has claimed it: then it may also be begun again, which a retry does.

        Raises:
            NotFoundError: There is no such promise.
            LeaseLostError: The job is no longer the caller's, or not that of the promise.
            TransitionError: It is not pending.
        """
        now = self._clock()
        values = {
            "status": PromiseStatus.IN_PROGRESS,
            "started_at": func.coalesce(_columns.started_at, literal(now, _columns.started_at.type)),
        }
        allowed = [PromiseStatus.PENDING]
        if job is not None:
            allowed.append(PromiseStatus.IN_PROGRESS)

        def work(executor: Executor) -> dict[str, Any]:
            if job is not None:
                _check_held(executor, promise_id, job)
            return self._move(executor, promise_id, PromiseStatus.IN_PROGRESS, allowed, values)

        return self.plans.hydrate.build(await self.run(work))

    async def progress(self, promise_id: Any, progress: float) -> Promise:
        """Say how much of a promise is kept.

        Args:
            progress: 0 to 1.

        Raises:
            NotFoundError: There is no such promise.
            TransitionError: Nobody is working on it.
            ValidationError: The number is out of range.
        """
        values = self.store.validator.change_values({"progress": progress})
        allowed = (PromiseStatus.IN_PROGRESS,)
        return self.plans.hydrate.build(
            await self.run(
                lambda executor: self._move(executor, promise_id, PromiseStatus.IN_PROGRESS, allowed, values)
            )
        )

    async def complete(self, promise_id: Any, result: str | None = None, *, job: Job | None = None) -> Promise:
        """Say that a promise was kept; what waited for nothing else begins, and its job is enqueued with this.

        Args:
            result: What came out of it, for people; None leaves what is there.
            job: The job that kept it: it is completed in the same transaction.

        Raises:
            NotFoundError: There is no such promise.
            TransitionError: Nobody is working on it; nothing was changed.
            LeaseLostError: The job is no longer the caller's; nothing was changed.
        """
        if job is None:
            return await self._complete(promise_id, result)
        async with self._queue.completing(job, {"promise_id": promise_id}):
            return await self._complete(promise_id, result)

    async def _complete(self, promise_id: Any, result: str | None) -> Promise:
        values: dict[str, Any] = {"progress": 1.0}
        if result is not None:
            values |= self.store.validator.change_values({"result_summary": result})
        return await self._end(
            promise_id, PromiseStatus.COMPLETED, (PromiseStatus.IN_PROGRESS,), values, "kept by hand"
        )

    async def fail(
        self, promise_id: Any, error: str, *, job: Job | None = None, retry: bool = True, result: str | None = None
    ) -> Promise:
        """Say that a promise was not kept; what waits for it fails with it, unless the dependency says otherwise.

        Args:
            error: What went wrong.
            job: The job that tried, which fails in the same transaction; while it is to be tried again, the promise
                stays in progress with the error beside it.
            retry: Whether another attempt of the job may help.
            result: What came out of it all the same; None leaves what is there.

        Raises:
            NotFoundError: There is no such promise.
            TransitionError: It is over; nothing was changed.
            LeaseLostError: The job is no longer the caller's; nothing was changed.
        """
        given = {"error_message": error} | ({} if result is None else {"result_summary": result})
        values = self.store.validator.change_values(given)
        if job is None:
            return await self._end(promise_id, PromiseStatus.FAILED, _OPEN, values, error)
        async with self._db.transaction():
            after = await self._queue.fail(job, error, retry=retry)
            if after.status is JobStatus.FAILED:
                return await self._end(promise_id, PromiseStatus.FAILED, _OPEN, values, error)
            allowed = (PromiseStatus.IN_PROGRESS,)
            return self.plans.hydrate.build(
                await self.run(lambda executor: self._move(executor, promise_id, allowed[0], allowed, values))
            )

    async def cancel(self, promise_id: Any, reason: str | None = None) -> Promise:
        """Take a promise back; whoever is working on it is told, and what they say of its job from now on is refused.

        Raises:
            NotFoundError: There is no such promise.
            TransitionError: It is over.
        """
        values = {} if reason is None else self.store.validator.change_values({"error_message": reason})
        why = reason or "the promise was cancelled"
        return await self._end(promise_id, PromiseStatus.CANCELLED, _OPEN, values, why, running=True)

    async def retry(self, promise_id: Any) -> Promise:
        """Let a promise be kept after all that failed or was cancelled: pending with a new job, or waiting again.

        What failed with it stays so, and can be tried again after it. Result and error stay until there are new ones.

        Raises:
            NotFoundError: There is no such promise.
            TransitionError: It neither failed nor was it cancelled, or what it depends on has failed.
        """
        values = {"status": PromiseStatus.WAITING, "started_at": None, "completed_at": None, "progress": None}

        def work(executor: Executor) -> dict[str, Any]:
            row = self._move(executor, promise_id, PromiseStatus.PENDING, UNSUCCESSFUL, values)
            self._dependents.settle(executor, [row])
            stored = self.store.get(executor, {"id": row["id"]})
            if stored is None or stored["status"] is PromiseStatus.FAILED:
                message = f"promise {promise_id} depends on one that was not kept: try that one again first"
                raise TransitionError(
                    message,
                    entity="Promise",
                    entity_id=promise_id,
                    current=PromiseStatus.FAILED,
                    wanted=PromiseStatus.PENDING,
                )
            return stored

        return self.plans.hydrate.build(await self.run_racing(work))

    async def _end(
        self,
        promise_id: Any,
        status: PromiseStatus,
        allowed: Sequence[PromiseStatus],
        values: dict[str, Any],
        reason: str,
        *,
        running: bool = False,
    ) -> Promise:
        changes = values | {"status": status, "completed_at": self._clock()}

        def work(executor: Executor) -> dict[str, Any]:
            row = self._move(executor, promise_id, status, allowed, changes)
            self._jobs.cancel(executor, row, reason, running=running)
            self._dependents.settle_after(executor, row["id"], status)
            return row

        return self.plans.hydrate.build(await self.run_racing(work))

    def _move(
        self,
        executor: Executor,
        promise_id: Any,
        wanted: PromiseStatus,
        allowed: Sequence[PromiseStatus],
        values: dict[str, Any],
    ) -> dict[str, Any]:
        key = self.store.keys.existing(promise_id)
        change = update(_promises).where(_columns.id == key["id"], _columns.status.in_(allowed))
        row = executor.execute(change.values(**values, updated_at=self._clock()).returning(*_columns)).first()
        if row is not None:
            return dict(zip(self.plans.hydrate.keys, row, strict=True))
        found = self.store.get(executor, key)
        if found is None:
            raise NotFoundError(self.store.name, promise_id)
        names = tuple(str(one) for one in allowed)
        message = f"promise {promise_id} is {found['status']}, and only what is {' or '.join(names)} can be {wanted}"
        current = found["status"]
        raise TransitionError(
            message, entity="Promise", entity_id=promise_id, current=current, wanted=wanted, allowed=names
        )

    # After a restart.

    async def stalled(self) -> builtins.list[Promise]:
        """Return the promises in progress that nobody works on: the lease of their job ran out, or it is over or gone.

        How old they are does not matter: work that takes a day and prolongs its lease is not stalled.
        """
        await self._lease_clock.set()
        lost = and_(_jobs.c.id == _columns.job_id, _jobs.c.lease_expires_at <= self._lease_clock.now())
        is_lost = or_(~has_live_job(), select(_jobs.c.id).where(lost).exists())
        in_progress = _columns.status == PromiseStatus.IN_PROGRESS
        return await self.select(self.query().where(in_progress, is_lost).order_by(_columns.id))

    async def resume_pending(self) -> builtins.list[Promise]:
        """Give each pending promise a job that has none, and let begin what waits for nothing any more; returns both.

        For the start of a system. Called again, or by many at one time, it finds nothing more to do. Jobs whose worker
        is gone need no help: the next claim takes them over.
        """
        pending = and_(_columns.status == PromiseStatus.PENDING, ~has_live_job())
        settled = await self._in_batches(is_undecided(), self._dependents.settle)
        resumed = await self._in_batches(pending, self._enqueue_all)
        return [*(await self.get_many(sorted({*settled, *resumed}))).values()]

    async def resume_stalled(self, *, only_with_job: bool = False) -> builtins.list[Promise]:
        """Go on with promises in progress whose job is over or gone; returns them as they are now.

        With a job that is a dead letter the promise has failed; otherwise it is pending again, with a new job.

        Args:
            only_with_job: Leave those alone that have no job, which somebody may be keeping by hand.
        """
        left = and_(_columns.status == PromiseStatus.IN_PROGRESS, ~has_live_job())
        if only_with_job:
            left = and_(left, _columns.job_id.is_not(None))
        ids = await self._in_batches(left, self._take_up_all)
        return [*(await self.get_many(sorted(set(ids)))).values()]

    async def _in_batches(
        self, condition: Any, work: Callable[[Executor, Sequence[Any]], builtins.list[int]]
    ) -> builtins.list[int]:
        """Do something with all promises of a condition, locked, a batch in one transaction."""
        found: builtins.list[int] = []
        batch = select(*_columns).where(condition, _columns.id > bindparam("after", type_=_columns.id.type))
        batch = batch.order_by(_columns.id).limit(BATCH).with_for_update(of=_promises)
        after = -(2**63)
        while True:

            def step(executor: Executor, after: int = after) -> tuple[builtins.list[int], int | None]:
                rows: Sequence[Any] = executor.execute(batch, {"after": after}).mappings().all()
                return work(executor, rows), rows[-1]["id"] if rows else None

            done, last = await self.run_racing(step)
            found += done
            if last is None:
                return found
            after = last

    def _enqueue_all(self, executor: Executor, rows: Sequence[Any]) -> builtins.list[int]:
        for row in rows:
            self._jobs.enqueue(executor, row)
        return [row["id"] for row in rows]

    def _take_up_all(self, executor: Executor, rows: Sequence[Any]) -> builtins.list[int]:
        for row in rows:
            job: Any = executor.execute(
                select(_jobs.c.status, _jobs.c.error_message).where(_jobs.c.id == row["job_id"])
            ).first()
            allowed = (PromiseStatus.IN_PROGRESS,)
            if job is not None and job[0] is JobStatus.FAILED:
                values = {"status": PromiseStatus.FAILED, "completed_at": self._clock(), "error_message": job[1]}
                self._move(executor, row["id"], PromiseStatus.FAILED, allowed, values)
                self._dependents.settle_after(executor, row["id"], PromiseStatus.FAILED)
            else:
                pending = {"status": PromiseStatus.PENDING}
                self._move(executor, row["id"], PromiseStatus.PENDING, allowed, pending)
                self._jobs.enqueue(executor, row)
        return [row["id"] for row in rows]


def _check_held(executor: Executor, promise_id: Any, job: Job) -> None:
    columns = (_jobs.c.status, _jobs.c.lease_token)
    held: Any = executor.execute(
        select(*columns)
        .join(_promises, _promises.c.job_id == _jobs.c.id)
        .where(_jobs.c.id == job.id, _columns.id == promise_id)
        .with_for_update(of=_jobs)
    ).first()
    if held is None or held[0] is not JobStatus.IN_PROGRESS or held[1] != job.lease_token:
        raise lease_lost(job.id, job.lease_token, None if held is None else held[0])
