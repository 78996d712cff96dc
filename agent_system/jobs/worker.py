"""The worker: claims jobs, runs their handlers side by side, and loses none of them whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from agent_system.jobs.clockwork import do_chores, repeat_chores, run_schedules
from agent_system.jobs.handlers import Handler, Handlers, Periodic
from agent_system.jobs.heart import Heart
from agent_system.jobs.reporter import Patience, Reporter
from agent_system.jobs.shift import Shift

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_system.database.dialects.base import Changes, Mark
    from agent_system.entity_manager import EntityManager
    from agent_system.jobs.clockwork import Chore
    from agent_system.jobs.handlers import HandlerFunction
    from agent_system.managers.queue.queue import QueueManager
    from agent_system.models import Job

__all__ = ["Worker"]

logger = logging.getLogger("agent_system.jobs")

Function = TypeVar("Function", bound="HandlerFunction")

# How often somebody who has nothing to do, or everything, looks whether a running job was cancelled.
LOOK_SECONDS = 0.05


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
        self._chores: dict[Chore, float] = {}
        self._shift: Shift | None = None
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

    def upkeep(self, chore: Chore, *, every_seconds: float) -> None:
        """Let a function keep things in order: at the start of the worker, and then every so many seconds.

        Unlike a periodic job it is done by each worker that runs, so it has to be harmless to do twice.

        Args:
            chore: Gets the facade; given twice it is one chore.

        Example:
            >>> async def purge(em: EntityManager) -> None:
            ...     await em.queue.purge(timedelta(days=30))
            >>> worker.upkeep(purge, every_seconds=3_600)
        """
        self._chores[chore] = every_seconds

    @property
    def types(self) -> tuple[str, ...]:
        """The types that it has handlers for."""
        return self._handlers.types

    @property
    def running(self) -> list[Job]:
        """The jobs that are its own now."""
        return [] if self._shift is None else [job for _, job in self._shift.held()]

    # Running.

    async def run(self, em: EntityManager, *, until_idle: bool = False) -> None:
        """Do jobs until `stop` or, on the main thread, SIGTERM or SIGINT; then finish what runs, or hand it back.

        Args:
            em: The facade over the database of the queue.
            until_idle: Stop when there is nothing to do any more.
        """
        self._is_stopping = False
        patience = Patience()
        reporter = Reporter(em.queue, patience)
        self._shift = shift = Shift(
            em, self._handlers, reporter, concurrency=self.concurrency, timeout_seconds=self.timeout_seconds
        )
        await patience.until_done(em.queue.release_lost)
        for one in self._periodic:
            await patience.until_done(
                partial(em.queue.schedule, one.name, one.cron, one.task_type, one.payload, **one.fields)
            )
        await do_chores(em, self._chores, patience)
        clockwork = [
            asyncio.create_task(run_schedules(em.queue, patience, self.poll_seconds)),
            asyncio.create_task(repeat_chores(em, self._chores, patience)),
        ]
        heart = Heart(
            em.queue,
            shift.held,
            shift.lose,
            lease_seconds=self.lease_seconds,
            patience_seconds=self.patience_seconds,
        )
        heart.start()
        try:
            with self._signals():
                async with em.db.changes() as changes:
                    try:
                        await self._work(em.queue, changes, shift, patience, until_idle=until_idle)
                    finally:
                        await shift.drain(self.drain_seconds)
        finally:
            for task in clockwork:
                task.cancel()
            await asyncio.gather(*clockwork, return_exceptions=True)
            await heart.stop()

    def stop(self) -> None:
        """Begin no more jobs, finish those that run within `drain_seconds`, hand back the others, and end `run`.

        Called twice it waits for no handler.
        """
        self._is_stopping = True
        if self._shift is not None:
            self._shift.end()

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
        self, queue: QueueManager, changes: Changes, shift: Shift, patience: Patience, *, until_idle: bool
    ) -> None:
        while not self._is_stopping:
            wanted = shift.wanted()
            if not wanted and not shift.has_reports:
                await patience.until_done(partial(self._wait_for_slot, queue, shift))
                continue
            mark, was_busy = changes.mark(), shift.is_busy
            found = await shift.exchange(wanted, types=self.types, lease_seconds=self.lease_seconds)
            if found or not wanted:
                await shift.let_short_ones_end()
                continue
            if until_idle and not was_busy:
                return
            if was_busy and not shift.is_busy:
                # What has ended meanwhile may have to be done again, or something that waited for it.
                continue
            await patience.until_done(partial(self._wait_for_work, queue, changes, shift, mark))

    # Waiting.

    async def _wait_for_slot(self, queue: QueueManager, shift: Shift) -> None:
        """Wait until a handler ends; meanwhile jobs may be cancelled."""
        shift.woken.clear()
        if shift.wanted() or shift.has_reports:
            return
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await shift.woken.wait()
        except TimeoutError:
            await _look_for_cancelled(queue, shift)

    async def _wait_for_work(self, queue: QueueManager, changes: Changes, shift: Shift, since: Mark) -> None:
        """Wait until a claim may find something, or a handler ends."""
        shift.woken.clear()
        while not (self._is_stopping or shift.has_reports):
            outlook = await queue.look(self.types)
            wait = self.poll_seconds
            if outlook.seconds_to_next is not None and not outlook.is_promising:
                # What is promising was not claimed just now: a rule forbids it, and only a change or time can help.
                wait = min(wait, outlook.seconds_to_next)
            has_changed = await _has_changed(changes, since, wait, unless=shift.woken)
            if shift.woken.is_set():
                return
            since = changes.mark()
            await _look_for_cancelled(queue, shift)
            if (has_changed and changes.tells_of_work) or (await queue.look(self.types)).is_promising:
                return


async def _has_changed(changes: Changes, since: Mark, seconds: float, *, unless: asyncio.Event) -> bool:
    """Wait for a change, an event, or until the time is over; whether it was a change."""
    changed = asyncio.ensure_future(changes.changed(since, seconds))
    woken = asyncio.ensure_future(unless.wait())
    try:
        await asyncio.wait({changed, woken}, return_when=asyncio.FIRST_COMPLETED)
        return changed.done() and changed.exception() is None and changed.result()
    finally:
        changed.cancel()
        woken.cancel()
        await asyncio.gather(changed, woken, return_exceptions=True)


async def _look_for_cancelled(queue: QueueManager, shift: Shift) -> None:
    if shift.is_busy:
        lost = await queue.lost([job for _, job in shift.held()])
        if lost:
            shift.lose(lost)
