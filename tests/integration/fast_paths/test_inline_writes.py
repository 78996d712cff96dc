"""Writes on the loop's own thread: those that come alone and are short, and never in the way of the loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database.inline_writes import (
    CREDIT_SECONDS,
    MOST_BYTES,
    MOST_IN_A_ROW,
    PAUSE_IN_TIMES,
    QUIET_SECONDS,
    SLOW_WRITE_SECONDS,
    Brief,
    InlineWrites,
)
from agent_system.entity_manager import EntityManager
from agent_system.errors import DuplicateKeyError, ValidationError
from tests import requirements as requires
from tests.integration.engine.processes import Child, OtherProcess
from tests.integration.fast_paths.managers import Agents, AuditedAgents, inline_writes_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager
    from agent_system.database.executor import Executor

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

pytestmark = requires.inline_writes
PROGRAMS = Path(__file__).with_name("programs")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Where:
    """A short unit of work that notes on which thread it runs, and takes time when it is told to."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seconds = 0.0

    def __call__(self, _: Executor) -> bool:
        self.clock.now += self.seconds
        return threading.current_thread() is threading.main_thread()

    def written_size(self) -> int:
        return 0


@pytest.fixture
async def db(open_database: OpenDatabase) -> DatabaseManager:
    return await open_database(durability="normal")


@pytest.fixture
def clock(db: DatabaseManager) -> Clock:
    writes = inline_writes_of(db)
    assert writes is not None
    clock = Clock()
    writes._clock = clock
    return clock


@pytest.fixture
def where(clock: Clock) -> Where:
    return Where(clock)


class TestWhichWrites:
    async def test_one_that_comes_alone_needs_no_other_thread(self, db: DatabaseManager, where: Where) -> None:
        assert await db.write(where)

    async def test_one_that_may_take_long_takes_the_writers_thread(self, db: DatabaseManager, where: Where) -> None:
        assert not await db.write(where.__call__)
        assert not await db.write(Brief(where, None))

    async def test_one_of_much_text_takes_the_writers_thread(self, db: DatabaseManager, where: Where) -> None:
        assert await db.write(Brief(where, MOST_BYTES))
        assert not await db.write(Brief(where, MOST_BYTES + 1))

    async def test_those_that_come_together_take_the_writers_thread(self, db: DatabaseManager, where: Where) -> None:
        assert await asyncio.gather(db.write(where), db.write(where)) == [False, False]

    async def test_one_that_is_alone_because_another_was_cancelled_may_take_long(
        self, db: DatabaseManager, where: Where
    ) -> None:
        given_up = asyncio.create_task(db.write(where))
        writing = asyncio.create_task(db.write(where.__call__))
        await asyncio.sleep(0)
        given_up.cancel()

        assert not await writing

    async def test_a_loop_that_has_other_things_to_do_is_left_to_them(
        self, db: DatabaseManager, clock: Clock, where: Where
    ) -> None:
        async def work() -> None:
            clock.now += 2 * QUIET_SECONDS

        writing, _ = await asyncio.gather(db.write(where), work())

        assert not writing

    @pytest.mark.parametrize("settings", [{"durability": "full"}, {"durability": "normal", "inline_writes": False}])
    async def test_none_where_a_commit_syncs_or_the_settings_say_so(
        self, open_database: OpenDatabase, settings: dict[str, Any]
    ) -> None:
        db = await open_database(**settings)

        assert not await db.write(Where(Clock()))

    @pytest.mark.usefixtures("clock")
    async def test_rows_of_managers_and_messages_of_conversations(self, db: DatabaseManager) -> None:
        writes = inline_writes_of(db)
        assert writes is not None
        em = EntityManager(db)
        conversation = await em.conversations.create({})
        agent = await em.agents.create({"name": "Ada"})
        before = writes.writes

        await em.conversations.create({})
        await em.agents.update(agent.id, {"name": "Bob"})
        await em.messages.append(conversation.id, {"role": "user", "content": "hello"})
        await em.messages.create({"role": "user", "content": "hello"})
        await em.memories.remember("eve", "the key is under the mat")
        await em.queue.enqueue("mail", {"to": "Ada"})

        assert writes.writes - before == 6
        assert await em.agents.get_by_name("bob") is not None
        assert [message.content for message in await em.messages.last(conversation.id, 5)] == ["hello"]

    @pytest.mark.usefixtures("clock")
    async def test_what_cannot_be_measured_is_refused_as_ever(self, db: DatabaseManager) -> None:
        agents = EntityManager(db).agents
        agent = await agents.create({"name": "Ada"})
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(ValidationError) as caught:
            await agents.update(agent.id, {"meta": {"deep": deep}})

        assert caught.value.field == "meta"
        assert await agents.get_by_id(agent.id) == agent


