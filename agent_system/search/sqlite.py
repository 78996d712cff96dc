"""The full-text index of SQLite: FTS5 (https://www.sqlite.org/fts5.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, column, func, literal, literal_column, select, table
from sqlalchemy.exc import DatabaseError

from agent_system.database.dialects.full_text import full_text_command
from agent_system.search.counting import count_rows, highest_number
from agent_system.search.syntax import Syntax

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.search.index import TextIndex
    from agent_system.search.query import Query, Term

__all__ = ["SYNTAX", "SqliteText"]

# Every word is quoted, so that none of them is an operator.
SYNTAX = Syntax(any_of=" OR ", all_of=" AND ", except_=" NOT ", phrase=('"', " ", '"', ""), star=" *")


class SqliteText:
    """One FTS5 table."""

    def __init__(self, index: TextIndex) -> None:
        self._index = index
        self._fts = table(index.name, column("rowid"), column(index.name))
        # The last column is extra_terms, whose words are words of the other ones.
        weights = [literal(weight) for weight in (*index.weights.values(), 1.0)]
        self._rank = func.bm25(literal_column(index.name), *weights)

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
        tells: Mapping[Term, float],  # noqa: ARG002 (FTS5 knows it by itself)
        condition: ColumnElement[bool],
        limit: int,
        *,
        is_scoped: bool,
    ) -> list[Any]:
        """The keys of the rows that match, by FTS5's own rank."""
        index = self._index
        matching = self._matches(SYNTAX.expression(query))
        if index.numbers is not None:
            numbers = index.numbers
            statement = select(numbers.c.document_id).join_from(self._fts, numbers, numbers.c.id == self._fts.c.rowid)
            statement = statement.join(index.table, index.key == numbers.c.document_id).where(matching, condition)
        elif is_scoped:
            # The plus keeps FTS5 from looking up each of the keys by itself, which takes 25 µs for each; the condition
            # is asked of the matches instead.
            number = literal_column(f"+{index.name}.rowid", Integer())
            wanted = select(index.key).where(condition)
            statement = select(self._fts.c.rowid).where(matching, number.in_(wanted))
        else:
            statement = select(self._fts.c.rowid).join(index.table, index.key == self._fts.c.rowid)
            statement = statement.where(matching, condition)
        best = statement.order_by(self._rank, self._fts.c.rowid.desc()).limit(limit)
        return list(executor.execute(best).scalars())

    def rebuild(self, executor: Executor) -> None:
        """Make the index anew from the texts."""
        self._command(executor, "rebuild")

    def optimise(self, executor: Executor) -> None:
        """Merge everything into one b-tree, without the words of deleted texts."""
        self._command(executor, "optimize")

    def find_damage(self, executor: Executor) -> str | None:
        """Let FTS5 compare the index with the texts."""
        try:
            self._command(executor, "integrity-check", rank=1)
        except DatabaseError as exc:
            return f"{self._index.name}: {exc.orig}"
        return None

    def _command(self, executor: Executor, command: str, rank: int | None = None) -> None:
        executor.execute(full_text_command(self._index.name, command, rank))

    def _matches(self, expression_text: str) -> ColumnElement[bool]:
        matches: ColumnElement[bool] = self._fts.c[self._index.name].op("MATCH", is_comparison=True)(
            bindparam(None, expression_text)
        )
        return matches
