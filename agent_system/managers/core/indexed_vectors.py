"""`IndexedVectors`: the vectors that are most like one, by the index that the database itself keeps, if it has one."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from agent_system.managers.core.vector_memory import rank
from agent_system.search.vector_indexes import vector_indexes

if TYPE_CHECKING:
    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.allowing import Best
    from agent_system.search.embedding.embedder import Vectors
    from agent_system.search.vector_indexes import StoredIndex

__all__ = ["IndexedVectors"]

# After so long it is asked again whether there is an index by now; the answer costs a tenth of a search.
ASKED_AGAIN_SECONDS = 30.0


class IndexedVectors:
    """Finds the vectors of one table in one model.

    Args:
        owner: The column of `embeddings` that leads to the table.
        model_id: Key of the model.
        dimensions: How many numbers its vectors have.
        engine: The name of SQLAlchemy's dialect.
    """

    def __init__(self, owner: str, model_id: int, dimensions: int, engine: str) -> None:
        self._owner = owner
        self._model_id = model_id
        self._dimensions = dimensions
        self._indexes = vector_indexes(engine)
        self._index: StoredIndex | None = None
        # From when on it is asked whether there is one.
        self._asked_from = 0.0 if dimensions <= self._indexes.most_dimensions else float("inf")

    async def best(self, db: DatabaseManager, query: Vectors, count: int) -> Best | None:
        """The numbers of the vectors that are most like one, the most alike first, and how alike they are.

        Args:
            db: The database.
            query: (dimensions,) float32, of length 1.
            count: At most so many.

        Returns:
            None when there is no index, or it is of so few vectors that all are compared.
        """
        if self._index is None and monotonic() < self._asked_from:
            return None
        least = db.settings.exact_vectors
        rows = await db.read(lambda executor: self._nearest(executor.trusted, query, count, least))
        if rows is None:
            self._index = None
            self._asked_from = monotonic() + ASKED_AGAIN_SECONDS
            return None
        return rank(rows, self._dimensions, query, count)

    def look_again(self) -> None:
        """Ask again whether there is an index: it was built or dropped."""
        self._index = None
        if self._dimensions <= self._indexes.most_dimensions:
            self._asked_from = 0.0

    def _nearest(self, executor: Executor, query: Vectors, count: int, least: int) -> list[tuple[int, bytes]] | None:
        index = self._index
        if index is None:
            own = (self._owner, self._model_id)
            there = (one for one in self._indexes.listed(executor) if one.is_sound and one.rows > least)
            index = next((one for one in there if (one.owner, one.model_id) == own), None)
            if index is None:
                return None
            self._index = index
        return self._indexes.nearest(executor, index, self._dimensions, query.tobytes(), count, least)
