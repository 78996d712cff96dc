"""The full-text index of PostgreSQL: the words of each row as tsvector, and a GIN index over them.

PostgreSQL ranks by what stands in one row alone: a word that every row has counts as much as one that few have. So the
candidates are ranked by how much each of their words tells, and `text_search` ranks the best of them by BM25.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, cast, column, func, literal, literal_column, select, table
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.types import Float

from agent_system.search.counting import count_rows, highest_number
from agent_system.search.syntax import Syntax

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.search.index import TextIndex
    from agent_system.search.query import Query, Term

__all__ = ["SYNTAX", "PostgresText"]

SYNTAX = Syntax(any_of=" | ", all_of=" & ", except_=" & !", phrase=("('", "' <-> '", "'", ")"), star=":*")

# By how many terms candidates are ranked: those that tell most.
MOST_RANKED = 16


class PostgresText:
    """One table of words."""

    def __init__(self, index: TextIndex) -> None:
        self._index = index
        self._fts = table(index.name, column("id"), column("terms"))

    def size(self, executor: Executor) -> int:
        """The highest number that a row has."""
        return highest_number(executor, self._index)

    def count(self, executor: Executor, terms: Sequence[Term], most: int | None) -> dict[Term, int]:
        """How many rows have each of these terms, in one statement."""
        return count_rows(executor, self._fts, lambda term: self._matches(SYNTAX.term(term)), terms, most)

    def candidates(
        self,
        executor: Executor,
        query: Query,
        tells: Mapping[Term, float],
        condition: ColumnElement[bool],
        limit: int,
        *,
        is_scoped: bool,  # noqa: ARG002 (the planner finds out by itself)
    ) -> list[Any]:
        """The keys of the rows that match, those with the most telling words first."""
        index, fts = self._index, self._fts
        telling = sorted(tells, key=tells.__getitem__, reverse=True)[:MOST_RANKED]
        score: Any = literal(0.0, Float())
        for term in telling:
            found = cast(literal(SYNTAX.term(term)), TSQUERY)
            tell = literal(tells[term], Float()) * (1 + func.ts_rank(fts.c.terms, found))
            score += case((fts.c.terms.op("@@", is_comparison=True)(found), tell), else_=0.0)
        # Long rows have more of everything.
        score /= 1 + func.ln(1 + func.length(fts.c.terms))
        statement = select(fts.c.id).join(index.table, index.key == fts.c.id)
        statement = statement.where(self._matches(SYNTAX.expression(query)), condition)
        best = statement.order_by(score.desc(), fts.c.id.desc()).limit(limit)
        return [index.key.type.python_type(str(key)) for key in executor.execute(best).scalars()]

    def rebuild(self, executor: Executor) -> None:
        """Make the index anew from the texts: the trigger does so for each row that it takes for a new one."""
        index, fts = self._index, self._fts
        executor.execute(fts.delete())
        executor.execute(fts.insert().from_select(["id", "terms"], select(index.key, self._words())))

    def optimise(self, executor: Executor) -> None:
        """Nothing: autovacuum does it."""

    def find_damage(self, executor: Executor) -> str | None:
        """Compare the words of every row with its text."""
        index, fts = self._index, self._fts
        differs = fts.c.terms.is_distinct_from(self._words())
        joined = index.table.outerjoin(fts, index.key == fts.c.id)
        wrong = executor.execute(select(func.count()).select_from(joined).where(differs)).scalar_one()
        return f"{index.name}: {wrong} rows do not have the words of their texts" if wrong else None

    def _words(self) -> ColumnElement[Any]:
        """What the trigger writes."""
        texts: Any = None
        for name in (*self._index.weights, "extra_terms"):
            plain: ColumnElement[str] = literal_column(f"{self._index.table_name}.{name}::text")
            part = func.coalesce(func.translate(plain, func.chr(31), " "), "")
            texts = part if texts is None else texts.concat(" ").concat(func.chr(31)).concat(" ").concat(part)
        return func.agent_system_terms(texts)

    def _matches(self, expression_text: str) -> ColumnElement[bool]:
        matches: ColumnElement[bool] = self._fts.c.terms.op("@@", is_comparison=True)(
            cast(literal(expression_text), TSQUERY)
        )
        return matches
