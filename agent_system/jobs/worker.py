"""The worker: claims jobs, runs their handlers side by side, and loses none of them whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from agent_system.jobs.attempt import Attempt
from agent_system.jobs.clockwork import run_schedules
from agent_system.jobs.handlers import Handler, Handlers, Periodic
from agent_system.jobs.heart import Heart
from agent_system.jobs.reporter import Patience, Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from agent_system.database.dialects.base import Changes, Mark
    from agent_system.entity_manager import EntityManager
    from agent_system.jobs.handlers import HandlerFunction
    from agent_system.models import Job

__all__ = ["Worker"]

logger = logging.getLogger("agent_system.jobs")

Function = TypeVar("Function", bound="HandlerFunction")

# How often somebody who has nothing to do, or everything, looks whether a running job was cancelled.
LOOK_SECONDS = 0.05
# So many times as many jobs as handlers may be over and not reported, while the database does not answer.
MOST_UNREPORTED = 4
# How long a handler may take to end when it is cancelled.
HAND_BACK_SECONDS = 5.0


class Worker:
    """Does the jobs of the types that it has handlers for.

    Args:
        concurrency: So many handlers run side by side.
        lease_seconds: For how long a job is this worker's, which prolongs it while the handler runs.
        timeout_seconds: Longest run of an attempt, unless the handler or the job says; None: no limit.
        drain_seconds: So long handlers may go on after a stop, before their jobs are handed back.
        poll_seconds: So often an idle worker looks for jobs of which nobody has told it.
        patience_seconds: So long a handler may keep the event loop busy before its jobs are given up.

    Example:
        >>> worker = Worker(concurrency=8)
        >>> @worker.handler("summarise", timeout_seconds=60)
        ... async def summarise(context: JobContext) -> str:
        ...     return context.payload["text"][:100]
        >>> await worker.run(em)
    """

    def __init__(
        self,
        *,
        concurrency: int = 10,
        lease_seconds: float = 60.0,
        timeout_seconds: float | None = None,
        drain_seconds: float = 30.0,
        poll_seconds: float = 1.0,
        patience_seconds: float = 300.0,
    ) -> None:
        self.concurrency = concurrency
        self.lease_seconds = lease_seconds
        self.timeout_seconds = timeout_seconds
        self.drain_seconds = drain_seconds
        self.poll_seconds = poll_seconds
        self.patience_seconds = patience_seconds
        self._handlers = Handlers()
        self._periodic: list[Periodic] = []
        self._attempts: dict[int, Attempt] = {}
        self._handling = 0
        self._wake = asyncio.Event()
        self._is_stopping = False

    # What it does.

    def handler(self, task_type: str, *, timeout_seconds: float | None = None) -> Callable[[Function], Function]:
        """Let a function do the jobs of a type: it gets a `JobContext`, and what it returns is the job's result.

        Args:
            timeout_seconds: Longest run of one attempt, unless the job says; None is as the worker says.

        Raises:
            ConfigurationError: There is a handler for the type already.
        """

        def register(function: Function) -> Function:
            self._handlers.add(task_type, Handler(function=function, timeout_seconds=timeout_seconds))
            return function

        return register

    def periodic(
        self, cron: str, task_type: str, payload: object = None, *, name: str | None = None, **fields: object
    ) -> None:
        """Put a job into the queue at all times of a cron expression, once however many workers ask for it.

        Args:
            name: Name of the schedule; None is the type. See `em.queue.schedule` for the other fields.
        """
        self._periodic.append(
            Periodic(name=name or task_type, cron=cron, task_type=task_type, payload=payload, fields=fields)
        )

    @property
    def types(self) -> tuple[str, ...]:
        """The types that it has handlers for."""
        return self._handlers.types

    @property
    def running(self) -> list[Job]:
        """The jobs that it does now."""
        return [attempt.job for attempt in self._attempts.values()]

    # Running.

    async def run(self, em: EntityManager, *, until_idle: bool = False) -> None:
        """Do jobs until `stop` or, on the main thread, SIGTERM or SIGINT; then finish what runs, or hand it back.

        Args:
            em: The facade over the database of the queue.
            until_idle: Stop when there is nothing to do any more.
        """
        self._is_stopping = False
        self._wake = asyncio.Event()
        patience = Patience()
        reporter = Reporter(em.queue, patience)
        await patience.until_done(em.queue.release_stalled)
        for one in self._periodic:
            await patience.until_done(
                partial(em.queue.schedule, one.name, one.cron, one.task_type, one.payload, **one.fields)
            )
        clockwork = asyncio.create_task(run_schedules(em.queue, patience, self.poll_seconds))
        heart = Heart(
            em.queue,
            lambda: [(attempt.begun, attempt.job) for attempt in list(self._attempts.values())],
            self._lose,
            lease_seconds=self.lease_seconds,
            patience_seconds=self.patience_seconds,
        )
        heart.start()
        try:
            with self._signals():
                async with em.db.changes() as changes:
                    await self._work(em, changes, reporter, patience, until_idle=until_idle)
                    await self._drain()
        finally:
            clockwork.cancel()
            await asyncio.gather(clockwork, return_exceptions=True)
            await heart.stop()

    def stop(self) -> None:
        """Begin no more jobs, finish those that run within `drain_seconds`, hand back the others, and end `run`."""
        if self._is_stopping:
            # Asked twice: nobody wants to wait.
            for attempt in self._attempts.values():
                attempt.hand_back()
        self._is_stopping = True
        self._wake.set()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def _work(
        self, em: EntityManager, changes: Changes, reporter: Reporter, patience: Patience, *, until_idle: bool
    ) -> None:
        while not self._is_stopping:
            free = self._free()
            if free <= 0:
                await self._wait_for_slot(em)
                continue
            mark, was_busy = changes.mark(), bool(self._attempts)
            jobs = await patience.until_done(partial(self._claim, em, free))
            await self._begin_all(em, jobs, reporter)
            if jobs:
                # Those that have just ended have their turn, and free more than one slot at once.
                await asyncio.sleep(0)
                continue
            if until_idle and not was_busy:
                return
            if was_busy and not self._attempts:
                # What has ended meanwhile may have to be done again, or something that waited for it.
                continue
            await patience.until_done(partial(self._wait_for_work, em, changes, mark))

    def _free(self) -> int:
        """How many handlers may begin; while they run, the jobs of those before are being completed."""
        if len(self._attempts) >= self.concurrency * MOST_UNREPORTED:
            return 0
        return self.concurrency - self._handling

    async def _claim(self, em: EntityManager, most: int) -> list[Job]:
        return await em.queue.claim(most, types=self.types, lease_seconds=self.lease_seconds)

    async def _begin_all(self, em: EntityManager, jobs: Sequence[Job], reporter: Reporter) -> None:
        for job in jobs:
            if self._is_stopping:
                await reporter.release(job)
            else:
                self._begin(em, job, reporter)

    def _begin(self, em: EntityManager, job: Job, reporter: Reporter) -> None:
        handler = self._handlers[job.task_type]
        limits = (job.timeout_seconds, handler.timeout_seconds, self.timeout_seconds)
        timeout = next((limit for limit in limits if limit is not None), None)
        self._handling += 1
        attempt = Attempt(em, job, handler, reporter, timeout, self._handled)
        self._attempts[job.id] = attempt
        attempt.task.add_done_callback(lambda _task: self._ended(attempt))

    def _handled(self) -> None:
        self._handling -= 1
        self._wake.set()

    def _ended(self, attempt: Attempt) -> None:
        if self._attempts.get(attempt.job.id) is attempt:
            del self._attempts[attempt.job.id]
        self._wake.set()
        if not attempt.task.cancelled() and attempt.task.exception() is not None:
            logger.error("job %d could not be reported", attempt.job.id, exc_info=attempt.task.exception())

    # Waiting.

    async def _wait_for_slot(self, em: EntityManager) -> None:
        """Wait until a handler ends; meanwhile jobs may be cancelled."""
        self._wake.clear()
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            await self._look_for_cancelled(em)

    async def _wait_for_work(self, em: EntityManager, changes: Changes, since: Mark) -> None:
        """Wait until a claim may find something, or a handler ends."""
        self._wake.clear()
        while not self._is_stopping:
            outlook = await em.queue.look(self.types)
            wait = self.poll_seconds
            if outlook.seconds_to_next is not None and not outlook.is_promising:
                # What is promising was not claimed just now: a rule forbids it, and only a change or time can help.
                wait = min(wait, outlook.seconds_to_next)
            if await self._woken(changes, since, wait):
                return
            since = changes.mark()
            if self._attempts:
                await self._look_for_cancelled(em)
            if (await em.queue.look(self.types)).is_promising:
                return

    async def _woken(self, changes: Changes, since: Mark, seconds: float) -> bool:
        """Wait for a change or until the time is over; whether a handler ended, or `stop` was called, meanwhile."""
        changed = asyncio.ensure_future(changes.changed(since, seconds))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({changed, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            woken.cancel()
            await asyncio.gather(changed, woken, return_exceptions=True)
        return self._wake.is_set()

    async def _look_for_cancelled(self, em: EntityManager) -> None:
        lost = await em.queue.lost(self.running)
        if lost:
            self._lose(lost)

    def _lose(self, lost: Mapping[int, str | None]) -> None:
        for job_id, status in lost.items():
            attempt = self._attempts.get(job_id)
            if attempt is not None:
                attempt.lose(status)

    async def _drain(self) -> None:
        """Let handlers end, and hand back the jobs of those that do not."""
        tasks = {attempt.task for attempt in self._attempts.values()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self.drain_seconds)
            for attempt in list(self._attempts.values()):
                if attempt.task in late:
                    attempt.hand_back()
            if late:
                _, stuck = await asyncio.wait(late, timeout=HAND_BACK_SECONDS)
                for task in stuck:
                    logger.error(
                        "%s does not stop; another worker takes it over when its lease runs out", task.get_name()
                    )
