"""Reads on the loop's own thread: always coherent, and never in the way of the loop."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.database import inline
from agent_system.database.inline import (
    PAUSE_LIMIT_SECONDS,
    PAUSE_SECONDS,
    READS_BESIDE_WRITES,
    READS_BETWEEN_YIELDS,
    READS_UNTIL_FORGIVEN,
    SLOW_READ_SECONDS,
    Courtesy,
)
from agent_system.database.plans import compile_plan
from agent_system.errors import DatabaseReadOnlyError
from tests import requirements as requires
from tests.integration.engine.processes import Child
from tests.integration.fast_paths.managers import Agents, ColdAgents, inline_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent_system.database import DatabaseManager
    from agent_system.models import Agent
    from tests.integration.engine.processes import OtherProcess

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

pytestmark = requires.inline_reads
PROGRAMS = Path(__file__).with_name("programs")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.expires_at = 0.0
        self.set_aside_seconds = 0.0
        """How much of the time this thread was not at work."""
        monkeypatch.setattr(inline, "time", SimpleNamespace(perf_counter=lambda: self.now))
        self._marked_at = self.now

    def mark(self, now: float) -> None:
        self._marked_at = now

    def worked_seconds(self) -> float:
        return self.now - self._marked_at - self.set_aside_seconds


class Connection:
    """The inline reader's connection, on which reads take time or fail as the test says."""

    def __init__(self, raw: sqlite3.Connection, clock: Clock) -> None:
        self.raw = raw
        self.clock = clock
        self.seconds = 0.0
        self.error: Exception | None = None
        self.executed = 0

    def execute(self, statement: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
        self.executed += 1
        self.clock.now += self.seconds
        if self.error is not None:
            raise self.error
        return self.raw.execute(statement, parameters)

    def close(self) -> None:
        self.raw.close()


class Reader:
    """Looks one agent up that no cache keeps."""

    def __init__(self, db: DatabaseManager, clock: Clock, agent: Agent) -> None:
        self.agents = ColdAgents(db)
        self.agent = agent
        self.clock = clock
        self.inline: Any = inline_of(db)
        self.connection = Connection(self.inline._raw, clock)
        # Its own clock would be asked too, in the middle of a read that takes no time.
        self.inline._raw.set_progress_handler(None, 0)
        self.inline._own = clock
        self.inline._raw = self.connection

    async def was_inline(self) -> bool:
        """Look the agent up; whether it was done on this thread."""
        before = self.inline.reads
        assert await self.agents.get_by_id(self.agent.id) == self.agent
        return bool(self.inline.reads > before)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def reader(db: DatabaseManager, clock: Clock) -> Reader:
    return Reader(db, clock, await ColdAgents(db).create({"name": "Ada"}))


def busy() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorname = "SQLITE_BUSY_RECOVERY"
    return error


@pytest.mark.usefixtures("clock")
class TestCoherence:
    async def test_a_lookup_needs_no_other_thread(self, reader: Reader) -> None:
        assert await reader.was_inline()

    async def test_own_commits_are_seen(self, db: DatabaseManager) -> None:
        agents = ColdAgents(db)
        agent = await agents.create({"name": "Ada"})
        for number in range(20):
            changed = await agents.update(agent.id, {"instruction": str(number)})
            assert await agents.get_by_id(agent.id) == changed
        assert inline_of(db).reads == 20

    async def test_commits_of_another_process_are_seen(self, db: DatabaseManager, other_process: OtherProcess) -> None:
        agents = ColdAgents(db)
        agent = await agents.create({"name": "Ada"})
        for number in range(20):
            await other_process.run(f"UPDATE agents SET instruction = '{number}'")
            assert (await agents.require(agent.id)).instruction == str(number)
        assert inline_of(db).reads == 20

    async def test_what_another_process_has_not_committed_is_not_seen(
        self, db: DatabaseManager, other_process: OtherProcess
    ) -> None:
        agents = ColdAgents(db)
        agent = await agents.create({"name": "Ada"})
        await other_process.run("BEGIN EXCLUSIVE")
        await other_process.run("UPDATE agents SET instruction = 'lost'")
        assert await agents.get_by_id(agent.id) == agent
        assert inline_of(db).reads == 1

    async def test_a_read_leaves_no_snapshot_open(self, db: DatabaseManager, other_process: OtherProcess) -> None:
        agents = ColdAgents(db)
        agent = await agents.create({"name": "Ada"})
        await agents.get_by_id(agent.id)
        # It waits for nobody, and it needs that nobody reads.
        assert (await other_process.run("PRAGMA wal_checkpoint(TRUNCATE)"))[0][0] == 0

    async def test_a_huge_row_comes_whole(self, db: DatabaseManager) -> None:
        agents = ColdAgents(db)
        huge = await agents.create({"name": "Ada", "instruction": "x" * 5_000_000})
        assert await agents.get_by_id(huge.id) == huge

    async def test_what_is_not_there_is_looked_for_once(self, reader: Reader) -> None:
        assert await reader.agents.get_by_id(uuid4()) is None
        assert (reader.connection.executed, reader.inline.reads, reader.inline.refusals) == (1, 1, 0)

    async def test_a_transaction_reads_on_its_own_connection(self, db: DatabaseManager) -> None:
        agents = ColdAgents(db)
        async with db.transaction():
            agent = await agents.create({"name": "Ada"})
            assert await agents.get_by_id(agent.id) == agent
        assert inline_of(db).reads == 0

    async def test_a_statement_that_writes_is_refused(self, db: DatabaseManager) -> None:
        agents = ColdAgents(db)
        agent = await agents.create({"name": "Ada"})
        plan = agents.plans.delete()
        with pytest.raises(DatabaseReadOnlyError):
            await db.fetch(plan, plan.encode({"id": agent.id}))
        assert await agents.get_by_id(agent.id) == agent


class TestBusyFile:
    async def test_the_lane_takes_over_for_a_while(self, reader: Reader, clock: Clock) -> None:
        reader.connection.error = busy()
        assert not await reader.was_inline()
        reader.connection.error = None
        clock.now += PAUSE_SECONDS * 0.9
        assert not await reader.was_inline()
        assert reader.connection.executed == 1
        assert reader.inline.refusals == 2
        clock.now += PAUSE_SECONDS * 0.2
        assert await reader.was_inline()

    async def test_a_lookup_waits_until_another_process_has_recovered_the_file(
        self, open_database: OpenDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        db = await open_database(busy_timeout_ms=0)
        agents = ColdAgents(db)
        agent = await agents.create({"name": "Ada"})
        recovering = await Child.start(str(PROGRAMS / "recovering.py"), db.url.database)
        await recovering.hear()
        was_refused = asyncio.Event()
        monkeypatch.setattr(inline_of(db), "_pause", was_refused.set)
        lookup = asyncio.create_task(agents.get_by_id(agent.id))
        await was_refused.wait()
        await recovering.tell()
        assert await lookup == agent
        await recovering.finish()


class TestBrokenConnection:
    async def test_reads_go_on_without_it(self, reader: Reader) -> None:
        reader.connection.error = sqlite3.OperationalError("disk I/O error")
        reader.connection.error.sqlite_errorname = "SQLITE_IOERR_READ"
        assert not await reader.was_inline()

    async def test_a_connection_that_somebody_closed_is_done_without(self, db: DatabaseManager) -> None:
        agents = ColdAgents(db)
        agent = await agents.create({"name": "Ada"})
        inline_of(db)._raw.close()
        assert await agents.get_by_id(agent.id) == agent

    async def test_any_other_error_is_told(self, reader: Reader) -> None:
        reader.connection.error = ValueError("told")
        with pytest.raises(ValueError, match="told"):
            await reader.was_inline()


class TestSlowReads:
    async def test_after_a_slow_one_the_lane_takes_over_for_a_while(self, reader: Reader, clock: Clock) -> None:
        reader.connection.seconds = SLOW_READ_SECONDS * 1.1
        assert await reader.was_inline()
        reader.connection.seconds = 0
        clock.now += PAUSE_SECONDS * 0.9
        assert not await reader.was_inline()
        clock.now += PAUSE_SECONDS * 0.2
        assert await reader.was_inline()

    async def test_one_that_was_only_set_aside_is_not_slow(self, reader: Reader, clock: Clock) -> None:
        reader.connection.seconds = SLOW_READ_SECONDS * 5
        clock.set_aside_seconds = SLOW_READ_SECONDS * 4.1
        assert all([await reader.was_inline() for _ in range(10)])
        clock.mark(clock.now)
        clock.now += SLOW_READ_SECONDS * 5
        assert not reader.inline._is_late()
        assert reader.inline._deadline == pytest.approx(clock.now + SLOW_READ_SECONDS * 0.1)
        clock.now += SLOW_READ_SECONDS * 0.11
        assert reader.inline._is_late()

    async def test_one_that_is_slower_than_the_pause_is_followed_by_a_pause(self, reader: Reader) -> None:
        reader.connection.seconds = PAUSE_LIMIT_SECONDS * 10
        assert await reader.was_inline()
        assert not await reader.was_inline()
        assert reader.connection.executed == 1

    async def test_one_that_goes_on_and_on_is_broken_off_and_sent_through_the_lane(self, db: DatabaseManager) -> None:
        endless = "WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter) SELECT n FROM counter"
        raw = inline_of(db)._raw
        inline_of(db)._deadline = 0.0
        with pytest.raises(sqlite3.OperationalError) as interrupted:
            raw.execute(endless).fetchall()
        assert interrupted.value.sqlite_errorname == "SQLITE_INTERRUPT"

    async def test_what_was_broken_off_is_read_by_the_lane(self, reader: Reader) -> None:
        reader.connection.error = sqlite3.OperationalError("interrupted")
        reader.connection.error.sqlite_errorname = "SQLITE_INTERRUPT"
        assert not await reader.was_inline()

    async def test_while_they_stay_slow_the_pauses_become_longer(self, reader: Reader, clock: Clock) -> None:
        pauses = []
        reader.connection.seconds = SLOW_READ_SECONDS * 2
        for _ in range(10):
            assert await reader.was_inline()
            pauses.append(reader.inline._paused_until - clock.now)
            clock.now = reader.inline._paused_until
        assert pauses[:3] == pytest.approx([PAUSE_SECONDS, 2 * PAUSE_SECONDS, 4 * PAUSE_SECONDS])
        assert pauses[-1] == pytest.approx(PAUSE_LIMIT_SECONDS)

    async def test_one_after_many_quick_ones_is_paused_shortly(self, reader: Reader, clock: Clock) -> None:
        for _ in range(3):
            reader.connection.seconds = SLOW_READ_SECONDS * 2
            assert await reader.was_inline()
            assert reader.inline._paused_until - clock.now == pytest.approx(PAUSE_SECONDS)
            clock.now = reader.inline._paused_until
            reader.connection.seconds = 0
            for _ in range(READS_UNTIL_FORGIVEN):
                assert await reader.was_inline()

    async def test_quick_ones_are_not_paused(self, reader: Reader) -> None:
        reader.connection.seconds = SLOW_READ_SECONDS * 0.9
        assert all([await reader.was_inline() for _ in range(10)])


class Ticker:
    """A task that counts how often it has had its turn."""

    def __init__(self) -> None:
        self.ticks = 0
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.ticks += 1
            await asyncio.sleep(0)

    async def count_during(self, work: Awaitable[None]) -> int:
        before = self.ticks
        await work
        self.task.cancel()
        return self.ticks - before


class TestFairness:
    LOOKUPS = 20 * READS_BETWEEN_YIELDS

    @pytest.mark.parametrize("manager", [ColdAgents, Agents], ids=["read inline", "cached"])
    async def test_other_tasks_have_their_turn_beside_endless_lookups(
        self, db: DatabaseManager, manager: type[Agents]
    ) -> None:
        agents = manager(db)
        agent = await agents.create({"name": "Ada"})

        async def look_up() -> None:
            for _ in range(self.LOOKUPS):
                await agents.get_by_id(agent.id)

        assert await Ticker().count_during(look_up()) >= self.LOOKUPS // READS_BETWEEN_YIELDS - 1

    async def test_reads_that_are_nearly_slow_yield_all_the_sooner(self, reader: Reader) -> None:
        reader.connection.seconds = SLOW_READ_SECONDS * 0.6

        async def look_up() -> None:
            for _ in range(11):
                assert await reader.was_inline()

        assert await Ticker().count_during(look_up()) >= 5

    async def test_the_loop_is_never_kept_for_longer_than_a_slow_read_and_one_more(self) -> None:
        courtesy = Courtesy(lambda: False)
        stopped = 0.0
        for took in [0.0001, 0.0019, 0.0005, 0.0] * 100:
            if courtesy.is_due():
                await asyncio.sleep(0)
                stopped = 0.0
            assert stopped < SLOW_READ_SECONDS
            courtesy.stopped_seconds += took
            stopped += took

    async def test_whoever_reads_in_the_same_iteration_of_the_loop_yields_too(self) -> None:
        courtesy = Courtesy(lambda: False)
        courtesy.stopped_seconds = SLOW_READ_SECONDS
        assert courtesy.is_due()
        assert courtesy.is_due()
        await asyncio.sleep(0)
        assert not courtesy.is_due()

    async def test_beside_writes_they_yield_sooner(self) -> None:
        courtesy = Courtesy(lambda: True)
        courtesy.stopped_seconds = SLOW_READ_SECONDS
        assert courtesy.is_due()
        await asyncio.sleep(0)
        assert any(courtesy.is_due() for _ in range(READS_BESIDE_WRITES))


class TestSwitch:
    async def test_reads_work_without_it(self, open_database: OpenDatabase) -> None:
        db = await open_database(inline_reads=False, hot_cache_size=0)
        agents = Agents(db)
        agent = await agents.create({"name": "Ada"})
        assert await agents.get_by_id(agent.id) == agent
        backend: Any = db._backend
        assert backend._inline is None

    async def test_disconnect_closes_it_and_leaves_no_descriptor(self, open_database: OpenDatabase) -> None:
        db = await open_database()
        agents = Agents(db)
        await agents.get_by_id((await agents.create({"name": "Ada"})).id)
        raw = inline_of(db)._raw
        await db.disconnect()
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            raw.execute("SELECT 1")
        links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        assert not [link for link in links if link.startswith(str(db.url.database))]

    async def test_a_plan_without_parameters_can_be_read_too(self, db: DatabaseManager) -> None:
        agents = ColdAgents(db)
        await agents.create({"name": "Ada"})
        plan = compile_plan(agents.query(), db.dialect)
        assert len(await db.fetch(plan, ())) == 1
