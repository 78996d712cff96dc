"""`VectorSearch`: the rows of a table whose texts are most like one, exactly, from memory where there is enough of it.

Of few rows (somebody's hundred) the vectors are read and compared, so that nobody pays for other people's. Otherwise
they are compared in a matrix, which follows the log of changes; where that would be too large, and in a transaction,
the stored vectors are read in parts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agent_system.managers.core.allowing import MOST_FOUND, enough_of
from agent_system.managers.core.following import Follower
from agent_system.managers.core.steps import in_chunks
from agent_system.search.change_log import change_log
from agent_system.search.matrix import BYTES_BESIDE, Matrix, best_of, likeness_of, vectors_from

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.allowing import Best
    from agent_system.search.embedding.embedder import Vectors
    from agent_system.search.vector_rows import VectorRows

    Condition: TypeAlias = Callable[[Executor], ColumnElement[bool]]

__all__ = ["VectorSearch"]

# Reading and comparing a vector takes 3 µs.
FEW_VECTORS = 1_000
# Among how many rows, from the newest, a scope is searched; SQLite allows 32,766 parameters in a statement.
MOST_OF_SCOPE = 30_000
# Rows of one read: 2 MB of 256 numbers each, which take a millisecond to copy.
PART = 2_000
# Products and sums that take about a millisecond.
QUICK = 4_000_000


class _Stored:
    """What a matrix is made of."""

    def __init__(self, rows: VectorRows, model_id: int, dimensions: int) -> None:
        self.part = self.on_loop = PART
        self._rows = rows
        self._model_id = model_id
        self._dimensions = dimensions

    def size_bytes(self, executor: Executor) -> int:
        return self._rows.count(executor, self._model_id) * (4 * self._dimensions + BYTES_BESIDE)

    def empty(self) -> Matrix:
        return Matrix(self._dimensions)

    def read(self, executor: Executor, behind: int, among: Sequence[int] | None) -> list[tuple[int, bytes]]:
        limit = None if among is not None else self.part
        return self._rows.vectors(executor, self._model_id, behind=behind, limit=limit, among=among)

    def put(self, index: Matrix, rows: Sequence[tuple[int, bytes]]) -> None:
        index.put(*vectors_from(rows, self._dimensions))

    def remove(self, index: Matrix, numbers: AbstractSet[int]) -> None:
        index.remove(numbers)


class VectorSearch:
    """Searches the vectors of one table in one model.

    Args:
        rows: The stored vectors.
        model_id: Key of the model.
        dimensions: How many numbers its vectors have.
        engine: The name of SQLAlchemy's dialect.
    """

    def __init__(self, rows: VectorRows, model_id: int, dimensions: int, engine: str) -> None:
        self._rows = rows
        self._model_id = model_id
        self._dimensions = dimensions
        self._stored = _Stored(rows, model_id, dimensions)
        self._matrix: Follower[Matrix] = Follower(change_log("embeddings", engine), self._stored)

    @property
    def size_bytes(self) -> int:
        """How much memory the matrix takes; 0 while there is none."""
        return 0 if self._matrix.index is None else self._matrix.index.size_bytes

    async def find(
        self, db: DatabaseManager, query: Vectors, condition: Condition, *, is_scoped: bool
    ) -> list[tuple[Any, float]]:
        """The keys of the rows whose vectors are most like one, the most alike first, and how alike they are.

        Args:
            db: The database, which may be bound to a scope.
            query: (dimensions,) float32, of length 1.
            condition: Makes the condition that must hold for a row, in the unit of work.
            is_scoped: Whether an index leads to the rows for which it holds.
        """
        if not is_scoped and not db.is_scoped:
            return await self._find_in_all(db, query, condition)
        found = await db.read(
            lambda executor: self._rows.of_scope(executor, self._model_id, condition(executor), FEW_VECTORS + 1)
        )
        if len(found) > FEW_VECTORS:
            return await self._find_in_scope(db, query, condition)
        keys = {number: key for number, key, _ in found}
        ids, vectors = vectors_from([(number, vector) for number, _, vector in found], self._dimensions)
        best = best_of(np.asarray(ids, np.int64), likeness_of(vectors, query), MOST_FOUND)
        return [(keys[number], likeness) for number, likeness in zip(*best, strict=True)]

    async def _find_in_scope(
        self, db: DatabaseManager, query: Vectors, condition: Condition
    ) -> list[tuple[Any, float]]:
        own = await db.read(
            lambda executor: self._rows.numbers_of_scope(executor, self._model_id, condition(executor), MOST_OF_SCOPE)
        )
        return await self._let_through(db, await self._best(db, query, MOST_FOUND, own), condition)

    async def _find_in_all(self, db: DatabaseManager, query: Vectors, condition: Condition) -> list[tuple[Any, float]]:
        return await enough_of(
            lambda count: self._best(db, query, count, None), lambda best: self._let_through(db, best, condition)
        )

    async def _best(self, db: DatabaseManager, query: Vectors, count: int, among: list[int] | None) -> Best:
        numbers = None if among is None else np.asarray(among, np.int64)

        def is_quick(matrix: Matrix) -> bool:
            return (len(matrix) if among is None else len(among)) * self._dimensions <= QUICK

        best = await self._matrix.use(db, lambda matrix: matrix.best(query, count, numbers), on_loop=is_quick)
        return await self._scan(db, query, count, among) if best is None else best

    async def _let_through(self, db: DatabaseManager, best: Best, condition: Condition) -> list[tuple[Any, float]]:
        def work(executor: Executor) -> dict[int, Any]:
            wanted = condition(executor)
            keys: dict[int, Any] = {}
            for part in in_chunks(best[0]):
                keys.update(self._rows.keys_of(executor, part, wanted))
            return keys

        keys = await db.read(work) if best[0] else {}
        return [(keys[number], likeness) for number, likeness in zip(*best, strict=True) if number in keys]

    async def _scan(self, db: DatabaseManager, query: Vectors, count: int, among: list[int] | None) -> Best:
        """Compare the stored vectors, a part at a time."""
        best: Best = ([], [])
        behind = 0
        own = None if among is None else sorted(among)
        while True:
            part = None if own is None else own[behind : behind + PART]
            rows = await db.read(partial(self._read, behind=behind if own is None else 0, among=part))
            ids, vectors = vectors_from(rows, self._dimensions)
            numbers = np.asarray([*best[0], *ids], np.int64)
            best = best_of(
                numbers, np.concatenate([np.asarray(best[1], np.float32), likeness_of(vectors, query)]), count
            )
            if own is None and len(rows) == PART:
                behind = rows[-1][0]
            elif own is not None and behind + PART < len(own):
                behind += PART
            else:
                return best

    def _read(self, executor: Executor, *, behind: int, among: list[int] | None) -> list[tuple[int, bytes]]:
        return self._stored.read(executor.trusted, behind, among)
