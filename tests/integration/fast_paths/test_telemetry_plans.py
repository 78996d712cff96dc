"""What is asked per tool call, or by every poll of a monitor, is found along indexes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from agent_system import EntityManager
from agent_system.models import metadata
from tests.integration.fast_paths.test_query_plans import Explainer, Postgresql, Sqlite

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agent_system.database import DatabaseManager

NOW = datetime(2026, 5, 1, tzinfo=UTC)


# Of these every row is wanted, in the order in which they stand there.
READ_WHOLE = ("idx_tasks_ready", "idx_tool_usage_in_progress", "idx_tool_usage_failed", "idx_tasks_interrupted_at")


class SqliteTables(Sqlite):
    """Asks SQLite, and takes no offence at what is no table and at an index over what is wanted alone."""

    def is_indexed(self, explained: str, *, has_condition: bool) -> bool:
        scans = [line.split() for line in explained.splitlines() if "SCAN" in line]
        tables = [words for words in scans if words[-1] not in READ_WHOLE and words[1] in metadata.tables]
        return not tables if has_condition else all("USING" in words for words in tables)


class PostgresqlTables(Postgresql):
    """Asks PostgreSQL, and takes no offence at an index over what is wanted alone."""

    def is_indexed(self, explained: str, *, has_condition: bool) -> bool:
        reads_whole = any(f"using {index} on" in explained for index in READ_WHOLE)
        return super().is_indexed(explained, has_condition=has_condition and not reads_whole)


@pytest.fixture
def explainer(db: DatabaseManager, engine_name: str) -> Explainer:
    kinds: dict[str, Callable[[DatabaseManager], Any]] = {"sqlite": SqliteTables, "postgresql": PostgresqlTables}
    return Explainer(kinds[engine_name](db))


async def test_what_is_to_be_started_is_read_from_one_end_of_an_index(
    db: DatabaseManager, explainer: Explainer
) -> None:
    em = EntityManager(db)
    await em.tasks.create({"instruction": "i"})
    await explainer.check(em.tasks.find_ready(limit=5))


async def test_calls_are_begun_and_ended_along_indexes(db: DatabaseManager, explainer: Explainer) -> None:
    em = EntityManager(db)
    task = await em.tasks.create({"instruction": "i", "session_uuid": "s"})
    await explainer.check(em.tool_usage.start("c1", "Bash", task_id=task.id))
    await explainer.check(em.tool_usage.finish("c1", result="ok"))
    await explainer.check(em.tool_usage.start(None, "Bash", session_uuid="s"))
    await explainer.check(em.tool_usage.finish(None, tool_name="Bash", session_uuid="s"), sorts=True)
    await explainer.check(em.files.record("a", "read", task_id=task.id))
    await explainer.check(em.files.record("a", "read", task_id=task.id))
    await explainer.check(em.agent_status.record("x", session_uuid="s"), sorts=True)


async def test_what_a_monitor_polls_is_found_along_indexes(db: DatabaseManager, explainer: Explainer) -> None:
    em = EntityManager(db)
    task = await em.tasks.create({"instruction": "i", "session_uuid": "s", "status": "running"})
    await em.tool_usage.finish("c1", tool_name="Bash", error="e", task_id=task.id)
    await explainer.check(em.tool_usage.in_progress(), sorts=True)
    await explainer.check(em.tool_usage.errors(limit=5), sorts=True)
    await explainer.check(em.tool_usage.errors(limit=5, since=NOW), sorts=True)
    await explainer.check(em.tool_usage.statistics(tool_name="Bash", since=NOW), sorts=True)
    await explainer.check(em.tool_usage.statistics_by("task_id", task_id=task.id), sorts=True)
    await explainer.check(em.tool_usage.series(timedelta(hours=1), NOW, NOW + timedelta(hours=5)), sorts=True)
    await explainer.check(em.dashboard.active_sessions(), sorts=True)
    await explainer.check(em.tasks.recover_interrupted(), sorts=True)
    await explainer.check(em.tasks.interrupted(), sorts=True)
    await explainer.check(em.tasks.find_by_session("s"), sorts=True)
    await explainer.check(em.tasks.reports.recent(5), sorts=True)
    await explainer.check(em.files.of_task(task.id), sorts=True)
    await explainer.check(em.reviews.increment("agent", "x"), sorts=True)
