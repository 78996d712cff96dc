"""What the five systems behind the seeds remember: one test for each line of their merged list of operations.

Search, workers, importers and backups have acceptance tests of their own; the bugs of those systems are in
test_seed_bugs.py.
"""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system import EntityManager
from agent_system.errors import (
    AgentSystemError,
    AuthenticationError,
    BudgetExceededError,
    ConflictError,
    DuplicateKeyError,
    LeaseLostError,
    TransitionError,
    ValidationError,
)
from agent_system.managers.ledger.usage import Usage
from tests.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system import DatabaseManager
    from agent_system.models import Agent, Task

NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def em(database: DatabaseManager, clock: Callable[[], datetime]) -> EntityManager:
    return EntityManager(database, clock=clock)


async def an_agent(em: EntityManager, name: str = "researcher", **values: Any) -> Agent:
    return await em.agents.create({"name": name, "instruction": "Find sources.", **values})


async def a_task(em: EntityManager, **values: Any) -> Task:
    agent = await em.agents.get_by_name("worker") or await an_agent(em, "worker")
    return await em.tasks.create({"agent_id": agent.id, "instruction": "Do it.", **values})


class TestConnectionsAndSchema:
    async def test_a_transaction_of_several_managers_is_one_and_may_be_nested(self, em: EntityManager) -> None:
        async def fail_inside() -> None:
            async with em.db.transaction():
                await an_agent(em, "outer")
                async with em.db.transaction():
                    await em.conversations.create({"title": "inner"})
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fail_inside()
        assert (await em.agents.count(), await em.conversations.count()) == (0, 0)

    async def test_what_every_installation_needs_is_there_once(self, em: EntityManager) -> None:
        first = await em.flags.count()
        await em.flags.seed_defaults()
        seeded = await em.flags.count()
        assert await em.flags.seed_defaults() == 0
        assert await em.flags.count() == seeded >= first
        priced = {price.model_id for price in await em.model_prices.find()}
        assert priced <= {model.id for model in await em.models.find()}

    async def test_health_has_the_six_figures_and_what_waits(self, em: EntityManager) -> None:
        await em.queue.enqueue("code", {})
        health = await em.health()
        assert (health.cold_storage_connected, health.queue_backlog) == (True, 1)
        assert health.last_sync_time is not None
        assert health.disk_usage > 0
        figures = (health.hot_cache_size, health.write_queue_depth, health.wal_file_size)
        assert all(figure >= 0 for figure in figures)

    async def test_agents_ask_in_sql_and_change_nothing(self, em: EntityManager) -> None:
        await an_agent(em)
        result = await em.query("SELECT name FROM agents WHERE name = :name", {"name": "researcher"}, limit=5)
        assert [list(row.values()) for row in result.rows] == [["researcher"]]
        with pytest.raises(AgentSystemError):
            await em.query("DELETE FROM agents")
        assert await em.agents.count() == 1


