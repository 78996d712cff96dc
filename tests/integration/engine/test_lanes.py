"""Functions on a connection's thread: in order, interrupted only when they are meant, finished when they must be."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiosqlite
import pytest

from agent_system.database import nearness
from agent_system.database.lanes import Lane, uncancelled
from agent_system.database.turns import Backoff, Turn
from agent_system.errors import DatabaseBusyError, TransactionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENDLESS = "WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter) SELECT count(*) FROM counter"


def counting_to(number: int) -> str:
    """Return a statement that takes its time and then ends by itself."""
    return ENDLESS.replace("+ 1 FROM counter", f"+ 1 FROM counter WHERE n < {number}")


class Gate:
    """Something that holds the lane's thread until the test lets it go."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened = threading.Event()
        self.reached = asyncio.Event()

    def __call__(self) -> str:
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self._opened.wait(20)
        return "through"

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    connection = aiosqlite.Connection(lambda: sqlite3.connect(":memory:", check_same_thread=False), iter_chunk_size=64)
    await connection
    yield Lane(connection)
    await connection.close()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def run_statement(lane: Lane, statement: str) -> Any:
    return lane.raw.execute(statement).fetchall()


async def test_functions_run_on_one_thread_in_the_order_in_which_they_were_sent(lane: Lane) -> None:
    threads = await asyncio.gather(*(lane.run(threading.get_ident) for _ in range(3)))
    order: list[int] = []
    await asyncio.gather(*(lane.run(order.append, number) for number in range(50)))

    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    assert order == list(range(50))


async def test_posted_functions_answer_by_a_future(lane: Lane) -> None:
    assert await lane.post(int, "7") == 7
    with pytest.raises(ValueError, match="seven"):
        await lane.post(int, "seven")


async def test_called_functions_answer_on_the_loop(lane: Lane) -> None:
    answers: asyncio.Queue[tuple[Any, BaseException | None, int]] = asyncio.Queue()

    def then(value: Any, error: BaseException | None) -> None:
        answers.put_nowait((value, error, threading.get_ident()))

    lane.call(then, int, "7", is_alone=True)
    assert await answers.get() == (7, None, threading.get_ident())
    lane.call(then, int, "seven", is_alone=True)
    assert isinstance((await answers.get())[1], ValueError)
    connection: Any = lane._connection
    await connection.close()
    lane.call(then, int, "7", is_alone=True)
    assert "closed" in str((await answers.get())[1])


async def test_a_lane_whose_connection_is_closed_answers_at_once(lane: Lane) -> None:
    connection: Any = lane._connection
    await connection.close()
    for run in (lane.run, lane.run_interruptible, lane.post):
        with pytest.raises(ValueError, match="closed"):
            await run(int, "7")


async def test_a_statement_whose_caller_leaves_is_interrupted(lane: Lane) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lane.run_interruptible(run_statement, lane, ENDLESS)
    async with asyncio.timeout(10):
        assert await lane.run(run_statement, lane, "SELECT 1") == [(1,)]


async def test_a_function_whose_turn_has_not_come_when_its_caller_leaves_never_runs(lane: Lane, gate: Gate) -> None:
    ran: list[str] = []
    first = asyncio.create_task(lane.run(gate))
    await gate.reached.wait()
    second = asyncio.create_task(lane.run_interruptible(ran.append, "second"))
    third = asyncio.create_task(lane.run_interruptible(ran.append, "third"))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    gate.open()
    await asyncio.gather(first, third)

    assert ran == ["third"]


