"""What a full-text index is to the rest of the layer: its name, its fields, and what an engine can do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Column, ColumnElement, Table

    from agent_system.database.executor import Executor
    from agent_system.search.query import Query, Term

__all__ = ["CONTEXT_DOCUMENTS", "MEMORIES", "MESSAGES", "TextBackend", "TextIndex"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextIndex:
    """The full-text index of one table."""

    table_name: str
    weights: Mapping[str, float]
    """The indexed columns but for `extra_terms`, in their order, and how much a word in them counts."""
    vectors_by: str
    """The column of `embeddings` that leads to the row."""
    has_postings: bool = False
    """Whether its rows are many, so that their words are worth keeping in memory."""
    numbers_name: str | None = None
    """The table that gives each row its number, when its key is none."""

    @property
    def name(self) -> str:
        """The name of the index."""
        return f"{self.table_name}_fts"

    @property
    def table(self) -> Table:
        """The table that is indexed."""
        return metadata.tables[self.table_name]

    @property
    def key(self) -> Column[Any]:
        """The table's key."""
        return self.table.c.id

    @property
    def numbers(self) -> Table | None:
        """The table that gives each row its number, when its key is none."""
        return None if self.numbers_name is None else metadata.tables[self.numbers_name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the indexed columns but for `extra_terms`."""
        return tuple(self.weights)

    @property
    def columns(self) -> list[Column[Any]]:
        """The indexed columns but for `extra_terms`."""
        return [self.table.c[name] for name in self.weights]


# What counts more is a guess of ours that the evaluation is to test: a tag is chosen to find something by, the context
# only says on what occasion it was said.
MEMORIES = TextIndex(
    table_name="memories",
    weights={"content": 1.0, "tags": 1.5, "context": 0.5},
    vectors_by="memory_id",
    has_postings=True,
)
MESSAGES = TextIndex(table_name="messages", weights={"content": 1.0}, vectors_by="message_id", has_postings=True)
CONTEXT_DOCUMENTS = TextIndex(
    table_name="context_documents",
    weights={"name": 3.0, "title": 3.0, "content": 1.0, "tags": 1.5},
    vectors_by="context_document_id",
    numbers_name="context_document_keys",
)


class TextBackend(Protocol):
    """What an engine can do with a full-text index, inside a unit of work."""

    def size(self, executor: Executor) -> int:
        """About how many rows there are; never more than there were at some time."""

    def count(self, executor: Executor, terms: Sequence[Term], most: int | None) -> dict[Term, int]:
        """How many rows have each of these terms, counted up to `most`."""

    def candidates(
        self,
        executor: Executor,
        query: Query,
        tells: Mapping[Term, float],
        condition: ColumnElement[bool],
        limit: int,
        *,
        is_scoped: bool,
    ) -> list[Any]:
        """The keys of the rows that match and fit best, at most so many.

        Args:
            executor: The unit of work's.
            query: What to look for.
            tells: How much each of its terms tells.
            condition: What else must hold for a row, as a condition on its table.
            limit: At most so many.
            is_scoped: Whether an index leads to the rows for which the condition holds, and they are few.
        """

    def rebuild(self, executor: Executor) -> None:
        """Make the index anew from the texts."""

    def optimise(self, executor: Executor) -> None:
        """Make the index small and fast, and let go of what is left in it of deleted texts."""

    def find_damage(self, executor: Executor) -> str | None:
        """Compare the index with the texts; None when they agree, otherwise what is wrong."""
