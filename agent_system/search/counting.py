"""Counting the rows of a full-text index, the same on both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal_column, select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Select, TableClause

    from agent_system.database.executor import Executor
    from agent_system.search.index import TextIndex
    from agent_system.search.query import Term

__all__ = ["count_rows", "highest_number"]


def highest_number(executor: Executor, index: TextIndex) -> int:
    """The highest number that a row has: about how many there are, in a microsecond."""
    numbered = index.key if index.numbers is None else index.numbers.c.id
    return int(executor.execute(select(func.max(numbered))).scalar() or 0)


def count_rows(
    executor: Executor,
    fts: TableClause,
    matches: Callable[[Term], ColumnElement[bool]],
    terms: Sequence[Term],
    most: int | None,
) -> dict[Term, int]:
    """How many rows have each of these terms, counted up to `most`, in one statement."""
    if not terms:
        return {}
    counts = []
    for term in terms:
        rows: Select[Any] = select(literal_column("1")).select_from(fts).where(matches(term))
        if most is not None:
            rows = rows.limit(most)
        counts.append(select(func.count()).select_from(rows.subquery()).scalar_subquery())
    return dict(zip(terms, executor.execute(select(*counts)).one(), strict=True))