async def test_whoever_waits_behind_a_statement_and_leaves_does_not_interrupt_it(lane: Lane, gate: Gate) -> None:
    def statement_behind_gate() -> Any:
        gate()
        return run_statement(lane, counting_to(500_000))

    first = asyncio.create_task(lane.run_interruptible(statement_behind_gate))
    await gate.reached.wait()
    gate.open()
    while not first.done():
        second = asyncio.create_task(lane.run_interruptible(run_statement, lane, "SELECT 2"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)

    assert await first == [(500_000,)]


async def test_whoever_leaves_after_his_function_has_ended_interrupts_nobody(lane: Lane) -> None:
    for _ in range(50):
        first = asyncio.create_task(lane.run_interruptible(run_statement, lane, "SELECT 1"))
        second = asyncio.create_task(lane.run(run_statement, lane, counting_to(2_000)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        assert await second == [(2_000,)]
        with suppress(asyncio.CancelledError):
            await first


async def test_what_must_not_be_abandoned_is_finished_and_then_the_cancellation_goes_on(lane: Lane, gate: Gate) -> None:
    task = asyncio.create_task(uncancelled(lane.run(gate)))
    await gate.reached.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await lane.run(int, "7") == 7


async def test_what_must_not_be_abandoned_returns_and_raises_as_it_would_alone(lane: Lane) -> None:
    assert await uncancelled(lane.run(int, "7")) == 7
    with pytest.raises(ValueError, match="seven"):
        await uncancelled(lane.run(int, "seven"))


async def test_an_error_behind_a_cancellation_is_its_cause(lane: Lane, gate: Gate) -> None:
    def fail() -> None:
        gate()
        message = "the rollback failed"
        raise LookupError(message)

    task = asyncio.create_task(uncancelled(lane.run(fail)))
    await gate.reached.wait()
    task.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert isinstance(caught.value.__cause__, LookupError)


async def test_the_turn_is_handed_to_the_one_who_waits_longest_and_not_to_one_who_left() -> None:
    turn = Turn(20)
    order: list[int] = []

    async def take(number: int) -> None:
        await turn.acquire()
        order.append(number)
        turn.release()

    await turn.acquire()
    tasks = []
    for number in range(4):
        tasks.append(asyncio.create_task(take(number)))
        await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[2].cancel()
    turn.release()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert order == [1, 3]
    assert turn.try_acquire()


async def test_whoever_is_cancelled_in_the_moment_of_getting_the_turn_hands_it_on() -> None:
    turn = Turn(20)
    await turn.acquire()
    first = asyncio.create_task(turn.acquire())
    second = asyncio.create_task(turn.acquire())
    await asyncio.sleep(0)
    turn.release()
    first.cancel()
    async with asyncio.timeout(10):
        await second
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_nobody_passes_those_who_wait() -> None:
    turn = Turn(20)
    await turn.acquire()
    waiting = asyncio.create_task(turn.acquire())
    await asyncio.sleep(0)
    turn.release()

    assert not turn.try_acquire()
    await waiting


async def test_the_turn_does_not_come_for_ever() -> None:
    turn = Turn(0.02)
    assert turn.try_acquire()
    with pytest.raises(DatabaseBusyError, match=r"0\.02 s"):
        await turn.acquire()
    turn.release()
    await turn.acquire()


async def test_nobody_waits_for_himself() -> None:
    turn = Turn(20)
    await turn.acquire()
    with pytest.raises(TransactionError, match="itself"):
        await turn.acquire()
    turn.release()
    await turn.acquire()


async def test_a_back_off_waits_longer_and_longer_and_gives_up_at_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    now = loop.time()

    async def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr("agent_system.database.turns.asyncio.sleep", sleep)
    monkeypatch.setattr("agent_system.database.turns.random.random", lambda: 1.0)
    with pytest.raises(DatabaseBusyError, match="another process"):
        await wait_for_ever(Backoff(1.0))

    assert waits == sorted(waits)
    assert waits[0] < 0.01
    assert max(waits) <= 0.1
    assert sum(waits) == pytest.approx(1.0, abs=0.1)


async def wait_for_ever(backoff: Backoff) -> None:
    while True:
        await backoff.wait()


def processors() -> set[int]:
    """Where the running thread may run."""
    return os.sched_getaffinity(0)


HAS_SEVERAL = hasattr(os, "sched_getaffinity") and len(processors()) > 1


@pytest.mark.skipif(not HAS_SEVERAL, reason="the system moves no threads, or has nowhere to move them")
async def test_the_thread_sits_beside_a_caller_who_is_alone_and_apart_from_others(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere = processors()
    monkeypatch.setattr(nearness, "QUIET_SECONDS", 60.0)
    alone = await lane.run(processors)
    _, beside_another = await asyncio.gather(lane.run(processors), lane.run(processors))

    assert len(alone) == 1 < len(everywhere)
    assert beside_another == everywhere
    assert len(await lane.run(processors)) == 1
    assert processors() == everywhere

    monkeypatch.setattr(nearness, "QUIET_SECONDS", 0.0)
    await lane.run(processors)
    assert await lane.run(processors) == everywhere, "the loop had something to do meanwhile"


@pytest.mark.skipif(not HAS_SEVERAL, reason="the system moves no threads, or has nowhere to move them")
async def test_where_threads_may_not_be_moved_they_work_where_they_are(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(thread: int, _processors: set[int]) -> None:
        asked.append(thread)
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert [await lane.run(int, "7") for _ in range(3)] == [7, 7, 7]
    assert len(asked) == 1
