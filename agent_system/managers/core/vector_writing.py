"""`WithVectors`: a unit of work that writes texts, and in the same transaction their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agent_system.database.groups import kind_of
from agent_system.database.inline_writes import size_of
from agent_system.managers.core.updating import Update
from agent_system.search.vector_rows import NewVector, TextRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agent_system.database.executor import Executor, Work
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.vector_rows import VectorRows

__all__ = ["WithVectors"]

T = TypeVar("T")


class WithVectors(Generic[T]):
    """A unit of work, and after it the vectors of the texts that it has written.

    What can be done together with others is so with its vectors too; see `database/groups.py`.

    Args:
        work: The unit of work; rows that it changed are its result, or the values themselves.
        values: What is to be written.
        rows: What writes vectors.
        embedder: Whose they are.
        vectors: They, by text; None when there are none to be had.
        known: The key of the embedder's model, when it was seen; None: a look is taken.
    """

    __slots__ = ("_embedder", "_rows", "known", "late", "model_id", "values", "vectors", "work")

    def __init__(
        self,
        work: Work[T],
        values: Sequence[Mapping[str, Any]],
        rows: VectorRows,
        embedder: Embedder,
        vectors: Mapping[str, bytes] | None,
        known: int | None,
    ) -> None:
        self.work: Any = work
        self.values = values
        self._rows = rows
        self._embedder = embedder
        self.vectors = vectors or {}
        self.late: list[TextRow] = []
        """Rows that were written and have no vector."""
        self.known = known
        self.model_id: int | None = None
        """The key of the model of what was written."""

    def __call__(self, executor: Executor) -> T:
        """Do it alone."""
        self.late.clear()
        result: T = self.work(executor)
        rows = list(_written(self.values, result))
        if rows:
            self._write(executor.trusted, rows)
        return result

    def _write(self, executor: Executor, rows: Sequence[TextRow]) -> None:
        vectors, model_id = self.vectors, self._model(executor)
        self._rows.write(executor, model_id, (NewVector(row, vectors[row.text]) for row in rows if row.text in vectors))
        missing = (row for row in rows if row.text not in vectors)
        self.late.extend(row for row in missing if not self._rows.has(executor, model_id, row.key))

    def kind(self) -> object | None:
        """What it has in common with those that it can be done with; None when it is done alone."""
        kind = kind_of(self.work)
        # The values of a change do not tell which row it is, and its vector may be there already.
        if (
            kind is None
            or isinstance(self.work, Update)
            or any(row.get("content") not in self.vectors for row in self.values)
        ):
            return None
        return WithVectors, self._rows.index.name, self._embedder.name, self._embedder.dimensions, kind

    def written_size(self) -> int | None:
        """How many bytes and characters it writes; None when nobody knows."""
        size = size_of(self.work)
        return None if size is None else size + sum(map(len, self.vectors.values()))

    def do_with(self, executor: Executor, others: Sequence[WithVectors[Any]]) -> None:
        """Do it, and after it others of its kind; what they write is new, and so are its vectors."""
        together = (self, *others)
        self.work.do_with(executor, [each.work for each in others])
        trusted = executor.trusted
        new = [NewVector(row, each.vectors[row.text]) for each in together for row in _written(each.values, None)]
        self._rows.write_new(trusted, self._model(trusted), new)

    def _model(self, executor: Executor) -> int:
        self.model_id = self._rows.ensure_model(executor, self._embedder) if self.known is None else self.known
        return self.model_id


def _written(values: Sequence[Mapping[str, Any]], result: Any) -> Iterator[TextRow]:
    """The rows with a text among those that a unit of work has written."""
    found: Sequence[Any]
    if isinstance(result, dict):
        found = [result]
    elif isinstance(result, list) and result and isinstance(result[0], dict):
        found = result
    else:
        found = values
    for row in found:
        if row.get("id") is not None and row.get("content"):
            yield TextRow(row["id"], row["content"], None if row["user_id"] is None else str(row["user_id"]))
