"""The writer: single writes of many coroutines are gathered and travel in one hop as one transaction (`groups.py`).

A group takes the turn once and asks again behind those who wait, so that transactions and sessions do not starve beside
any number of single writers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from agent_system.database.driver import is_broken
from agent_system.database.groups import GroupBusyError, Outcome, commit_group, unknown_because_of
from agent_system.database.translate import FAILURES, translate
from agent_system.database.work_queue import Mark, WaitingWork
from agent_system.errors import DatabaseBusyError, DatabaseError, NotConnectedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent_system.database.executor import SqliteExecutor, Work
    from agent_system.database.inline_writes import InlineWrites
    from agent_system.database.lanes import Lane
    from agent_system.database.turns import Turn
    from agent_system.database.work_queue import WorkQueue

__all__ = ["Writer"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

# How a connection that cannot be opened is told, by the engine and by what lies below it.
REFUSALS: tuple[type[BaseException], ...] = (DatabaseError, *FAILURES)


class Writer:
    """Gathers single writes into groups and commits each group in one transaction.

    What is submitted in one iteration of the loop travels in one hop. It is driven by callbacks and not by a task,
    which saves a single writer two rounds of the loop; a task is needed only to wait for the turn or another process.
    A short write with which nothing else can come in this iteration is done in its caller's own step.
    """

    def __init__(
        self,
        lane: Lane,
        executor: SqliteExecutor,
        turn: Turn,
        *,
        queue: WorkQueue,
        announce: Callable[[], None],
        after_commit: Callable[[], None],
        reopen: Callable[[], Awaitable[tuple[Lane, SqliteExecutor]]],
        inline: InlineWrites | None = None,
    ) -> None:
        self._lane = lane
        self._executor = executor
        self._reopen = reopen
        self._inline = inline
        self._turn = turn
        self._queue = queue
        self._announce = announce
        self._after_commit = after_commit
        self._space = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sent: list[WaitingWork] = []
        self._done: deque[tuple[list[WaitingWork], Sequence[Outcome]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def depth(self) -> int:
        """How many writes wait for their group now."""
        return len(self._queue)

    @property
    def is_busy(self) -> bool:
        """Whether a write waits or is under way."""
        return not self._idle.is_set()

    async def submit(self, work: Work[T]) -> T:
        """Run one work in the next group and return its value after the commit.

        A caller that is cancelled while its work waits takes it back; later, the work is committed all the same.
        """
        if self._closed:
            raise NotConnectedError
        while self._queue.is_full:
            self._space.clear()
            await self._space.wait()
            if self._closed:
                raise NotConnectedError
        if self._done:
            # What tells of them waits behind everybody who is to run in this round of the loop and in the next.
            self._answer()
        loop = asyncio.get_running_loop()
        is_first = self._idle.is_set()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.add(WaitingWork(work, future))
        if is_first:
            self._idle.clear()
            if self._inline is not None and self._inline.ask(work, loop):
                self._ask_at_once(future)
            else:
                loop.call_soon(self._ask_for_turn)
        return await future

    async def close(self) -> None:
        """Take no more work and wait until what was accepted is done."""
        self._closed = True
        while not self._idle.is_set():
            await self._idle.wait()

    def _ask_at_once(self, future: asyncio.Future[T]) -> None:
        """Ask in the step of the caller, who finds the future done when the write was an inline one."""
        try:
            self._ask_for_turn()
        except BaseException:
            # What a signal's handler has raised tells the caller; asyncio shall not complain that the future did not.
            if future.done():
                future.exception()
            raise

    def _ask_for_turn(self) -> None:
        if self._turn.try_acquire():
            self._send()
        else:
            self._task = asyncio.get_running_loop().create_task(self._wait_for_turn())

    async def _wait_for_turn(self) -> None:
        try:
            await self._turn.acquire()
        except DatabaseBusyError as exc:
            self._fail(self._take(), exc)
            self._go_on()
        else:
            self._send()

    def _send(self) -> None:
        # Taken only now: everything submitted while the turn was awaited travels in this hop.
        group = self._take()
        if group:
            self._post(group)
        else:
            self._finish()

    def _post(self, group: list[WaitingWork]) -> None:
        self._sent = group
        loop = asyncio.get_running_loop()
        inline = self._inline
        if (
            inline is not None
            and len(group) == 1
            and inline.begin(group[0].work)
            and self._lane.call_here(self._answered, self._commit_groups, group, loop)
        ):
            inline.end()
            return
        self._lane.call(self._answered, self._commit_groups, group, loop, is_alone=len(group) == 1)

    def _commit_groups(self, group: list[WaitingWork], loop: asyncio.AbstractEventLoop) -> Sequence[Outcome]:
        """Commit a group, and then who waits by now, as long as nobody else wants the turn.

        It runs on the writer's thread, or on the loop's for one that comes alone and is short (`inline_writes.py`).

        A group is answered when the next one has begun: so the loop's thread has its callers go on while SQLite works,
        and not while this thread has something to do, or the two would wait for each other.

        Returns:
            The outcomes of the last group, which is `_sent`.
        """
        answer: Callable[[], object] | None = None
        while True:
            self._sent = group
            # A lone write cannot be divided, and to ask for a thread's own time takes a call of the system.
            begun = Mark.now() if len(group) > 1 else None
            outcomes = self._commit_answering(group, answer)
            if begun is not None:
                self._queue.measure(group, begun, Mark.now())
            self._announce()
            self._done.append((group, outcomes))
            if self._turn.is_wanted or _are_of_broken(outcomes):
                return outcomes
            following = self._queue.take(unanswered=len(group))
            if not following:
                return outcomes
            if len(following) > 1:
                self._lane.nearness.roam()
            answer = partial(loop.call_soon_threadsafe, self._answer)
            group = following

    def _commit_answering(self, group: Sequence[WaitingWork], answer: Callable[[], object] | None) -> Sequence[Outcome]:
        """Commit a group, and answer the one before it."""
        works = [waiting.work for waiting in group]
        if answer is None:
            return commit_group(self._executor, works)
        is_answered = False

        def begun() -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                answer()

        try:
            return commit_group(self._executor, works, begun)
        finally:
            # Also when the transaction could not be begun.
            begun()

    def _answered(self, outcomes: Sequence[Outcome] | None, error: BaseException | None) -> None:
        group = self._sent
        if isinstance(error, GroupBusyError):
            self._task = asyncio.get_running_loop().create_task(self._try_until_free(group))
            return
        if error is not None and not isinstance(error, Exception):
            # On the loop's own thread: a signal's handler has raised, at any place.
            self._fail(group, unknown_because_of(error))
            self._finish()
            return
        if outcomes is None:
            self._task = asyncio.get_running_loop().create_task(self._try_on_new_connection(group))
            return
        self._answer()
        if _are_of_broken(outcomes):
            self._task = asyncio.get_running_loop().create_task(self._renew())
        else:
            self._finish()

    async def _renew(self) -> None:
        try:
            await self.replace()
        finally:
            self._finish()

    async def replace(self) -> None:
        """Go on with another connection; while there is none to be had, whoever writes next asks again."""
        try:
            await self.reopen()
        except REFUSALS as exc:
            logger.warning("no other connection to write with could be opened yet: %s", exc)

    async def reopen(self) -> None:
        """Go on with another connection."""
        self._lane, self._executor = await self._reopen()

    async def _try_on_new_connection(self, group: list[WaitingWork]) -> None:
        """The connection failed before the group's COMMIT, so nothing of it is written and it may run once more."""
        try:
            await self.reopen()
            works = [waiting.work for waiting in group]
            self._resolve(group, await self._lane.run(commit_group, self._executor, works))
        except GroupBusyError:
            await self._try_until_free(group)
            return
        except BaseException as exc:  # noqa: BLE001 (the writer goes on; whoever waits is told)
            self._fail(group, exc)
        self._finish()

    async def _try_until_free(self, group: list[WaitingWork]) -> None:
        """Another process has the lock; the turn is kept, so that nobody of this process asks in between."""
        backoff = self._turn.backoff()
        try:
            while True:
                await backoff.wait()
                # Whoever gave up meanwhile has nothing written; whoever came meanwhile may join.
                group[:] = [waiting for waiting in group if not waiting.future.done()]
                group.extend(self._take(self._queue.group_size - len(group)))
                try:
                    works = [waiting.work for waiting in group]
                    outcomes = await self._lane.run(commit_group, self._executor, works)
                except GroupBusyError:
                    continue
                self._resolve(group, outcomes)
                break
        except BaseException as exc:  # noqa: BLE001 (the writer goes on; whoever waits is told)
            self._fail(group, exc)
        self._finish()

    def _finish(self) -> None:
        self._turn.release()
        self._go_on()

    def _go_on(self) -> None:
        if self._queue:
            asyncio.get_running_loop().call_soon(self._ask_for_turn)
        else:
            self._idle.set()

    def _take(self, limit: int | None = None) -> list[WaitingWork]:
        group = self._queue.take(limit)
        self._space.set()
        return group

    def _answer(self) -> None:
        while self._done:
            self._resolve(*self._done.popleft())

    def _resolve(self, group: list[WaitingWork], outcomes: Sequence[Outcome]) -> None:
        self._space.set()
        if any(outcome.error is None for outcome in outcomes):
            self._after_commit()
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.future.done():
                continue
            if outcome.error is None:
                waiting.future.set_result(outcome.value)
            else:
                waiting.future.set_exception(translate(outcome.error))
        # Or the writer's thread would have to throw them all away, between one group and the next.
        group.clear()

    def _fail(self, group: Sequence[WaitingWork], exc: BaseException) -> None:
        self._space.set()
        for waiting in group:
            if not waiting.future.done():
                waiting.future.set_exception(translate(exc))


def _are_of_broken(outcomes: Sequence[Outcome]) -> bool:
    """Whether the connection that they came from is of no more use."""
    failures = [outcome.error for outcome in outcomes if outcome.error is not None]
    return any(map(is_broken, failures))