class TestTokenUsageAndCost:
    async def test_projects_hosts_and_models_are_made_once_however_many_ask(self, em: EntityManager) -> None:
        await em.models.seed_defaults()
        calls = [
            em.token_usage.log_usage(project="shop", host="newcomer", model="m-1", input_tokens=n, output_tokens=1)
            for n in range(64)
        ]
        await asyncio.gather(*calls)
        assert (await em.projects.count(name="shop"), await em.hosts.count(name="newcomer")) == (1, 1)
        assert await em.models.count(name="m-1") == 1
        summary = await em.token_usage.summary(project="shop")
        assert (summary.requests, summary.input_tokens, summary.unpriced) == (64, sum(range(64)), 64)

    async def test_prices_are_looked_up_and_cache_tokens_cost_their_own(self, em: EntityManager) -> None:
        await em.models.ensure("claude", "anthropic")
        await em.models.set_price(
            "claude", "anthropic", input_usd_per_million=3, output_usd_per_million=15, cache_read_usd_per_million="0.3"
        )
        usage = Usage.from_anthropic({"input_tokens": 1_000, "cache_read_input_tokens": 9_000, "output_tokens": 100})
        logged = await em.token_usage.log_usage(host="anthropic", model="claude", usage=usage)
        assert logged.cost_nano_usd == 1_000 * 3_000 + 9_000 * 300 + 100 * 15_000
        assert logged.input_tokens == 10_000

    async def test_a_request_keeps_its_time_its_success_and_its_error(self, em: EntityManager) -> None:
        with pytest.raises(ConnectionError):
            async with em.token_usage.track(model="m", host="h"):
                raise ConnectionError
        (row,) = await em.token_usage.find()
        assert (row.success, row.error_type, row.response_time_ms is not None) == (False, "ConnectionError", True)

    async def test_the_summary_has_filters(self, em: EntityManager) -> None:
        for day in range(3):
            await em.token_usage.log_usage(
                project="p", model="m", host="h", user_id=f"u{day % 2}", input_tokens=10, timestamp=NOW - day * DAY
            )
        since, until = NOW - 2 * DAY, NOW
        # Half-open: the first moment counts, the last does not.
        assert (await em.token_usage.summary(since=since, until=until)).requests == 2
        assert (await em.token_usage.summary(user_id="u0", project="p")).requests == 2
        assert (await em.token_usage.summary(model="other")).requests == 0

    async def test_it_is_broken_down_by_everything(self, em: EntityManager) -> None:
        for number, role in enumerate(("user", "tool")):
            await em.token_usage.log_usage(
                project=f"p{number}", model="m", host="h", role=role, user_id="u", input_tokens=10, cost_usd="0.5"
            )
        usage = em.token_usage
        assert len(await usage.by_project()) == len(await usage.by_role()) == 2
        assert [(row.host, row.model, row.summary.requests) for row in await usage.by_model()] == [("h", "m", 2)]
        assert len(await usage.by_host()) == len(await usage.by_user()) == len(await usage.by_day()) == 1
        (spender,) = await usage.top_spenders(1)
        assert (spender.user_id, spender.summary.cost_nano_usd) == ("u", 10**9)
        most_used = await usage.most_used_model()
        assert most_used is not None
        assert most_used.model == "m"

    async def test_calls_are_logged_in_batches_in_blocks_and_by_decoration(self, em: EntityManager) -> None:
        async with em.token_usage.batch(model="m", host="h") as batch:
            for _ in range(3):
                batch.add(input_tokens=5, output_tokens=1)
        async with em.token_usage.track(model="m", host="h") as call:
            call.set(input_tokens=7)

        @em.token_usage.tracked(lambda answer: Usage(input_tokens=answer, output_tokens=0), model="m", host="h")
        async def ask() -> int:
            return 9

        assert await ask() == 9
        assert (await em.token_usage.summary()).input_tokens == 15 + 7 + 9

    async def test_the_ledger_is_exported(self, em: EntityManager) -> None:
        await em.token_usage.log_usage(project="p", model="m", host="h", input_tokens=1, output_tokens=2)
        text = "".join([part async for part in em.token_usage.export("csv")])
        (row,) = csv.DictReader(io.StringIO(text))
        assert (row["project"], row["model"], row["input_tokens"]) == ("p", "m", "1")

    async def test_credits_are_watched_and_alert_once(self, em: EntityManager, clock: Clock) -> None:
        await em.credits.record(credits_remaining=40.0, credits_used=10.0)
        clock.now += DAY
        for _ in range(3):
            await em.credits.record(credits_remaining=4.0, credits_used=46.0)
        (alert,) = await em.alerts.active()
        assert (alert.alert_type, alert.severity) == ("low_balance", "critical")
        assert await em.credits.burn_rate() == pytest.approx(36.0)
        assert await em.credits.days_left() == pytest.approx(4 / 36)
        assert await em.alerts.acknowledge("low_balance") == 1
        assert await em.alerts.active() == []

    async def test_budgets_are_never_passed(self, em: EntityManager) -> None:
        await em.budgets.set_limit(1_000, scope="user", key="u", period="day")
        answers = await asyncio.gather(
            *(em.budgets.reserve(100, user_id="u") for _ in range(100)), return_exceptions=True
        )
        assert sum(isinstance(answer, BudgetExceededError) for answer in answers) == 90


