"""What every page of an import asks the database goes along an index, however many rows there are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.remembered import UNIQUE
from agent_system.importers.legacy.targets import Target
from agent_system.types import MemoryStatus
from tests import requirements as requires

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.entity_manager import EntityManager


class Explaining:
    """Keeps how SQLite runs what it is asked."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.found: list[str] = []

    def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        explained = replace(plan, sql=f"EXPLAIN QUERY PLAN {plan.sql}")
        self.found += [row[-1] for row in self._executor.fetch(explained, parameters)]
        return self._executor.fetch(plan, parameters)


@requires.database_file
async def test_rows_that_must_be_unique_are_looked_up_by_their_index(em: EntityManager) -> None:
    memories, calls = Target(em, "memories"), Target(em, "token_usage")
    among = ("status", MemoryStatus.ACTIVE.value)
    memory = await em.memories.create({"content": "olives", "user_id": "u"})
    assert memory.scope_key is not None
    assert memory.content_hash is not None
    same = [(memory.scope_key, memory.kind.value, memory.content_hash), ("x", "y", "z")]

    def work(executor: Executor) -> tuple[list[Any], list[str]]:
        explaining: Any = Explaining(executor)
        found = list(memories.lookups.together(explaining, UNIQUE, same, among))
        found += list(calls.lookups.having(explaining, "request_id", ["a", None], ("request_id", "attempt")))
        return found, explaining.found

    found, explained = await em.db.read(work)
    assert found == same[:1]
    assert any(line.startswith("SEARCH memories USING") and "uq_memories_content" in line for line in explained)
    assert any(line.startswith("SEARCH token_usage USING") for line in explained)
    assert not any(line.startswith(("SCAN memories", "SCAN token_usage")) for line in explained)
