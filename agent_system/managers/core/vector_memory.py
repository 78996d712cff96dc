"""`VectorMemory`: the vectors of one table in one model in memory, or of very many their signs.

Up to the setting `exact_vectors`, and as far as there is memory for them (`search_memory_mib`), the vectors are kept
and all compared. Of more their signs are kept, which find candidates, and the vectors of these are read and compared.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from agent_system.managers.core.allowing import LOOKED_AT
from agent_system.managers.core.following import MIB, Follower, allowed_bytes
from agent_system.search.change_log import change_log
from agent_system.search.codes import Codes, code_bytes
from agent_system.search.matrix import Matrix, best_of, likeness_of, vectors_from
from agent_system.search.numbered import BYTES_BESIDE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.allowing import Best
    from agent_system.search.embedding.embedder import Vectors
    from agent_system.search.numbered import Numbers
    from agent_system.search.vector_rows import VectorRows
    from agent_system.settings import DatabaseSettings

__all__ = ["PART", "VectorMemory", "Way", "rank", "way_of"]

# Rows of one read: 2 MB of 256 numbers each, which take a millisecond to copy.
PART = 2_000
# Products and sums that take about a millisecond.
QUICK = 4_000_000
# Words of 64 signs that are compared in about a millisecond.
QUICK_WORDS = 500_000
# So many candidates for each that is wanted are compared exactly; each takes 10 µs to be read.
CANDIDATES = 2
# The vectors are kept again when they take so much less memory than they may.
CALM = 0.8


class Way(StrEnum):
    """How the vectors of a whole table are searched for those that are like one."""

    EXACT = "exact"
    """All are compared, in memory."""
    SIGNS = "signs"
    """Their signs are compared in memory, and the vectors of the best candidates exactly."""
    INDEX = "index"
    """The database's own index finds candidates, which are compared exactly."""
    PARTS = "parts"
    """All are read in parts and compared: there is no memory for their signs."""


def way_of(count: int, dimensions: int, indexed: int, settings: DatabaseSettings) -> Way:
    """How vectors are searched.

    Args:
        count: How many there are.
        dimensions: How many numbers each has.
        indexed: How many of them the database's own index has; 0: there is none.
        settings: How the database is used.
    """
    if indexed > settings.exact_vectors:
        return Way.INDEX
    memory = settings.search_memory_mib * MIB
    if count <= settings.exact_vectors and count * _vector_bytes(dimensions) <= memory:
        return Way.EXACT
    return Way.SIGNS if count * _signs_bytes(dimensions) <= memory else Way.PARTS


def _vector_bytes(dimensions: int) -> int:
    return 4 * dimensions + BYTES_BESIDE


def _signs_bytes(dimensions: int) -> int:
    return code_bytes(dimensions) + BYTES_BESIDE


class _Stored:
    """What a matrix is made of."""

    def __init__(self, rows: VectorRows, model_id: int, dimensions: int) -> None:
        self.part = self.on_loop = PART
        self._rows = rows
        self._model_id = model_id
        self._dimensions = dimensions
        self.row_bytes = _vector_bytes(dimensions)

    def count(self, executor: Executor) -> int:
        return self._rows.count(executor, self._model_id)

    def size_bytes(self, executor: Executor) -> int:
        return self.count(executor) * self.row_bytes

    def empty(self) -> Matrix:
        return Matrix(self._dimensions)

    def read(self, executor: Executor, behind: int, among: Sequence[int] | None) -> list[tuple[int, bytes]]:
        limit = None if among is not None else self.part
        return self._rows.vectors(executor, self._model_id, behind=behind, limit=limit, among=among)

    def of_numbers(self, executor: Executor, numbers: Sequence[int]) -> list[Any]:
        return self._rows.of_numbers(executor, self._model_id, numbers)

    def put(self, index: Matrix, rows: Sequence[tuple[int, bytes]]) -> None:
        index.put(*vectors_from(rows, self._dimensions))

    def remove(self, index: Matrix, numbers: AbstractSet[int]) -> None:
        index.remove(numbers)


