"""The hot cache over a real file: what stays in it, and that nothing in it is ever out of date."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import bindparam, text, update
from sqlmodel import SQLModel

from agent_system.database.inline import READS_BETWEEN_YIELDS
from agent_system.database.plans import compile_plan
from agent_system.errors import ConflictError, NotConnectedError
from agent_system.models import Agent
from tests import requirements as requires
from tests.integration.fast_paths.managers import (
    Agents,
    AuditedAgents,
    ColdAgents,
    Hosts,
    Identities,
    Tools,
    Users,
    cache_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database import DatabaseManager
    from agent_system.database.executor import Executor
    from tests.integration.engine.processes import OtherProcess

    OpenDatabase = Callable[..., Awaitable[DatabaseManager]]

pytestmark = requires.hot_cache


class Warm:
    """Two agents and a tool that the cache has."""

    def __init__(self, db: DatabaseManager) -> None:
        self.db = db
        self.agents = Agents(db)
        self.tools = Tools(db)

    async def fill(self) -> Warm:
        self.ada = await self.agents.create({"name": "Ada"})
        self.grace = await self.agents.create({"name": "Grace"})
        self.tool = await self.tools.create({"name": "search"})
        await self.read()
        assert await self.cached() == {"Ada", "Grace", "search"}
        return self

    async def read(self) -> None:
        """Read everything that is there."""
        for manager, row in ((self.agents, self.ada), (self.agents, self.grace), (self.tools, self.tool)):
            await manager.get_by_id(row.id)

    async def cached(self) -> set[str]:
        """The names of those rows that the cache would give now."""
        cache = cache_of(self.db)
        keys = {"Ada": ("agents", self.ada), "Grace": ("agents", self.grace), "search": ("tools", self.tool)}
        return {name for name, (table, row) in keys.items() if cache.get((table, str(row.id))) is not None}

    async def instruction(self) -> str | None:
        """What Ada is told, as a lookup says; and as it says once more, now perhaps from the cache."""
        first, second = await self.agents.get_by_id(self.ada.id), await self.agents.get_by_id(self.ada.id)
        assert first is not None
        assert first == second
        return first.instruction


@pytest.fixture
async def warm(db: DatabaseManager) -> Warm:
    return await Warm(db).fill()


def sql(statement: str) -> Callable[[Executor], None]:
    def work(executor: Executor) -> None:
        executor.execute(text(statement))

    return work


class TestOwnCommits:
    async def test_an_update_drops_its_row_and_keeps_the_others(self, warm: Warm) -> None:
        await warm.agents.update(warm.ada.id, {"instruction": "new"})
        assert await warm.cached() == {"Grace", "search"}
        assert await warm.instruction() == "new"
        assert await warm.cached() == {"Ada", "Grace", "search"}

    async def test_an_update_with_its_event_keeps_the_others_too(self, warm: Warm) -> None:
        await AuditedAgents(warm.db).update(warm.ada.id, {"instruction": "new"})
        assert await warm.cached() == {"Grace", "search"}
        assert await warm.instruction() == "new"

    async def test_a_new_row_keeps_everything(self, warm: Warm) -> None:
        await warm.agents.create({"name": "Linus"})
        assert await warm.cached() == {"Ada", "Grace", "search"}

    async def test_many_new_rows_keep_everything(self, warm: Warm) -> None:
        await warm.agents.create_many([{"name": f"agent {number}"} for number in range(20)])
        assert await warm.cached() == {"Ada", "Grace", "search"}

    async def test_a_group_of_many_drops_exactly_what_it_touched(self, warm: Warm) -> None:
        await asyncio.gather(
            warm.agents.update(warm.ada.id, {"instruction": "1"}),
            warm.tools.update(warm.tool.id, {"description": "2"}),
            *(warm.agents.create({"name": f"agent {number}"}) for number in range(20)),
        )
        assert await warm.cached() == {"Grace"}
        assert await warm.instruction() == "1"

    async def test_a_work_that_failed_in_the_group_costs_the_others_nothing(self, warm: Warm) -> None:
        results = await asyncio.gather(
            warm.agents.update(warm.ada.id, {"instruction": "lost"}, expected_version=99),
            warm.agents.create({"name": "Grace"}),
            warm.tools.update(warm.tool.id, {"description": "2"}),
            return_exceptions=True,
        )
        assert [isinstance(result, Exception) for result in results] == [True, True, False]
        assert "Grace" in await warm.cached()
        assert (await warm.instruction()) == warm.ada.instruction

    async def test_a_commit_that_changed_nothing_keeps_everything(self, warm: Warm) -> None:
        with pytest.raises(ConflictError):
            await warm.agents.update(warm.ada.id, {"instruction": "lost"}, expected_version=99)
        assert await warm.cached() == {"Ada", "Grace", "search"}

    async def test_an_upsert_is_seen(self, warm: Warm) -> None:
        await warm.agents.upsert({"name": "ada", "instruction": "upserted"}, on=("name",))
        assert await warm.instruction() == "upserted"

    async def test_a_deleted_row_is_gone(self, warm: Warm) -> None:
        assert await warm.agents.delete(warm.ada.id)
        assert await warm.agents.get_by_id(warm.ada.id) is None

    async def test_what_falls_with_a_deleted_row_is_gone(self, db: DatabaseManager) -> None:
        users, agents = Users(db), Agents(db)
        user = await users.create({"username": "ada"})
        agent = await agents.create({"name": "hers", "user_id": user.id})
        assert await agents.get_by_id(agent.id)
        assert await users.delete(user.id)
        assert await agents.get_by_id(agent.id) is None

    async def test_what_a_deletion_sets_to_null_is_null(self, db: DatabaseManager) -> None:
        users, identities = Users(db), Identities(db)
        user = await users.create({"username": "ada"})
        identity = await identities.create({"id": "discord:1", "user_id": user.id, "display_name": "Ada"})
        assert await identities.get_by_id(identity.id) == identity
        # Past the manager, whose statements beside the deletion would hide what the foreign key does.
        plan = users.plans.delete()
        await db.write(lambda executor: executor.change(plan, plan.encode({"id": user.id})))
        found = await identities.get_by_id(identity.id)
        assert found is None or found.user_id is None

    async def test_a_row_whose_key_the_database_counts_is_kept_under_it(self, db: DatabaseManager) -> None:
        hosts = Hosts(db)
        first, second = await hosts.create({"name": "one"}), await hosts.create({"name": "two"})
        for host in (first, second):
            assert await hosts.get_by_id(host.id) == host
        changed = await hosts.update(first.id, {"name": "uno"})
        assert await hosts.get_by_id(first.id) == changed
        assert cache_of(db).get(("hosts", second.id)) is not None

    async def test_a_plan_that_changes_many_rows_is_seen(self, warm: Warm) -> None:
        table = warm.agents.plans.table
        statement = (
            update(table)
            .where(table.c.name_key != bindparam("other"))
            .values(instruction=bindparam("value"), updated_at=table.c.updated_at)
        )
        plan = compile_plan(statement, warm.db.dialect)
        await warm.db.write(lambda executor: executor.change(plan, plan.encode({"other": "grace", "value": "all"})))
        assert await warm.instruction() == "all"

    @pytest.mark.parametrize(
        "statement",
        [
            text("UPDATE agents SET instruction = 'raw'"),
            text("UPDATE agents SET instruction = 'raw' RETURNING id").columns(Agent.__table__.c.id),  # type: ignore[attr-defined]
            update(Agent).values(instruction="raw"),
        ],
        ids=["text", "text with columns", "core"],
    )
    async def test_any_other_statement_is_seen(self, warm: Warm, statement: Any) -> None:
        await warm.db.write(lambda executor: executor.execute(statement).close())
        assert await warm.instruction() == "raw"


class TestTriggers:
    CHANGES_AGENTS = """
        CREATE TRIGGER follow AFTER UPDATE ON tools BEGIN UPDATE agents SET instruction = NEW.description; END
    """

    async def test_what_a_trigger_changes_is_seen(self, open_database: OpenDatabase, db: DatabaseManager) -> None:
        await db.write(sql(self.CHANGES_AGENTS))
        warm = await Warm(await open_database()).fill()
        await warm.tools.update(warm.tool.id, {"description": "triggered"})
        assert await warm.instruction() == "triggered"

    async def test_a_trigger_that_was_made_while_connected_is_known(self, warm: Warm) -> None:
        await warm.db.write(sql(self.CHANGES_AGENTS))
        await warm.read()
        await warm.tools.update(warm.tool.id, {"description": "triggered"})
        assert await warm.instruction() == "triggered"

    async def test_a_trigger_that_another_process_has_made_is_known(
        self, warm: Warm, other_process: OtherProcess
    ) -> None:
        await other_process.run(self.CHANGES_AGENTS)
        await warm.read()
        await warm.tools.update(warm.tool.id, {"description": "triggered"})
        assert await warm.instruction() == "triggered"

    async def test_a_trigger_that_a_trigger_sets_off_is_known(self, warm: Warm) -> None:
        await warm.db.write(sql("CREATE TRIGGER a AFTER UPDATE ON hosts BEGIN UPDATE Tools SET description = 'a'; END"))
        await warm.db.write(sql(self.CHANGES_AGENTS))
        hosts = Hosts(warm.db)
        host = await hosts.create({"name": "one"})
        await warm.read()
        await hosts.update(host.id, {"name": "uno"})
        assert await warm.instruction() == "a"


class TestTransactions:
    async def test_a_transaction_reads_what_it_has_written_itself(self, warm: Warm) -> None:
        async with warm.db.transaction():
            await warm.agents.update(warm.ada.id, {"instruction": "mine"})
            assert await warm.instruction() == "mine"
            assert await warm.agents.delete(warm.grace.id)
            assert await warm.agents.get_by_id(warm.grace.id) is None

    async def test_others_read_what_was_committed_before(self, warm: Warm) -> None:
        has_written, has_read = asyncio.Event(), asyncio.Event()

        async def read_beside() -> str | None:
            await has_written.wait()
            instruction = await warm.instruction()
            has_read.set()
            return instruction

        reader = asyncio.create_task(read_beside())
        async with warm.db.transaction():
            await warm.agents.update(warm.ada.id, {"instruction": "mine"})
            has_written.set()
            await has_read.wait()
        assert await reader == warm.ada.instruction
        assert await warm.instruction() == "mine"

    async def test_a_transaction_fills_nothing_in(self, db: DatabaseManager) -> None:
        agents = Agents(db)
        async with db.transaction():
            agent = await agents.create({"name": "Ada"})
            assert await agents.get_by_id(agent.id)
        assert len(cache_of(db)) == 0

    async def test_nothing_of_a_rolled_back_transaction_is_seen(self, warm: Warm) -> None:
        with pytest.raises(ConflictError):
            await self.fail_in_a_transaction(warm)
        assert await warm.instruction() == warm.ada.instruction
        assert await warm.cached() == {"Ada", "Grace", "search"}

    async def fail_in_a_transaction(self, warm: Warm) -> None:
        async with warm.db.transaction():
            await warm.agents.update(warm.ada.id, {"instruction": "lost"})
            raise ConflictError

    async def test_what_a_transaction_commits_is_seen(self, warm: Warm) -> None:
        async with warm.db.transaction():
            await warm.agents.update(warm.ada.id, {"instruction": "new"})
        assert await warm.cached() == set()
        assert await warm.instruction() == "new"

    async def test_a_group_right_after_a_transaction_adopts_nothing_of_it(self, warm: Warm) -> None:
        async with warm.db.transaction():
            await warm.agents.update(warm.ada.id, {"instruction": "new"})
        await warm.agents.update(warm.grace.id, {"instruction": "other"})
        assert await warm.cached() == set()
        assert await warm.instruction() == "new"

    async def test_what_a_session_commits_is_seen(self, warm: Warm) -> None:
        async with warm.db.session() as session:
            await session.merge(Agent(id=warm.ada.id, name="Ada", instruction="session"))
            await session.commit()
        assert await warm.instruction() == "session"


class TestOtherProcesses:
    async def test_what_another_process_commits_is_seen(self, warm: Warm, other_process: OtherProcess) -> None:
        for number in range(20):
            await other_process.run(f"UPDATE agents SET instruction = '{number}'")
            assert await warm.instruction() == str(number)

    async def test_what_another_process_has_not_committed_is_not_seen(
        self, warm: Warm, other_process: OtherProcess
    ) -> None:
        await other_process.run("BEGIN IMMEDIATE")
        await other_process.run("UPDATE agents SET instruction = 'lost'")
        assert await warm.instruction() == warm.ada.instruction
        await other_process.run("ROLLBACK")
        assert await warm.instruction() == warm.ada.instruction
        assert await warm.cached() == {"Ada", "Grace", "search"}

    async def test_own_and_foreign_commits_in_turn_are_all_seen(self, warm: Warm, other_process: OtherProcess) -> None:
        for number in range(10):
            await other_process.run(f"UPDATE agents SET instruction = '{number}'")
            await warm.tools.update(warm.tool.id, {"description": str(number)})
            assert await warm.instruction() == str(number)

    async def test_a_truncated_log_confuses_nobody(self, warm: Warm, other_process: OtherProcess) -> None:
        for number in range(3):
            assert (await other_process.run("PRAGMA wal_checkpoint(TRUNCATE)"))[0][0] == 0
            assert await warm.instruction() == warm.ada.instruction
            await other_process.run(f"UPDATE agents SET instruction = '{number}'")
            assert await warm.instruction() == str(number)
            await warm.agents.update(warm.ada.id, {"instruction": warm.ada.instruction})

    async def test_the_end_of_another_process_confuses_nobody(self, warm: Warm, other_process: OtherProcess) -> None:
        await other_process.run("UPDATE agents SET instruction = 'new'")
        await other_process.close()
        assert await warm.instruction() == "new"
        await warm.agents.update(warm.ada.id, {"instruction": "newer"})
        assert await warm.instruction() == "newer"

    async def test_a_process_that_is_killed_in_its_transaction_leaves_nothing(
        self, warm: Warm, other_process: OtherProcess
    ) -> None:
        await other_process.run("PRAGMA cache_size = 1")
        await other_process.run("BEGIN IMMEDIATE")
        await other_process.run("UPDATE agents SET instruction = 'lost', description = hex(zeroblob(20000))")
        await other_process.stop()
        assert await warm.instruction() == warm.ada.instruction
        await warm.agents.update(warm.ada.id, {"instruction": "new"})
        assert await warm.instruction() == "new"

    async def test_another_manager_in_this_process_is_another_process_to_it(
        self, warm: Warm, open_database: OpenDatabase
    ) -> None:
        other = Agents(await open_database())
        for number in range(5):
            await other.update(warm.ada.id, {"instruction": f"other {number}"})
            assert await warm.instruction() == f"other {number}"
            await warm.agents.update(warm.ada.id, {"instruction": f"own {number}"})
            found = await other.get_by_id(warm.ada.id)
            assert found is not None
            assert found.instruction == f"own {number}"


class TestSwitches:
    async def test_without_a_size_there_is_no_cache(self, open_database: OpenDatabase) -> None:
        db = await open_database(hot_cache_size=0)
        agents = Agents(db)
        agent = await agents.create({"name": "Ada"})
        for _ in range(2):
            assert await agents.get_by_id(agent.id) == agent
        health = await db.health()
        assert (health.hot_cache_size, health.hot_cache_hits, health.hot_cache_misses) == (0, 0, 0)

    async def test_a_table_that_is_not_hot_is_not_cached(self, db: DatabaseManager) -> None:
        agents = ColdAgents(db)
        agent = await agents.create({"name": "Ada"})
        for _ in range(2):
            assert await agents.get_by_id(agent.id) == agent
        health = await db.health()
        assert (health.hot_cache_size, health.hot_cache_hits, health.hot_cache_misses) == (0, 0, 0)

    async def test_a_write_through_a_cold_manager_is_seen_by_a_hot_one(self, warm: Warm) -> None:
        await ColdAgents(warm.db).update(warm.ada.id, {"instruction": "cold"})
        assert await warm.instruction() == "cold"

    async def test_it_never_holds_more_than_its_size(self, open_database: OpenDatabase) -> None:
        db = await open_database(hot_cache_size=10)
        agents = Agents(db)
        for agent in await agents.create_many([{"name": f"agent {number}"} for number in range(50)]):
            await agents.get_by_id(agent.id)
            assert (await db.health()).hot_cache_size <= 10

    async def test_it_works_without_inline_reads(self, open_database: OpenDatabase) -> None:
        warm = await Warm(await open_database(inline_reads=False)).fill()
        await warm.agents.update(warm.ada.id, {"instruction": "new"})
        assert await warm.instruction() == "new"
        assert await warm.cached() == {"Ada", "Grace", "search"}

    async def test_its_figures_are_part_of_the_health(self, agents: Agents, db: DatabaseManager) -> None:
        agent = await agents.create({"name": "Ada"})
        for _ in range(4):
            await agents.get_by_id(agent.id)
        health = await db.health()
        assert (health.hot_cache_size, health.hot_cache_hits, health.hot_cache_misses) == (1, 3, 1)

    async def test_that_a_row_is_not_there_is_not_cached(self, agents: Agents, other_process: OtherProcess) -> None:
        agent = await agents.create({"name": "Ada"})
        await agents.delete(agent.id)
        assert await agents.get_by_id(agent.id) is None
        await other_process.run(f"INSERT INTO agents (id, name, name_key) VALUES ('{agent.id}', 'Ada', 'ada')")
        assert await agents.get_by_id(agent.id) is not None

    async def test_instances_of_one_cached_row_are_not_one_object(self, agents: Agents) -> None:
        agent = await agents.create({"name": "Ada", "capabilities": ["search"]})
        first, second = await agents.get_by_id(agent.id), await agents.get_by_id(agent.id)
        assert first is not None
        first.capabilities.append("changed")
        first.name = "changed"
        assert second == agent
        assert await agents.get_by_id(agent.id) == agent

    async def test_it_keeps_no_instances(self, warm: Warm) -> None:
        await warm.read()
        entries = [entry for rows in cache_of(warm.db)._tables.values() for entry in rows.values()]
        assert {type(entry.row) for entry in entries} == {tuple}
        moulds = [entry.mould for entry in entries if entry.mould is not None]
        assert len(moulds) == 3
        assert not any(isinstance(kept, SQLModel) for mould in moulds for kept in gc.get_referents(mould, mould.values))

    async def test_ids_that_are_forgotten_are_looked_up_all_the_same(
        self, warm: Warm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("agent_system.managers.core.keys.REMEMBERED_IDS", 2)
        agents = [await warm.agents.create({"name": f"agent {number}"}) for number in range(5)]
        for _ in range(2):
            assert [await warm.agents.get_by_id(agent.id) for agent in agents] == agents

    async def test_hits_let_the_other_tasks_have_their_turn(self, warm: Warm) -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        for _ in range(10 * READS_BETWEEN_YIELDS):
            await warm.agents.get_by_id(warm.ada.id)
        other.cancel()
        assert turns >= 10

    async def test_what_it_has_is_not_given_after_disconnect(self, open_database: OpenDatabase) -> None:
        warm = await Warm(await open_database()).fill()
        await warm.read()
        await warm.db.disconnect()
        with pytest.raises(NotConnectedError):
            await warm.agents.get_by_id(warm.ada.id)

    async def test_a_lookup_that_is_under_way_at_disconnect_ends_well(self, open_database: OpenDatabase) -> None:
        db = await open_database(inline_reads=False)
        agents = Agents(db)
        agent = await agents.create({"name": "Ada"})
        lookup = asyncio.create_task(agents.get_by_id(agent.id))
        await asyncio.sleep(0)
        await db.disconnect()
        assert await lookup == agent