class TestTheLoop:
    async def test_a_slow_write_is_followed_by_a_pause(self, db: DatabaseManager, where: Where) -> None:
        where.seconds = 10 * CREDIT_SECONDS / PAUSE_IN_TIMES
        assert await db.write(where)
        assert not await db.write(Brief(where, 0))

        where.clock.now += PAUSE_IN_TIMES * where.seconds
        assert await db.write(where)

    async def test_few_slow_writes_are_forgiven(self, db: DatabaseManager, where: Where) -> None:
        where.seconds = CREDIT_SECONDS / PAUSE_IN_TIMES * 0.9

        assert await db.write(where)
        assert await db.write(where)
        assert not await db.write(where)

    def test_slow_ones_stop_the_loop_for_a_small_share_of_the_time(self) -> None:
        clock, busy_loop = Clock(), SimpleNamespace(_ready=[None])
        writes = InlineWrites(clock)
        stopped = 0.0
        while clock.now < 1_100:
            work = Brief(lambda _: None, 0)
            writes.ask(work, busy_loop)
            if writes.begin(work):
                clock.now += 10 * SLOW_WRITE_SECONDS
                stopped += 10 * SLOW_WRITE_SECONDS
                writes.end()
            else:
                clock.now += SLOW_WRITE_SECONDS

        assert 4 <= stopped <= 100 / PAUSE_IN_TIMES + 0.1

    async def test_one_writer_leaves_it_a_round_after_a_few(self, db: DatabaseManager, where: Where) -> None:
        counts = []
        for _ in range(10):
            fired: list[str] = []
            asyncio.get_running_loop().call_later(0, fired.append, "the timer")
            count = 0
            while not fired:
                assert await db.write(where)
                count += 1
            counts.append(count)

        # Two rounds take a timer to be looked at and to run.
        assert 1 < max(counts) <= 2 * (MOST_IN_A_ROW + 1)

    async def test_with_others_to_run_in_the_same_round_it_waits_for_these(
        self, db: DatabaseManager, where: Where
    ) -> None:
        order: list[str] = []

        async def write(name: str) -> None:
            await db.write(where)
            order.append(name)

        async def other() -> None:
            order.append("other")

        await write("alone")
        await asyncio.gather(write("first"), other())
        assert order == ["alone", "other", "first"]

    @pytest.mark.parametrize(
        ("ready", "size", "expected"),
        [
            ([], 0, [True] * MOST_IN_A_ROW + [False, True]),
            ([object()], 0, [False, False]),
            ([], None, [False, False]),
            ([], MOST_BYTES + 1, [False, False]),
            (None, 0, [False, False]),
        ],
        ids=["quiet", "busy", "unknown", "long", "another loop"],
    )
    def test_when_it_may_begin_at_once(
        self, ready: list[object] | None, size: int | None, expected: list[bool]
    ) -> None:
        loop: Any = SimpleNamespace() if ready is None else SimpleNamespace(_ready=ready)
        writes = InlineWrites(Clock())
        assert [writes.ask(Brief(lambda _: None, size), loop) for _ in expected] == expected

    async def test_it_goes_on_while_another_process_has_the_lock(self, db: DatabaseManager, where: Where) -> None:
        other_process = await OtherProcess.start(db.url.database)
        await other_process.run("BEGIN IMMEDIATE")
        writing = asyncio.create_task(db.write(where))
        for _ in range(10):
            await asyncio.sleep(0)

        assert not writing.done()
        await other_process.run("COMMIT")
        assert not await writing
        await other_process.stop()

    async def test_the_connection_waits_neither_for_a_lock_nor_for_the_log_to_be_moved(
        self, db: DatabaseManager
    ) -> None:
        def ask(executor: Any) -> list[Any]:
            return [
                executor.raw.execute(f"PRAGMA {name}").fetchone() for name in ("busy_timeout", "wal_autocheckpoint")
            ]

        assert await db.write(ask) == [(0,), (0,)]


