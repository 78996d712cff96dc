"""Which system a file belongs to: told by its tables and their columns, never by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.errors import ImportFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from agent_system.importers.legacy.description import System, Table

__all__ = ["fits", "recognise"]


def fits(table: Table, columns: Sequence[str]) -> bool:
    """Whether a table with these columns is the one that is described, in whatever version of its system."""
    present = set(columns)
    return bool(present) and {table.key[0], *table.needs} <= present


def recognise(path: Path, tables: Mapping[str, Sequence[str]], systems: Sequence[System]) -> System | None:
    """Return the system that most of the tables belong to; None when there are no tables at all.

    Args:
        path: The file, for the error.
        tables: The columns of its tables.
        systems: What is known.

    Raises:
        ImportFileError: No table belongs to any of them.
    """
    if not tables:
        return None
    scores = {system.name: _score(system, tables) for system in systems}
    best = max(systems, key=lambda system: scores[system.name])
    if not scores[best.name]:
        known = ", ".join(system.title for system in systems)
        found = ", ".join(sorted(tables)[:10])
        message = f"{path}: its tables ({found}) belong to none of the systems that are known: {known}"
        raise ImportFileError(message, path=str(path))
    return best


def _score(system: System, tables: Mapping[str, Sequence[str]]) -> int:
    """How many tables fit, each once; what is only known by name counts for nothing."""
    return len({table.source for table in system.tables if fits(table, tables.get(table.source, ()))})