class TestLinks:
    async def test_a_link_is_normalised_kept_and_analysed_again_after_an_error(self, em: EntityManager) -> None:
        async def fail(_url: str) -> Any:
            raise ValueError("no page")

        async def succeed(_url: str) -> Any:
            return {"title": "Page", "main_topic": "news"}

        with pytest.raises(ValueError, match="no page"):
            await em.links.store_with_analysis("HTTP://Example.COM:80/a?utm_source=x#top", fail)
        failed = await em.links.get_by_url("http://example.com/a")
        assert failed is not None
        assert failed.analysis_status == "error"
        stored = await em.links.store_with_analysis("http://example.com/a", succeed)
        assert (stored.id, stored.created_at, stored.analysis_status) == (failed.id, failed.created_at, "success")
        # Not analysed a second time.
        assert (await em.links.store_with_analysis("http://example.com/a", fail)).analysis_status == "success"
        assert not em.links.validate("not a link")
        assert em.links.extract_urls("see https://a.example/x and http://b.example.") == [
            "https://a.example/x",
            "http://b.example",
        ]

    async def test_links_are_found_counted_and_cleaned_up(self, em: EntityManager, clock: Clock) -> None:
        for number in range(3):
            clock.now = NOW - number * 10 * DAY
            await em.links.save(f"https://example.com/{number}", title=f"Page {number}")
        clock.now = NOW
        assert len(await em.links.by_domain("example.com")) == len(await em.links.search("page")) == 3
        assert len(await em.links.recent(days=15)) == 2
        assert await em.links.search("100%_") == []
        assert sum((await em.links.status_counts()).values()) == 3
        assert await em.links.clean_up(timedelta(days=15)) == 1


class TestTasksPromisesAndQueues:
    async def test_a_task_has_priority_metadata_owner_and_workspace(self, em: EntityManager) -> None:
        workspace = await em.workspaces.create({"name": "home"})
        task = await a_task(em, priority=7, metadata={"k": 1}, workspace_id=workspace.id)
        assert (task.status, task.priority, task.meta, task.workspace_id) == ("pending", 7, {"k": 1}, workspace.id)

    async def test_a_job_is_claimed_by_one_worker_in_order_and_when_due(self, em: EntityManager, clock: Clock) -> None:
        late = await em.queue.enqueue("a", {}, priority=9, delay=60)
        low = await em.queue.enqueue("a", {}, priority=1)
        high = await em.queue.enqueue("a", {}, priority=9)
        claims = await asyncio.gather(*(em.queue.claim(1, lease_seconds=30) for _ in range(8)))
        assert [job.id for claim in claims for job in claim] == [high.id, low.id]
        (first,) = claims[0]
        clock.now += timedelta(seconds=61)
        assert {job.id for job in await em.queue.claim(8)} == {late.id, low.id, high.id}
        with pytest.raises(LeaseLostError):
            await em.queue.complete(first)

    async def test_a_status_follows_only_an_allowed_one(self, em: EntityManager, clock: Clock) -> None:
        task = await a_task(em)
        running = await em.tasks.update(task.id, {"status": "running"})
        clock.now += timedelta(seconds=5)
        done = await em.tasks.set_result(task.id, "42")
        assert (running.started_at, done.completed_at, done.status) == (NOW, clock.now, "completed")
        with pytest.raises(TransitionError):
            await em.tasks.update(task.id, {"status": "running"})

    async def test_a_job_is_retried_later_and_in_the_end_a_dead_letter(self, em: EntityManager, clock: Clock) -> None:
        await em.queue.enqueue("a", {}, max_retries=1)
        (job,) = await em.queue.claim()
        await em.queue.fail(job, "first", delay_seconds=10)
        assert await em.queue.claim() == []
        clock.now += timedelta(seconds=11)
        (job,) = await em.queue.claim()
        await em.queue.fail(job, "second")
        (dead,) = (await em.queue.dead_letters()).items
        assert (dead.id, dead.error_message) == (job.id, "second")
        assert await em.queue.redrive() == 1

    async def test_work_is_cancelled_stopped_held_and_resumed(self, em: EntityManager) -> None:
        held, stopped, cancelled = [await a_task(em) for _ in range(3)]
        assert (await em.tasks.hold(held.id, "wait")).status == "on_hold"
        assert (await em.tasks.resume(held.id)).status in {"pending", "queued"}
        await em.tasks.update(stopped.id, {"status": "running"})
        assert (await em.tasks.stop(stopped.id)).status == "stopped"
        assert (await em.tasks.cancel(cancelled.id)).status == "cancelled"

    async def test_dependencies_have_no_cycle_and_failure_goes_on(self, em: EntityManager) -> None:
        first, second, third = [await a_task(em) for _ in range(3)]
        await em.tasks.add_dependency(second.id, first.id)
        await em.tasks.add_dependency(third.id, second.id)
        with pytest.raises(ValidationError):
            await em.tasks.add_dependency(first.id, third.id)
        await em.tasks.update(first.id, {"status": "running"})
        await em.tasks.set_error(first.id, "broken")
        assert [(await em.tasks.require(task.id)).status for task in (second, third)] == ["failed", "failed"]

    async def test_tasks_are_trees(self, em: EntityManager) -> None:
        root = await a_task(em)
        child = await em.tasks.add_subtask(root.id, {"instruction": "part"})
        await em.tasks.add_subtask(child.id, {"instruction": "part of the part"})
        assert child.tree_id == root.tree_id
        assert len(await em.tasks.descendants(root.id)) == 2
        assert next(node.task.id for node in await em.tasks.tree(root.id)) == root.id
        assert (await a_task(em)).tree_id != root.tree_id

    async def test_interrupted_work_is_found_and_marked(self, em: EntityManager) -> None:
        task = await a_task(em)
        await em.tasks.update(task.id, {"status": "running"})
        (found,) = await em.tasks.recover_interrupted()
        assert (found.id, found.status) == (task.id, "stopped")

    async def test_activities_are_appended_and_none_is_lost(self, em: EntityManager) -> None:
        task = await a_task(em)
        await asyncio.gather(*(em.tasks.add_activity(task.id, f"{number}") for number in range(100)))
        activities = (await em.tasks.activities(task.id, limit=500)).items
        assert {str(number) for number in range(100)} <= {activity.message for activity in activities}
        assert (await em.tasks.update_phase(task.id, "planning", phase_number=2)).phase_number == 2

    async def test_finished_jobs_are_deleted_after_a_while(self, em: EntityManager, clock: Clock) -> None:
        await em.queue.enqueue("a", {})
        (job,) = await em.queue.claim()
        await em.queue.complete(job, {"done": True})
        assert await em.queue.purge(7 * DAY) == 0
        clock.now += 8 * DAY
        assert await em.queue.purge(7 * DAY) == 1

    async def test_parallel_and_dependent_promises_are_counted(self, em: EntityManager) -> None:
        await em.promises.make_parallel(7, 1, [{"task_description": "a"}, {"task_description": "b"}])
        steps = {"first": {"task_description": "c"}, "then": {"task_description": "d", "depends_on": ["first"]}}
        made = await em.promises.make_dependent(7, 1, steps)
        assert made["then"].status == "waiting"
        await em.promises.start(made["first"].id)
        await em.promises.complete(made["first"].id, "done")
        assert (await em.promises.require(made["then"].id)).status == "pending"
        assert (await em.promises.statistics()).by_status["completed"].count == 1

    async def test_missed_messages_wait_while_a_chat_is_offline(self, em: EntityManager) -> None:
        await em.chat_states.mark_offline(7)
        await em.chat_states.queue_missed(7, 11, "are you there?", sender="ada")
        await em.chat_states.queue_missed(7, 11, "are you there?", sender="ada")
        assert len((await em.chat_states.pending_missed(7)).items) == 1

    async def test_statistics_tell_what_tasks_come_to(self, em: EntityManager) -> None:
        done, failed = [await a_task(em) for _ in range(2)]
        for task in (done, failed):
            await em.tasks.update(task.id, {"status": "running"})
        await em.tasks.set_result(done.id, "42")
        await em.tasks.set_error(failed.id, "no")
        statistics = await em.tasks.statistics()
        assert (statistics.by_status["completed"], statistics.by_status["failed"]) == (1, 1)
        assert statistics.success_rate == 0.5

    async def test_what_waits_too_long_fails(self, em: EntityManager, clock: Clock) -> None:
        task = await a_task(em)
        clock.now = datetime.now(UTC) + 2 * DAY
        assert [stale.id for stale in await em.tasks.fail_stale_pending(DAY)] == [task.id]


