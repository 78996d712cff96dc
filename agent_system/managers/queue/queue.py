"""The queue: work that waits for a worker, is being done by one, or is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from agent_system.managers.core.steps import in_steps
from agent_system.managers.queue import upkeep
from agent_system.managers.queue.intake import Intake
from agent_system.managers.queue.new_jobs import NewJob, write_jobs
from agent_system.managers.queue.payloads import PayloadModels
from agent_system.managers.queue.rules import RuleManager
from agent_system.managers.queue.schedules import ScheduleManager
from agent_system.managers.queue.statistics import QueueStatistics, count_jobs
from agent_system.managers.queue.work import QueueWork
from agent_system.types import JobStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import BaseModel

    from agent_system.database.executor import Executor
    from agent_system.managers.core.pagination import Page
    from agent_system.models import Job, JobSchedule, JobType

__all__ = ["QueueManager"]

BATCH = 1_000


class QueueManager(QueueWork):
    """The queue: work that waits for a worker, is being done by one, or is over.

    Example:
        >>> await em.queue.enqueue("summarise", {"conversation": str(conversation.id)}, priority=8)
        >>> for job in await em.queue.claim(10, types=["summarise"]):
        ...     async with em.queue.completing(job):
        ...         await em.messages.create({"role": "assistant", "content": "..."})
    """

    kept = frozenset({"due_at", "ready_at", "lease_token", "lease_expires_at"})
    fixed = frozenset({"status", "retries", "started_at", "completed_at", "assigned_to"})

    @cached_property
    def _payloads(self) -> PayloadModels:
        return PayloadModels()

    @cached_property
    def _rules(self) -> RuleManager:
        return RuleManager(self._db, clock=self._clock)

    @cached_property
    def _intake(self) -> Intake:
        return Intake(self.store, self._clock, self._payloads)

    # Putting work in.

    async def enqueue(
        self,
        task_type: str,
        payload: Any = None,
        *,
        delay: float | timedelta | None = None,
        expires_in: float | timedelta | None = None,
        **fields: Any,
    ) -> Job:
        """Put a job into the queue, and return it.

        With the `dedupe_key` of a job that is not over, that job is returned and nothing is written.

        Args:
            task_type: What kind of work it is.
            payload: What its handler needs to know: JSON of at most 1 MiB, or an instance of the type's model.
            delay: Not to be begun before so many seconds from now; instead of `scheduled_for`.
            expires_in: Not to be begun later than so many seconds from now; instead of `expires_at`.
            fields: Other columns of `Job`: priority (1 to 10, higher first), scheduled_for, expires_at, max_retries,
                dedupe_key, concurrency_key, timeout_seconds, respond_to, created_by, user_id, chat_id, metadata.

        Raises:
            ValidationError: The data were refused; the error names the field.
        """
        data = {"task_type": task_type, "payload": payload, **fields}
        if delay is not None or expires_in is not None:
            data |= {"delay": delay, "expires_in": expires_in}
        work = self.enqueueing(data)
        if isinstance(work, NewJob):
            await self.run(work)
            # One that was written together with others returns nothing.
            return self.plans.hydrate.adopt(work.values)
        return self.plans.hydrate.adopt(await self.run_racing(work))

    def enqueueing(self, data: Mapping[str, Any]) -> Callable[[Executor], dict[str, Any]]:
        """What puts a job into the queue, for units of work that do more than that; returns its columns.

        Args:
            data: The arguments of `enqueue` by name.

        Raises:
            ValidationError: They were refused; the error names the field.
        """
        # A scope has its say about every column.
        plain = None if self._db.is_scoped else self._intake.plain.prepare(data)
        if plain is not None:
            return plain
        values = self.new_values(self._intake.row(data))
        return self._intake.once(values, self.insertion(values))

    async def enqueue_many(self, jobs: Iterable[Mapping[str, Any]]) -> builtins.list[Job]:
        """Put many jobs into the queue, all or none, and return them in order; see `enqueue`.

        Args:
            jobs: For each job the arguments of `enqueue` by name.

        Raises:
            ValidationError: One was refused; nothing was written.
        """
        writes = await in_steps(self.enqueueing, jobs)

        stored = await self.run_racing(lambda executor: write_jobs(executor, writes)) if writes else []
        return await in_steps(self.plans.hydrate.build, stored)

    def register_payload(self, task_type: str, model: type[BaseModel]) -> None:
        """Check the payloads of a type by a pydantic model, when they are enqueued and when `payload_of` reads them."""
        self._payloads.register(task_type, model)

    def payload_of(self, job: Job) -> Any:
        """The payload of a job as an instance of its type's model; as JSON where none was registered.

        Raises:
            ValidationError: The model refuses it.
        """
        return self._payloads.load(job)

    def normalise(self, values: dict[str, Any]) -> None:
        """Refuse what is no payload, and let the next claim look at a schedule that is changed."""
        if "payload" in values:
            if "created_at" not in values:
                # That of a new job is looked at when it has been encoded.
                self._payloads.check_size(values["payload"])
            values["payload"] = {} if values["payload"] is None else values["payload"]
        if "scheduled_for" in values and "status" not in values:
            values |= {"ready_at": None, "due_at": self._clock()}

    def fill_in(self, values: dict[str, Any]) -> None:
        """Fill in what follows from the status of a new job."""
        self._intake.complete(values)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """What writes a new job, and the identity of its user unless it is there."""
        return self._intake.insertion(values, partial(super().insertion, values, audit=audit))

    # Taking work out, and putting it back.

    async def cancel(self, job_id: Any, reason: str | None = None) -> Job:
        """End a job that waits or is being done; who is doing it is told, and what it says from now on is refused.

        Raises:
            NotFoundError: There is no such job.
            TransitionError: It is over already, and was not cancelled.
        """
        return await self._move(
            job_id, JobStatus.CANCELLED, lambda condition, now: upkeep.cancelling(condition, reason, now)
        )

    async def retry(self, job_id: Any) -> Job:
        """Let a job that failed or was cancelled begin anew, with all its retries.

        Raises:
            NotFoundError: There is no such job.
            TransitionError: It has neither failed nor was it cancelled.
            DuplicateKeyError: Another job with its dedupe_key is not over.
        """
        return await self._move(job_id, JobStatus.PENDING, upkeep.retrying)

    async def _move(self, job_id: Any, wanted: JobStatus, statement: Callable[[Any, datetime], Any]) -> Job:
        key = self.store.keys.existing(job_id)
        change = statement(self.plans.columns["id"] == key["id"], self._clock())
        work = partial(upkeep.move, self.store, key, change, wanted)
        return self.plans.hydrate.build(await self.run(work))

    async def dead_letters(
        self, *, task_type: str | None = None, limit: int = 100, after: str | None = None
    ) -> Page[Job]:
        """Return one page of the jobs whose retries are used up, the newest first."""
        where: dict[str, Any] = {"status": JobStatus.FAILED}
        if task_type is not None:
            where["task_type"] = task_type
        return await self.list(where, "-id", limit, after)

    async def redrive(self, *, task_type: str | None = None, limit: int = BATCH) -> int:
        """Let dead letters begin anew, the oldest first; returns how many.

        Left are those with the dedupe_key of a job that is not over, or of an older dead letter.
        """
        condition = True if task_type is None else self.plans.columns["task_type"] == task_type
        statement = upkeep.redriving(condition, limit, self._clock())

        def work(executor: Executor) -> int:
            executor.notify()
            return len(executor.execute(statement).all())

        return await self._db.write(work)

    async def stalled(self) -> builtins.list[Job]:
        """Return the jobs whose worker did not come back before its lease ran out; the next claim takes them over."""
        await self._lease_clock.set()
        lease = self.plans.columns["lease_expires_at"]
        return await self.select(self.query().where(lease <= self._lease_clock.now()).order_by(lease))

    async def release_stalled(self) -> builtins.list[Job]:
        """Let stalled jobs wait again, and end those that are spent or too late; returns what was stalled as it is now.

        Workers need no help; it also mends what somebody has changed by plain SQL, see `mend`.
        """
        await self.mend()
        return await self.release_lost()

    async def mend(self) -> int:
        """Let jobs be found whose status somebody has changed by plain SQL; returns how many.

        It looks at all that waits and all that is over, so no worker does it by itself.
        """
        return await upkeep.mend(self._db, self._clock())

    async def release_lost(self) -> builtins.list[Job]:
        """Let jobs wait again whose lease has run out, and end those that are spent or too late; see `stalled`."""
        await self._lease_clock.set()
        now, steady, keys = self._clock(), self._lease_clock.now(), self.plans.hydrate.keys
        rows = await self._db.write(lambda executor: upkeep.release_lost(executor, now, steady))
        return [self.plans.hydrate.build(dict(zip(keys, row, strict=True))) for row in rows]

    async def purge(
        self,
        older_than: timedelta | datetime,
        *,
        statuses: Iterable[JobStatus | str] = upkeep.OVER,
        limit: int | None = None,
        batch: int = BATCH,
    ) -> int:
        """Delete jobs that ended before a moment, the oldest first, a batch at a time; returns how many.

        Jobs with an effect of which nobody knows whether it was made are kept.

        Args:
            older_than: The moment, or how long ago it is.
            statuses: Of those that are completed, failed or cancelled.
            limit: At most so many; None is all.
            batch: So many in one transaction, so that others get their turn in between.

        Raises:
            ValidationError: A status is none of an end.
        """
        before = self._clock() - older_than if isinstance(older_than, timedelta) else older_than
        return await upkeep.purge(self._db, before, statuses, limit=limit, batch=batch)

    # Rules.

    async def pause(self, task_type: str, *, by: str | None = None) -> None:
        """Begin no job of a type until it is resumed; those that run go on."""
        await self._rules.set(task_type, {"is_paused": True, "paused_by": by, "paused_at": self._clock()})

    async def resume(self, task_type: str) -> None:
        """Let jobs of a type begin again."""
        await self._rules.set(task_type, {"is_paused": False, "paused_by": None, "paused_at": None})

    async def limit(self, task_type: str, **rules: Any) -> None:
        """Set the rules of a type; those that are not named stay as they are.

        Args:
            rules: `max_running` (jobs at once; None: any number), `max_running_per_key` (jobs with one concurrency_key
                at once, 1 unless it is set), `rate_limit` with `rate_seconds` (so many jobs begin in so many seconds;
                None: any number).

        Raises:
            ValidationError: A rule is unknown or out of range.
        """
        await self._rules.set(task_type, rules)

    async def rules(self) -> builtins.list[JobType]:
        """Return the types that have rules, by name."""
        return await self._rules.find()

    # Periodic jobs.

    @cached_property
    def schedules(self) -> ScheduleManager:
        """The schedules, with all verbs of a manager."""
        return ScheduleManager(self._db, clock=self._clock)

    async def schedule(self, name: str, cron: str, task_type: str, payload: Any = None, **fields: Any) -> JobSchedule:
        """Put a job into the queue at all times of a cron expression; a worker that runs looks for them.

        Args:
            name: Name of the schedule; one that is there is changed.
            cron: Five fields: minute, hour, day of the month, month, day of the week.
            task_type: The type of its jobs.
            payload: Their payload.
            fields: `timezone` in which the expression is read (UTC), `priority`, `is_active`.

        Raises:
            ValidationError: The expression, the zone or another field is refused.
            MissingExtraError: The package that reads cron expressions is not installed.
        """
        payload = self._payloads.dump(task_type, payload)
        self._payloads.check_size(payload)
        return await self.schedules.set(name, cron, task_type, payload=payload, **fields)

    async def run_schedules(self) -> builtins.list[Job]:
        """Put a job into the queue for each schedule whose time has come; returns those that this call has made."""
        return await self.schedules.run_due(self)

    # Marks and figures.

    async def mark_responded(self, job_id: Any, response_id: int | None = None) -> Job:
        """Say that the answer of a job was sent.

        Args:
            response_id: The message that it was; None leaves what is there.

        Raises:
            NotFoundError: There is no such job.
            DuplicateKeyError: The message answers another job.
            ForeignKeyError: There is no such message.
        """
        message = {} if response_id is None else {"response_id": response_id}
        return await self.update(job_id, {"responded": True, **message})

    async def mark_memorized(self, job_id: Any) -> Job:
        """Say that what came out of a job was remembered.

        Raises:
            NotFoundError: There is no such job.
        """
        return await self.update(job_id, {"memorized": True})

    async def stats(self) -> QueueStatistics:
        """Count what waits, what runs and what is dead."""
        await self._lease_clock.set()
        steady = self._lease_clock.now()
        return await self._db.read(lambda executor: count_jobs(executor, steady))
