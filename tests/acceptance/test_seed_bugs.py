"""What callers of the five systems behind the seeds run into, and callers of ours do not: one test for each bug.

The names say whose bug it was: tomcounsell (seed 000), the_system (001), amiga (002), coachartie (003), agentdb (004).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system import DatabaseManager, EntityManager
from agent_system.errors import (
    AuthenticationError,
    DuplicateKeyError,
    LeaseLostError,
    NotConnectedError,
    NotFoundError,
    ValidationError,
)
from tests import requirements as requires

if TYPE_CHECKING:
    from agent_system.database.executor import Executor
    from agent_system.models import Task

NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"


async def a_task(em: EntityManager, **values: Any) -> Task:
    agent = await em.agents.get_by_name("worker") or await em.agents.create({"name": "worker"})
    return await em.tasks.create({"agent_id": agent.id, "instruction": "Do it.", **values})


class TestTomcounsell:
    async def test_what_depends_on_something_does_not_start_at_once(self, em: EntityManager) -> None:
        first, second = [await a_task(em) for _ in range(2)]
        await em.tasks.add_dependency(second.id, first.id)
        assert [task.id for task in await em.tasks.find_ready()] == [first.id]
        await em.tasks.update(first.id, {"status": "running"})
        await em.tasks.set_result(first.id, "done")
        assert [task.id for task in await em.tasks.find_ready()] == [second.id]

    async def test_a_job_keeps_its_type(self, em: EntityManager) -> None:
        await em.queue.enqueue("search", {})
        assert await em.queue.claim(types=["code"]) == []
        assert [job.task_type for job in await em.queue.claim(types=["search"])] == ["search"]

    async def test_two_workers_never_have_the_same_job(self, em: EntityManager) -> None:
        await em.queue.enqueue_many({"task_type": "code"} for _ in range(50))
        claims = await asyncio.gather(*(em.queue.claim(3) for _ in range(32)))
        ids = [job.id for claim in claims for job in claim]
        assert len(ids) == len(set(ids)) == 50

    async def test_a_job_that_is_due_is_found_whatever_zone_its_moment_was_in(self, em: EntityManager) -> None:
        just_now = datetime.now(UTC) - timedelta(seconds=1)
        for zone in (UTC, timezone(timedelta(hours=7)), timezone(timedelta(hours=-8))):
            await em.queue.enqueue("code", {}, scheduled_for=just_now.astimezone(zone))
        await em.queue.enqueue("code", {}, scheduled_for=just_now + timedelta(hours=1))
        assert len(await em.queue.claim(10)) == 3

    async def test_an_attempt_counts_once(self, em: EntityManager) -> None:
        await em.queue.enqueue("code", {}, max_retries=3)
        (job,) = await em.queue.claim()
        failed = await em.queue.fail(job, "broken", delay_seconds=0)
        assert failed.retries == 1

    async def test_a_status_without_a_result_does_not_erase_the_result(self, em: EntityManager) -> None:
        task = await a_task(em)
        await em.tasks.update(task.id, {"status": "running"})
        await em.tasks.set_result(task.id, "42")
        assert (await em.tasks.update(task.id, {"priority": 3})).result == "42"
        with pytest.raises(NotFoundError):
            await em.tasks.set_status("01a1fdd2-0000-7000-8000-000000000000", "running")

    async def test_no_row_of_the_ledger_disappears_from_the_reports(self, em: EntityManager) -> None:
        project = await em.projects.create({"name": "shop"})
        await em.token_usage.log_usage(project=project.id, model="m", host="h", input_tokens=5, output_tokens=1)
        await em.projects.delete(project.id)
        (row,) = await em.token_usage.by_project()
        assert (row.summary.requests, row.summary.unpriced) == (1, 1)
        assert (await em.token_usage.summary()).input_tokens == 5

    async def test_an_analysis_is_json_and_a_saved_link_keeps_its_id(self, em: EntityManager) -> None:
        first = await em.links.save("https://example.com/a")
        await em.links.record_analysis(first.id, {"title": "it's", "topics": ["a"]})
        again = await em.links.save("https://EXAMPLE.com/a#part")
        assert (again.id, again.created_at, again.analysis_result) == (
            first.id,
            first.created_at,
            {"title": "it's", "topics": ["a"]},
        )
        assert await em.links.search("%") == []

    async def test_a_repeated_message_does_not_lose_the_answer(self, em: EntityManager) -> None:
        conversation = await em.conversations.create({"title": "chat"})
        question = await em.messages.append(conversation.id, {"role": "user", "content": "?"})
        rows = [
            {"uid": question.uid, "role": "user", "content": "?"},
            {"role": "assistant", "content": "!"},
        ]
        await em.messages.append_many(conversation.id, rows)
        assert [message.content for message in await em.messages.last(conversation.id)] == ["?", "!"]

    async def test_deleting_what_others_belong_to_leaves_no_orphans(self, em: EntityManager) -> None:
        user = await em.users.register("ada", None, PASSWORD)
        project = await em.projects.create({"name": "shop", "user_id": user.id})
        conversation = await em.conversations.create({"title": "c", "project_id": project.id})
        assert await em.projects.delete(project.id)
        assert (await em.conversations.require(conversation.id)).project_id is None

    async def test_a_connection_never_comes_back_with_half_a_transaction(self, em: EntityManager) -> None:
        async def fail_half_way() -> None:
            async with em.db.transaction():
                await em.agents.create({"name": "half"})
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fail_half_way()
        await em.agents.create({"name": "whole"})
        assert [agent.name for agent in await em.agents.find()] == ["whole"]


class TestTheSystem:
    async def test_create_returns_what_get_finds(self, em: EntityManager) -> None:
        agent = await em.agents.create({"name": "one"})
        task = await em.tasks.create({"agent_id": agent.id, "instruction": "do"})
        assert await em.agents.get_by_id(agent.id) == agent
        assert await em.tasks.get_by_id(task.id) == task

    async def test_an_id_is_never_used_twice(self, em: EntityManager) -> None:
        first = await em.events.log("one")
        await em.events.delete(first.id)
        assert (await em.events.log("two")).id > first.id

    async def test_every_column_that_an_update_names_is_written(self, em: EntityManager) -> None:
        tool = await em.tools.create({"name": "shell", "metadata": {"kept": 1}})
        changes = {"permissions": ["run"], "category": "system", "metadata": {"new": 2}}
        await em.tools.update(tool.id, changes)
        stored = await em.tools.require(tool.id)
        assert (stored.permissions, stored.category, stored.meta) == (["run"], "system", {"new": 2})

    async def test_an_update_leaves_alone_what_it_does_not_name(self, em: EntityManager) -> None:
        agent = await em.agents.create({"name": "one", "metadata": {"kept": 1}, "capabilities": ["a"]})
        changed = await em.agents.update(agent.id, {"description": "new"})
        assert (changed.name, changed.meta, changed.capabilities) == ("one", {"kept": 1}, ["a"])
        assert await em.agents.count() == 1

    async def test_the_oldest_of_many_is_found_too(self, em: EntityManager) -> None:
        await em.agents.create({"name": "oldest", "capabilities": ["rare"]})
        await em.agents.create_many({"name": f"agent {number}"} for number in range(1_200))
        assert [agent.name for agent in await em.agents.find_by_capability("rare")] == ["oldest"]
        assert [agent.name for agent in await em.search("agent", "OLDEST")] == ["oldest"]

    async def test_a_tool_is_lent_again_after_it_was_taken_back(self, em: EntityManager) -> None:
        task = await a_task(em)
        await em.tools.assign(task.id, "shell")
        await em.tools.revoke(task.id, "shell")
        await em.tools.assign(task.id, "shell")
        assert len(await em.tools.active_assignments(task.id)) == 1

    async def test_a_missing_row_is_told(self, em: EntityManager) -> None:
        with pytest.raises(NotFoundError):
            await em.tasks.update("01a1fdd2-0000-7000-8000-000000000000", {"priority": 1})

    async def test_one_tasks_commit_is_not_anothers(self, em: EntityManager) -> None:
        inside, outside = asyncio.Event(), asyncio.Event()

        async def fail_late() -> None:
            async with em.db.transaction():
                await em.agents.create({"name": "never"})
                inside.set()
                await outside.wait()
                raise RuntimeError

        failing = asyncio.create_task(fail_late())
        await inside.wait()
        writing = asyncio.create_task(em.agents.create({"name": "other"}))
        outside.set()
        await writing
        with pytest.raises(RuntimeError):
            await failing
        assert [agent.name for agent in await em.agents.find()] == ["other"]


class TestAmiga:
    async def test_no_activity_and_no_access_is_lost(self, em: EntityManager) -> None:
        task = await a_task(em)
        await asyncio.gather(*(em.tasks.add_activity(task.id, str(number)) for number in range(400)))
        activities = (await em.tasks.activities(task.id, limit=1_000)).items
        assert len({activity.message for activity in activities if activity.message.isdigit()}) == 400

    async def test_a_task_gives_its_session_back(self, em: EntityManager) -> None:
        task = await a_task(em, session_uuid="4f1c")
        assert (await em.tasks.require(task.id)).session_uuid == "4f1c"

    async def test_deleting_a_task_leaves_no_open_transaction(self, em: EntityManager) -> None:
        task = await a_task(em)
        await em.tasks.add_activity(task.id, "began")
        assert await em.tasks.delete(task.id)
        await a_task(em)
        assert await em.tasks.count() == 1

    async def test_names_that_differ_in_case_are_one(self, em: EntityManager) -> None:
        answers = await asyncio.gather(
            *(em.users.register(name, None, PASSWORD) for name in ("admin", "Admin", "ADMIN")), return_exceptions=True
        )
        assert sum(isinstance(answer, DuplicateKeyError) for answer in answers) == 2

    async def test_a_game_is_saved_once(self, em: EntityManager) -> None:
        games = await asyncio.gather(*(em.games.save("ada", "chess", score=number) for number in range(32)))
        assert len({game.id for game in games}) == 1


class TestCoachArtie:
    async def test_what_is_not_connected_does_not_say_that_it_remembered(self) -> None:
        em = EntityManager(DatabaseManager(":memory:"))
        with pytest.raises(NotConnectedError):
            await em.memories.remember("ada", "likes tea")

    async def test_tags_that_come_later_stay_with_their_memory(self, em: EntityManager) -> None:
        memory = await em.memories.remember("ada", "likes tea", tags=["food"])
        await asyncio.gather(*(em.memories.add_tags(memory.id, f"tag{number}") for number in range(16)))
        assert len((await em.memories.require(memory.id)).tags) == 17
        assert await em.memories.count() == 1

    async def test_every_snapshot_of_a_balance_is_kept_and_none_breaks_the_alerts(self, em: EntityManager) -> None:
        for remaining in (None, 100.0, None):
            await em.credits.record(credits_remaining=remaining)
        assert await em.credits.count() == 3
        assert await em.alerts.active() == []

    async def test_a_flag_in_a_call_does_not_lose_the_call(self, em: EntityManager) -> None:
        await em.model_usage.record("m", user_id="ada", success=False, error_type="timeout")
        assert await em.model_usage.count(success=False) == 1


class TestAgentDb:
    async def test_what_others_refer_to_can_be_deleted(self, em: EntityManager) -> None:
        user = await em.users.register("ada", None, PASSWORD)
        agent = await em.agents.create({"name": "one", "user_id": user.id})
        conversation = await em.conversations.create({"agent_id": agent.id, "user_id": user.id})
        await em.messages.append(conversation.id, {"role": "user", "content": "Hi"})
        assert await em.agents.delete(agent.id)
        assert await em.conversations.delete(conversation.id)
        assert await em.users.delete(user.id)

    @requires.database_file
    async def test_one_malformed_row_does_not_break_the_list(self, em: EntityManager) -> None:
        for name in ("one", "two"):
            await em.agents.create({"name": name, "capabilities": ["a"]})

        def damage(executor: Executor) -> None:
            executor.execute(text("UPDATE agents SET capabilities = '[\"a' WHERE name = 'one'"))

        await em.db.write(damage)
        assert [agent.capabilities for agent in (await em.agents.list(order_by="name")).items] == ['["a', ["a"]]

    async def test_nobody_gives_themselves_a_role(self, em: EntityManager) -> None:
        with pytest.raises(ValidationError, match="role"):
            await em.users.register("eve", None, PASSWORD, role="admin")
        user = await em.users.register("eve", None, PASSWORD)
        for changes in ({"role": "admin"}, {"password_hash": "plain"}):
            with pytest.raises(ValidationError):
                await em.users.update(user.id, changes)

    async def test_whoever_is_deactivated_stays_outside(self, em: EntityManager) -> None:
        user = await em.users.register("eve", None, PASSWORD)
        await em.users.deactivate(user.id)
        with pytest.raises(AuthenticationError):
            await em.users.login("eve", PASSWORD)

    async def test_a_stopped_stream_is_not_overwritten_by_what_comes_late(self, em: EntityManager) -> None:
        conversation = await em.conversations.create({"title": "c"})
        message = await em.messages.begin(conversation.id, {"role": "assistant"})
        await em.messages.append_chunk(message.id, "early")
        await em.messages.stop(message.id)
        await asyncio.gather(*(em.messages.append_chunk(message.id, "late") for _ in range(8)))
        stored = await em.messages.require(message.id)
        assert (stored.content, stored.streaming_state) == ("early", "stopped")

    async def test_merging_memories_loses_nothing(self, em: EntityManager) -> None:
        memories = [await em.memories.remember("ada", f"detail {number}") for number in range(3)]
        merged = await em.memories.merge([memory.id for memory in memories])
        assert all(f"detail {number}" in merged.content for number in range(3))

    async def test_a_late_completion_changes_nothing(self, em: EntityManager) -> None:
        await em.queue.enqueue("code", {})
        (job,) = await em.queue.claim()
        await em.queue.release(job)
        with pytest.raises(LeaseLostError):
            await em.queue.complete(job)