class TestToolsAndAgents:
    async def test_a_tool_registry_counts_executions(self, em: EntityManager) -> None:
        tool = await em.tools.create({"name": "web_search", "category": "web", "implementation": "search.py"})
        await asyncio.gather(*(em.tools.record_execution(tool.id, number % 4 > 0, 10.0) for number in range(64)))
        counted = await em.tools.require(tool.id)
        assert (counted.execution_count, counted.success_count, counted.failure_count) == (64, 48, 16)
        assert [found.id for found in await em.tools.find_by_category("web")] == [tool.id]

    async def test_agents_are_found_with_their_tools(self, em: EntityManager) -> None:
        tool = await em.tools.create({"name": "web_search"})
        agent = await an_agent(em, capabilities=["web_search"], configuration={"model": {"name": "a", "top": 1}})
        await em.agents.add_tool(agent.id, tool.id)
        (found,) = await em.agents.find_by_capability_with_tools(capability="web_search", include_tools=True)
        assert [each.name for each in found.tools] == ["web_search"]
        merged = await em.agents.update_configuration(agent.id, {"model": {"name": "b"}})
        assert merged.configuration == {"model": {"name": "b", "top": 1}}
        assert (await em.agents.set_status(agent.id, "coding")).status == "coding"

    async def test_a_tool_is_lent_for_a_time_and_taken_back(self, em: EntityManager, clock: Clock) -> None:
        task = await a_task(em)
        await em.tools.assign(task.id, "shell", duration_seconds=60)
        assert await em.agents.may_use_tool(task.agent_id, "shell", task.id)
        clock.now += timedelta(seconds=61)
        assert not await em.agents.may_use_tool(task.agent_id, "shell", task.id)
        await em.tools.assign(task.id, "shell")
        assert await em.tools.revoke(task.id, "shell")
        # Lent again after it was taken back.
        await em.tools.assign(task.id, "shell")

    async def test_a_tool_call_is_there_before_it_runs_and_has_no_secrets(self, em: EntityManager) -> None:
        task = await a_task(em)
        await em.tool_usage.start("call-1", "shell", {"env": {"API_KEY": "s3cr3t-marker"}}, task_id=task.id)
        (running,) = await em.tool_usage.in_progress()
        assert "s3cr3t-marker" not in str(running.parameters)
        for _ in range(2):
            await em.tool_usage.finish("call-1", result="done")
        with pytest.raises(TimeoutError):
            async with em.tool_usage.recording("web", task_id=task.id):
                raise TimeoutError
        by_tool = {row.tool_name: row for row in await em.tool_usage.statistics()}
        assert by_tool.keys() == {"shell", "web"}
        assert await em.tool_usage.in_progress() == []
        assert len((await em.dashboard.timeline(task.id)).items) >= 2

    async def test_an_agents_states_are_a_history(self, em: EntityManager) -> None:
        task = await a_task(em)
        for status in ("thinking", "coding", "coding"):
            await em.agent_status.record(status, task_id=task.id)
        assert len((await em.agent_status.history()).items) == 3
        assert (await em.agent_status.summary()).by_status == {"thinking": 1, "coding": 2}

    async def test_files_are_indexed_and_no_access_is_lost(self, em: EntityManager) -> None:
        task = await a_task(em)
        accesses = (em.files.record("/src/a.py", "read", task_id=task.id) for _ in range(64))
        await asyncio.gather(*accesses)
        file = await em.files.get_by_path("/src/a.py")
        assert file is not None
        assert file.access_count == 64
        assert len(await em.files.of_task(task.id)) == 1
        assert [found.file_path for found in (await em.files.most_accessed()).items] == ["/src/a.py"]

    async def test_the_dashboard_is_one_snapshot(self, em: EntityManager) -> None:
        await em.tool_usage.start("call-1", "shell", {}, session_uuid="s-1")
        await em.tool_usage.finish("call-1", error="permission denied")
        snapshot = await em.dashboard.snapshot()
        assert [call.call_id for call in snapshot.errors] == ["call-1"]