class TestTheConnection:
    async def test_it_is_left_to_the_writers_thread_while_that_is_at_work(
        self, db: DatabaseManager, where: Where
    ) -> None:
        backend: Any = db._backend
        lane = backend._writing.lane
        is_running, may_end = threading.Event(), threading.Event()

        def work() -> None:
            is_running.set()
            may_end.wait()

        # As whoever was cancelled leaves something behind that goes on.
        left = asyncio.create_task(lane.run(work))
        await asyncio.to_thread(is_running.wait)
        writing = asyncio.create_task(db.write(where))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        may_end.set()

        assert not await writing
        await left
        assert await db.write(where)

    @pytest.mark.usefixtures("clock")
    async def test_a_refused_row_leaves_nothing_and_says_why(self, db: DatabaseManager) -> None:
        agents = AuditedAgents(db)
        agent = await agents.create({"name": "Ada"})
        with pytest.raises(DuplicateKeyError) as caught:
            await agents.create({"id": agent.id, "name": "Bob"})

        assert caught.value.fields == ("id",)
        assert await agents.count() == 1

    @pytest.mark.usefixtures("clock")
    async def test_a_work_that_fails_half_way_leaves_nothing_and_runs_once(self, db: DatabaseManager) -> None:
        agents = AuditedAgents(db)
        insertion: Any = agents.insertion(agents.new_values({"name": "Ada"}))
        runs = 0

        def work(executor: Executor) -> None:
            nonlocal runs
            runs += 1
            insertion(executor)
            message = "half-way"
            raise ValueError(message)

        with pytest.raises(ValueError, match="half-way"):
            await db.write(Brief(work, 0))

        assert runs == 1
        assert await agents.count() == 0
        await agents.create({"name": "Ada"})

    async def test_a_broken_one_is_replaced_and_the_write_done(self, db: DatabaseManager, clock: Clock) -> None:
        agents = Agents(db)
        await agents.create({"name": "Ada"})
        backend: Any = db._backend
        backend._writing.executor.raw.close()

        await agents.create({"name": "Bob"})

        assert await agents.count() == 2
        assert await db.write(Where(clock))

    @pytest.mark.usefixtures("clock")
    async def test_its_rows_are_seen_at_once_by_everybody(self, db: DatabaseManager) -> None:
        agents = Agents(db)
        agent = await agents.create({"name": "Ada"})
        assert (await agents.require(agent.id)).name == "Ada"
        await agents.update(agent.id, {"name": "Bob"})

        assert (await agents.require(agent.id)).name == "Bob"
        assert db.url.database is not None
        with closing(sqlite3.connect(db.url.database)) as other:
            assert other.execute("SELECT name FROM agents").fetchall() == [("Bob",)]


@pytest.mark.parametrize("place", ["before", "after", "commit"])
async def test_what_a_signals_handler_raises_ends_the_program_and_leaves_nothing_half_done(
    db: DatabaseManager, place: str
) -> None:
    """A handler runs between any two steps of the main thread, so also in the middle of a write there."""
    child = await Child.start(str(PROGRAMS / "interrupted.py"), db.url.database, place)
    (answer,) = await child.finish()

    assert answer == "SystemExit"
    em = EntityManager(db)
    written = 1 if place == "commit" else 0
    assert (await em.agents.count(), await em.events.count()) == (written, written)