class _Signs:
    """What codes are made of."""

    def __init__(self, stored: _Stored, dimensions: int) -> None:
        self.part = self.on_loop = PART
        self._stored = stored
        self._dimensions = dimensions

    def size_bytes(self, executor: Executor) -> int:
        return self._stored.count(executor) * _signs_bytes(self._dimensions)

    def empty(self) -> Codes:
        return Codes(self._dimensions)

    def read(self, executor: Executor, behind: int, among: Sequence[int] | None) -> list[tuple[int, bytes]]:
        return self._stored.read(executor, behind, among)

    def put(self, index: Codes, rows: Sequence[tuple[int, bytes]]) -> None:
        index.put(*vectors_from(rows, self._dimensions))

    def remove(self, index: Codes, numbers: AbstractSet[int]) -> None:
        index.remove(numbers)


class VectorMemory:
    """Finds the vectors of one table in one model that are most like one.

    Args:
        rows: The stored vectors.
        model_id: Key of the model.
        dimensions: How many numbers its vectors have.
        engine: The name of SQLAlchemy's dialect.
    """

    def __init__(self, rows: VectorRows, model_id: int, dimensions: int, engine: str) -> None:
        self._dimensions = dimensions
        self._stored = _Stored(rows, model_id, dimensions)
        log = change_log("embeddings", engine)
        self._matrix: Follower[Matrix] = Follower(log, self._stored, self._exact_bytes)
        self._codes: Follower[Codes] = Follower(log, _Signs(self._stored, dimensions))

    @property
    def size_bytes(self) -> int:
        """How much memory it takes; 0 while there is nothing."""
        return sum(index.size_bytes for index in (self._matrix.index, self._codes.index) if index is not None)

    async def best(self, db: DatabaseManager, query: Vectors, count: int, among: Numbers | None) -> Best | None:
        """The numbers of the vectors that are most like one, the most alike first, and how alike they are.

        Args:
            db: The database, which may be bound to a scope.
            query: (dimensions,) float32, of length 1.
            count: At most so many.
            among: Numbers to which the search is bound. None: all.

        Returns:
            None when nothing is kept in memory, because it would be too large or a transaction is open.
        """
        if not self._is_large(db):
            best = await self._matrix.use(
                db,
                lambda matrix: matrix.best(query, count, among),
                on_loop=lambda matrix: self._is_quick(matrix, among),
            )
            if best is not None:
                self._codes.index = None
                return best
        # What only comes near finds no worse ones because fewer are wanted.
        wanted = CANDIDATES * max(count, LOOKED_AT)
        numbers = await self._codes.use(
            db, lambda codes: codes.candidates(query, wanted, among), on_loop=lambda codes: self._is_short(codes, among)
        )
        return None if numbers is None else await self._compared(db, query, count, numbers)

    async def _compared(self, db: DatabaseManager, query: Vectors, count: int, numbers: Numbers) -> Best:
        rows = await db.read(lambda executor: self._stored.of_numbers(executor.trusted, numbers.tolist()))
        return rank(rows, self._dimensions, query, count)

    def _exact_bytes(self, db: DatabaseManager) -> int:
        return min(allowed_bytes(db), db.settings.exact_vectors * self._stored.row_bytes)

    def _is_large(self, db: DatabaseManager) -> bool:
        """Whether there are codes of more vectors than are kept as they are."""
        codes = self._codes.index
        return codes is not None and len(codes) * self._stored.row_bytes > CALM * self._exact_bytes(db)

    def _is_quick(self, matrix: Matrix, among: Numbers | None) -> bool:
        return (len(matrix) if among is None else len(among)) * self._dimensions <= QUICK

    def _is_short(self, codes: Codes, among: Numbers | None) -> bool:
        return (len(codes) if among is None else len(among)) * code_bytes(self._dimensions) <= 8 * QUICK_WORDS


def rank(rows: Sequence[tuple[int, bytes]], dimensions: int, query: Vectors, count: int) -> Best:
    """Those of some stored vectors that are most like one, the most alike first, and how alike they are.

    Args:
        rows: Number and bytes of each.
        dimensions: How many numbers a vector has.
        query: (dimensions,) float32, of length 1.
        count: At most so many.
    """
    ids, vectors = vectors_from(rows, dimensions)
    return best_of(np.asarray(ids, np.int64), likeness_of(vectors, query), count)