class TestEntitiesEventsDocumentsAndProcesses:
    async def test_six_types_are_reached_by_their_names(self, em: EntityManager) -> None:
        agent = await em.create("agent", {"name": "one"})
        document = await em.create("document", {"name": "guide", "content": "text"})
        await em.relations.connect(("agent", agent.id), "uses", ("document", document.id), strength=0.5)
        assert [found.id for found in await em.related("agent", agent.id)] == [document.id]
        assert [found.id for found in await em.search("agent", "ON")] == [agent.id]
        assert (await em.update("agent", agent.id, {"description": "x"})).version == 2
        assert await em.delete("document", document.id)
        assert await em.related("agent", agent.id) == []

    async def test_every_change_leaves_an_event_and_chains_are_followed(self, em: EntityManager) -> None:
        cause = await em.events.log("run.started", outcome="success")
        with em.events.context(actor="ada", parent=cause):
            agent = await an_agent(em)
        (event,) = await em.events.for_entity("agent", agent.id)
        assert (event.event_type, event.actor, event.parent_event_id) == ("agent.created", "ada", cause.id)
        assert [each.id for each in await em.events.chain(cause.id)] == [cause.id, event.id]

    async def test_documents_keep_their_versions(self, em: EntityManager) -> None:
        document = await em.context_documents.create({"name": "guide", "content": "one", "tags": ["a"]})
        await em.context_documents.update_content(document.id, "two", author="ada", reason="better")
        first = await em.context_documents.version(document.id, 1)
        assert first is not None
        assert first.content == "one"
        assert (await em.context_documents.restore_version(document.id, 1)).content == "one"
        assert (await em.context_documents.clone(document.id, "copy")).content == "one"
        assert {found.name for found in await em.context_documents.find_by_tag("a")} == {"copy", "guide"}

    async def test_documents_on_disk_are_indexed_archived_and_restored(self, em: EntityManager) -> None:
        document = await em.documents.register("/docs/plan.md")
        assert (await em.documents.register("/docs/plan.md")).id == document.id
        assert (await em.documents.archive(document.id, "old")).status == "archived"
        assert (await em.documents.restore(document.id)).status == "active"

    async def test_a_review_is_due_at_its_threshold_once(self, em: EntityManager) -> None:
        agent = await an_agent(em)
        await em.reviews.ensure("agent", agent.id, threshold=64)
        triggers = await asyncio.gather(*(em.reviews.increment("agent", agent.id) for _ in range(64)))
        assert sum(trigger.needs_review for trigger in triggers) == 1

    async def test_processes_have_runs_with_a_state(self, em: EntityManager) -> None:
        process = await em.processes.create(
            {"name": "review", "process_type": "work", "triggers": ["push"], "rollback_steps": [{"undo": 1}]}
        )
        assert [found.id for found in await em.processes.find_by_trigger("push")] == [process.id]
        assert [found.id for found in await em.processes.find_rollback_capable()] == [process.id]
        run = await em.process_instances.start(process.id, {"branch": "main"})
        await em.process_instances.advance(run.id, "second", {"seen": 1})
        assert (await em.process_instances.complete(run.id, {"ok": True})).status == "completed"

    async def test_entities_are_related_once_each_way(self, em: EntityManager) -> None:
        agent, document = await an_agent(em), await em.context_documents.create({"name": "guide", "content": "Read."})
        for _ in range(2):
            await em.relations.connect(("agent", agent.id), "references", ("context_document", document.id))
        assert [item.id for item in await em.related("agent", agent.id, "references")] == [document.id]
        assert await em.relations.count() == 1

    async def test_knowledge_gaps_are_found_once_and_closed(self, em: EntityManager) -> None:
        gaps = [await em.knowledge_gaps.record("deployment", "nobody knows") for _ in range(2)]
        assert gaps[0].id == gaps[1].id
        await em.knowledge_gaps.resolve(gaps[0].id, resolution="written down")
        assert await em.knowledge_gaps.find_open() == []

    async def test_a_person_answers_what_matters_most_first(self, em: EntityManager) -> None:
        low, high = [
            await em.messages.create({"role": "agent", "content": text, "priority": rank, "requires_response": True})
            for text, rank in (("low", 1), ("high", 10))
        ]
        assert [message.id for message in await em.messages.pending_responses()] == [high.id, low.id]
        await em.messages.respond(high.id, "yes")
        assert [message.id for message in await em.messages.pending_responses()] == [low.id]


