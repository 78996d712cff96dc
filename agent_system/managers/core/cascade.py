"""What a deletion takes with it that the database does not tell.

A relationship has no foreign keys to its two ends, so the layer removes it with either of them. And rows that fall with
their parent (the subtasks of a task, the agents of a user) fall without a verb of ours: they are found before the
deletion, so that their relationships go too and the audit trail says that they are gone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, or_, select

from agent_system.managers.core.audit import AuditTrail
from agent_system.models import metadata
from agent_system.types import EntityType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Column, Dialect, Table

    from agent_system.database.executor import Executor

__all__ = ["AUDITED_TABLES", "Cascade"]

AUDITED_TABLES: Mapping[str, EntityType] = {
    "agents": EntityType.AGENT,
    "tools": EntityType.TOOL,
    "tasks": EntityType.TASK,
    "context_documents": EntityType.CONTEXT_DOCUMENT,
    "processes": EntityType.PROCESS,
}
"""The tables whose changes are written to the audit trail, and what their rows are called there."""

# SQLite allows 32,766 parameters in a statement, PostgreSQL's protocol 32,767; an id may stand in one twice.
CHUNK = 10_000


class Cascade:
    """Finds and finishes what the deletion of one row of a table takes with it."""

    def __init__(self, table: Table, dialect: Dialect, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._dialect = dialect
        self._clock = clock
        self._steps = _steps(table)
        self.is_needed = bool(self._steps)
        """Whether rows that the audit trail knows may fall with one of this table."""

    def find(self, executor: Executor, key: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The keys of what will fall, by table, the row itself among them; to be called while it is locked."""
        root = next(iter(key.values()))
        fallen: dict[str, list[Any]] = {self._table.name: [root]}
        frontier = dict(fallen)
        while frontier:
            found: dict[str, list[Any]] = {}
            for parent, ids in frontier.items():
                for child, reference in self._steps.get(parent, ()):
                    known = set(fallen.get(child.name, ()))
                    new = [one for one in _referring(executor, child, reference, ids) if one not in known]
                    if new:
                        found.setdefault(child.name, []).extend(new)
                        fallen.setdefault(child.name, []).extend(new)
            frontier = found
        return fallen

    def finish(self, executor: Executor, key: Mapping[str, Any], fallen: Mapping[str, Sequence[Any]]) -> None:
        """Remove the relationships of what has fallen, and write down what fell without a verb of its own."""
        root = next(iter(key.values()))
        for name, ids in fallen.items():
            entity_type = AUDITED_TABLES.get(name)
            if entity_type is None:
                continue
            _remove_relationships(executor, entity_type, [str(one) for one in ids])
            others = [str(one) for one in ids if name != self._table.name or one != root]
            if others:
                trail = AuditTrail(entity_type, self._dialect, self._clock)
                because = {"table": self._table.name, "id": str(root)}
                trail.write(executor, trail.parameters("deleted", None, data={"ids": others, "fell_with": because}))


@cache
def _steps(table: Table) -> dict[str, list[tuple[Table, Column[Any]]]]:
    """By table, the references along which a deletion in `table` reaches a table that is audited."""
    references: dict[str, list[tuple[Table, Column[Any]]]] = {}
    for child in table.metadata.sorted_tables:
        for foreign_key in child.foreign_keys:
            if foreign_key.ondelete == "CASCADE":
                references.setdefault(foreign_key.column.table.name, []).append((child, foreign_key.parent))
    return {
        parent: wanted
        for parent in _reached(table.name, references)
        if (wanted := [step for step in references.get(parent, ()) if _leads_to_audited(step[0].name, references)])
    }


def _leads_to_audited(name: str, references: Mapping[str, Sequence[tuple[Table, Column[Any]]]]) -> bool:
    return not _reached(name, references).isdisjoint(AUDITED_TABLES)


def _reached(name: str, references: Mapping[str, Sequence[tuple[Table, Column[Any]]]]) -> set[str]:
    reached = {name}
    waiting = [name]
    while waiting:
        for child, _ in references.get(waiting.pop(), ()):
            if child.name not in reached:
                reached.add(child.name)
                waiting.append(child.name)
    return reached


def _referring(executor: Executor, child: Table, reference: Column[Any], ids: Sequence[Any]) -> Iterator[Any]:
    (primary,) = child.primary_key.columns
    for start in range(0, len(ids), CHUNK):
        yield from executor.execute(select(primary).where(reference.in_(ids[start : start + CHUNK]))).scalars()


def _remove_relationships(executor: Executor, entity_type: EntityType, ids: Sequence[str]) -> None:
    table = metadata.tables["entity_relationships"]
    columns = table.columns
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        executor.execute(
            delete(table).where(
                or_(
                    and_(columns["source_type"] == entity_type, columns["source_id"].in_(part)),
                    and_(columns["target_type"] == entity_type, columns["target_id"].in_(part)),
                )
            )
        )