class TestMemoryAndPrompts:
    async def test_memories_have_importance_tags_context_pin_and_expiry(self, em: EntityManager, clock: Clock) -> None:
        kept = await em.memories.remember("ada", "likes tea", importance=8, tags=["food"], context="chat")
        await em.memories.remember("ada", "meeting at noon", expires_at=NOW + timedelta(hours=1))
        await em.memories.pin(kept.id)
        with pytest.raises(ValidationError):
            await em.memories.remember("ada", "x", importance=11)
        clock.now += timedelta(hours=2)
        assert await em.memories.sweep() == 1
        assert [memory.id for memory in await em.memories.find_by_tags(["food"], user_id="ada")] == [kept.id]

    async def test_recalls_are_counted(self, em: EntityManager) -> None:
        memory = await em.memories.remember("ada", "likes tea")
        await asyncio.gather(*(em.memories.recalled([memory.id]) for _ in range(64)))
        (most,) = await em.memories.most_recalled(1, user_id="ada")
        assert (most.id, most.recall_count) == (memory.id, 64)
        assert (await em.memories.statistics(user_id="ada")).total == 1

    async def test_memories_are_merged_without_loss(self, em: EntityManager) -> None:
        one = await em.memories.remember("ada", "likes green tea", tags=["tea"])
        two = await em.memories.remember("ada", "drinks it at noon", tags=["noon"])
        merged = await em.memories.merge([one.id, two.id])
        assert "green tea" in merged.content
        assert "at noon" in merged.content
        assert set(merged.tags) == {"tea", "noon"}
        assert (await em.memories.require(one.id)).status != "active"

    async def test_memories_are_found_by_their_words_their_tags_and_their_owner(self, em: EntityManager) -> None:
        kept = await em.memories.remember("ada", "Deploys happen on Fridays.", tags=["work"])
        await em.memories.remember("bob", "Deploys never happen.")
        assert [memory.id for memory in (await em.memories.search("deploys", user_id="ada")).items] == [kept.id]
        assert [memory.id for memory in await em.memories.find_by_tags(["work"], user_id="ada")] == [kept.id]
        assert (await em.memories.search('") OR 1=1 --', user_id="ada")).items == []

    async def test_goals_and_lists_have_a_progress(self, em: EntityManager) -> None:
        goal = await em.goals.set("ada", "Ship it.")
        await em.todos.create_list("release", ["test", "tag"], "ada", goal_id=goal.id)
        await em.todos.complete("release", 1, "ada")
        progress = await em.goals.progress(goal.id)
        assert (progress.completed, progress.items, progress.share) == (1, 2, 0.5)

    async def test_the_same_memory_is_kept_once(self, em: EntityManager) -> None:
        memories = await asyncio.gather(*(em.memories.remember("ada", "likes tea") for _ in range(64)))
        assert len({memory.id for memory in memories}) == 1

    async def test_prompts_keep_every_version_with_author_and_reason(self, em: EntityManager) -> None:
        await em.prompts.create({"name": "greeting", "content": "Hello {{name}}", "category": "chat"})
        await em.prompts.update_content("greeting", "Hi {{name}}", author="ada", reason="shorter")
        await em.prompts.update_content("greeting", "Hi {{name}}", author="ada", reason="the same")
        versions = await em.prompts.versions("greeting")
        assert [version.content for version in sorted(versions, key=lambda each: each.version)] == [
            "Hello {{name}}",
            "Hi {{name}}",
        ]
        back = await em.prompts.rollback("greeting", 1, author="bob", reason="friendlier")
        assert (back.version, back.content) == (3, "Hello {{name}}")
        assert await em.prompts.render("greeting", {"name": "Ada"}) == "Hello Ada"
        await em.prompts.set_label("greeting", "production", 2, by="ada", why="tested")
        labelled = await em.prompts.by_label("greeting", "production")
        assert labelled is not None
        assert labelled.content == "Hi {{name}}"
        assert [(move.to_version, move.moved_by) for move in await em.prompts.label_moves("greeting")] == [(2, "ada")]
        assert "-Hello" in await em.prompts.diff("greeting", 1, 2)
        await em.prompts.deactivate("greeting")
        assert (await em.prompts.list_active()).items == []

    async def test_configuration_is_typed_and_keeps_its_history(self, em: EntityManager) -> None:
        await em.config.set("limit", 5, author="ada")
        await em.config.set("limit", 7, author="bob", reason="more")
        assert await em.config.get("limit") == 7
        assert len(await em.config.history_of("limit")) >= 1
        assert await em.config.get("absent", "default") == "default"
        assert await em.config.substitute("at most {{limit}}") == "at most 7"

    async def test_two_writers_of_one_document_both_survive(self, em: EntityManager) -> None:
        await em.config.set("settings", {"kept": 1})
        await asyncio.gather(*(em.config.merge("settings", {f"key{number}": number}) for number in range(32)))
        assert await em.config.get("settings") == {"kept": 1} | {f"key{number}": number for number in range(32)}

    async def test_a_flag_is_rolled_out_to_the_same_users_every_time(self, em: EntityManager) -> None:
        await em.flags.create({"flag_name": "new_search"})
        await em.flags.enable("new_search", 30)
        chosen = [await em.flags.is_enabled("new_search", f"user {number}") for number in range(200)]
        assert 30 <= sum(chosen) <= 90
        assert chosen == [await em.flags.is_enabled("new_search", f"user {number}") for number in range(200)]
        assert not await em.flags.is_enabled("unknown")

    async def test_capabilities_are_switched(self, em: EntityManager) -> None:
        await em.capabilities.create({"name": "calculator", "config": {"digits": 5}})
        await em.capabilities.disable("calculator", author="ada")
        assert not await em.capabilities.is_enabled("calculator")
        await em.capabilities.merge_config("calculator", {"digits": 9})
        assert (await em.capabilities.enable("calculator")).config == {"digits": 9}


class TestConversationsUsersAndAuth:
    async def test_users_register_log_in_and_change_passwords(self, em: EntityManager, clock: Clock) -> None:
        user = await em.users.register("Ada", "ada@example.com", "correct horse battery")
        with pytest.raises(DuplicateKeyError):
            await em.users.register("ADA", "other@example.com", "correct horse battery")
        clock.now += DAY
        assert (await em.users.login("ada", "correct horse battery")).last_login_at == clock.now
        await em.users.change_password(user.id, "correct horse battery", "another long password")
        await em.users.deactivate(user.id)
        with pytest.raises(AuthenticationError):
            await em.users.login("ada", "another long password")

    async def test_one_person_has_identities_on_several_platforms(self, em: EntityManager) -> None:
        user = await em.users.register("ada", None, "correct horse battery")
        await em.identities.ensure("discord:1", "Ada", discord_id="1")
        await em.memories.remember("discord:1", "likes tea")
        await em.identities.link("discord:1", user.id)
        found = await em.identities.resolve(discord_id="1")
        assert found is not None
        assert found.user_id == user.id
        await em.identities.merge("discord:1", str(user.id))
        assert [memory.content for memory in await em.memories.recent(user_id=str(user.id))] == ["likes tea"]

    async def test_conversations_are_listed_archived_and_deleted_with_their_messages(self, em: EntityManager) -> None:
        conversation = await em.conversations.create({"title": "one"})
        await em.messages.append_many(conversation.id, [{"role": "user", "content": f"{n}"} for n in range(3)])
        (listed,) = (await em.conversations.recent()).items
        assert (listed.message_count, listed.title) == (3, "one")
        await em.conversations.archive(conversation.id)
        assert (await em.conversations.recent()).items == []
        await em.conversations.restore(conversation.id)
        assert await em.conversations.delete(conversation.id)
        assert await em.messages.count() == 0

    async def test_streaming_is_stopped_for_good(self, em: EntityManager) -> None:
        conversation = await em.conversations.create({"title": "one"})
        message = await em.messages.begin(conversation.id, {"role": "assistant"})
        assert await em.messages.append_chunk(message.id, "Hel")
        stopped = await em.messages.stop(message.id)
        assert not await em.messages.append_chunk(message.id, "lo")
        assert (stopped.content, stopped.streaming_state) == ("Hel", "stopped")

    async def test_feedback_is_kept_beside_the_message(self, em: EntityManager) -> None:
        conversation = await em.conversations.create({"title": "one"})
        message = await em.messages.append(conversation.id, {"role": "assistant", "content": "Hi"})
        await asyncio.gather(*(em.message_feedback.give(message.id, "positive", user_id="ada") for _ in range(8)))
        assert len(await em.message_feedback.of(message.id)) == 1

    async def test_channels_and_guilds_tell_what_was_said_last(self, em: EntityManager) -> None:
        for number in range(3):
            await em.messages.create(
                {"role": "user", "content": f"{number}", "channel_id": "c", "guild_id": "g", "user_id": "ada"}
            )
        assert [message.content for message in await em.messages.last_in_channel("c", 2)] == ["1", "2"]
        assert await em.messages.count_in_guild("g", datetime(2020, 1, 1, tzinfo=UTC)) == 3

    async def test_chats_are_analysed(self, em: EntityManager, clock: Clock) -> None:
        for user, model in (("ada", "m"), ("ada", "m"), ("bob", "n")):
            data = {"role": "user", "content": "x", "user_id": user, "model": model, "input_method": "voice"}
            await em.messages.create({**data, "created_at": clock()})
        assert [(one.user_id, one.messages) for one in await em.analytics.active_users()] == [("ada", 2), ("bob", 1)]
        assert {share.name: share.messages for share in await em.analytics.models()} == {"m": 2, "n": 1}
        assert [(share.name, share.messages) for share in await em.analytics.input_methods()] == [("voice", 3)]

    async def test_there_is_one_default_workspace(self, em: EntityManager) -> None:
        user = await em.users.register("ada", None, "correct horse battery")
        spaces = [await em.workspaces.create({"name": f"{n}", "user_id": user.id}) for n in range(8)]
        await asyncio.gather(*(em.workspaces.set_default(space.id) for space in spaces))
        assert await em.workspaces.count(user_id=user.id, is_default=True) == 1

    async def test_games_have_a_leaderboard(self, em: EntityManager) -> None:
        for user, score in (("ada", 5), ("bob", 9)):
            game = await em.games.save(user, "chess", score=score)
            await em.games.end(game.id, score)
        assert [entry.user_id for entry in await em.games.leaderboard("chess")] == ["bob", "ada"]

    async def test_two_writers_of_one_row_do_not_overwrite_each_other(self, em: EntityManager) -> None:
        agent = await an_agent(em)
        await em.agents.update(agent.id, {"description": "first"}, expected_version=1)
        with pytest.raises(ConflictError):
            await em.agents.update(agent.id, {"description": "second"}, expected_version=1)
