"""`VectorSearch`: the rows of a table whose texts are most like one, exactly, from memory where there is enough of it.

Of few rows (somebody's hundred) the vectors are read and compared, so that nobody pays for other people's. Otherwise
they are compared in a matrix, which follows the log of changes; where that would be too large, and in a transaction,
whose changes are nobody else's business yet, the stored vectors are read in parts.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agent_system.managers.core.steps import in_chunks
from agent_system.search.change_log import change_log
from agent_system.search.matrix import Matrix, best_of, vectors_from

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.search.change_log import ChangeLog, LogPlace
    from agent_system.search.embedding.embedder import Vectors
    from agent_system.search.vector_rows import VectorRows

    Condition: TypeAlias = Callable[[Executor], ColumnElement[bool]]
    Best: TypeAlias = tuple[list[int], list[float]]

__all__ = ["MOST_FOUND", "VectorSearch"]

MOST_FOUND = 100
"""How many rows a search finds at most."""
# Reading and comparing a vector takes 3 µs.
FEW_VECTORS = 1_000
# Among how many rows, from the newest, a scope is searched; SQLite allows 32,766 parameters in a statement.
MOST_OF_SCOPE = 30_000
# Of a whole table so many are looked at first, and so many times more if the filters let too few of them through.
LOOKED_AT = 4 * MOST_FOUND
GROWTH = 8
# Rows of one read: 2 MB of 256 numbers each, which take a millisecond to copy.
PART = 2_000
# Products and sums that take about a millisecond.
QUICK = 4_000_000
MIB = 1024 * 1024


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
        self._log: ChangeLog = change_log("embeddings", engine)
        self._lock = asyncio.Lock()
        self._matrix: Matrix | None = None
        self._place: LogPlace | None = None

    @property
    def size_bytes(self) -> int:
        """How much memory the matrix takes; 0 while there is none."""
        return 0 if self._matrix is None else self._matrix.size_bytes

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

        def few(executor: Executor) -> tuple[bool, list[tuple[int, Any, bytes]]]:
            if not is_scoped and executor.trusted is executor:
                return False, []
            found = self._rows.of_scope(executor, self._model_id, condition(executor), FEW_VECTORS + 1)
            return True, found

        scoped, found = await db.read(few)
        if scoped and len(found) <= FEW_VECTORS:
            keys = {number: key for number, key, _ in found}
            ids, vectors = vectors_from([(number, vector) for number, _, vector in found], self._dimensions)
            best = best_of(np.asarray(ids, np.int64), vectors @ query, MOST_FOUND)
            return [(keys[number], likeness) for number, likeness in zip(*best, strict=True)]
        matrix = await self._followed(db)
        if scoped:
            return await self._find_in_scope(db, matrix, query, condition)
        return await self._find_in_all(db, matrix, query, condition)

    async def _find_in_scope(
        self, db: DatabaseManager, matrix: Matrix | None, query: Vectors, condition: Condition
    ) -> list[tuple[Any, float]]:
        own = await db.read(
            lambda executor: self._rows.numbers_of_scope(executor, self._model_id, condition(executor), MOST_OF_SCOPE)
        )
        if matrix is None:
            best = await self._scan(db, query, MOST_FOUND, own)
        else:
            best = await _computed(matrix, query, MOST_FOUND, np.asarray(own, np.int64))
        return await self._let_through(db, best, condition)

    async def _find_in_all(
        self, db: DatabaseManager, matrix: Matrix | None, query: Vectors, condition: Condition
    ) -> list[tuple[Any, float]]:
        if matrix is None:
            best = await self._scan(db, query, LOOKED_AT * GROWTH, None)
            return (await self._let_through(db, best, condition))[:MOST_FOUND]
        count = LOOKED_AT
        while True:
            best = await _computed(matrix, query, count, None)
            found = await self._let_through(db, best, condition)
            if len(found) >= MOST_FOUND or len(best[0]) < count:
                return found[:MOST_FOUND]
            count *= GROWTH

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
            rows = await db.read(partial(self._read, behind=0 if part is not None else behind, among=part))
            ids, vectors = vectors_from(rows, self._dimensions)
            numbers = np.asarray([*best[0], *ids], np.int64)
            best = best_of(numbers, np.concatenate([np.asarray(best[1], np.float32), vectors @ query]), count)
            if own is not None:
                behind += PART
                if behind >= len(own):
                    return best
            elif len(rows) < PART:
                return best
            else:
                behind = rows[-1][0]

    def _read(self, executor: Executor, *, behind: int, among: list[int] | None) -> list[tuple[int, bytes]]:
        return self._rows.vectors(executor.trusted, self._model_id, behind=behind, limit=PART, among=among)

    # The matrix.

    async def _followed(self, db: DatabaseManager) -> Matrix | None:
        """The matrix with everything that was committed; None where there is to be none."""
        if db.in_transaction:
            return None
        async with self._lock:
            if self._matrix is None or self._place is None:
                return await self._load(db)
            changed, rows, place = await db.read(partial(self._changes, place=self._place))
            if changed is None:
                return await self._load(db)
            ids, vectors = vectors_from(rows, self._dimensions)
            self._matrix.remove(changed.difference(ids))
            self._matrix.put(ids, vectors)
            self._place = place
            return self._matrix if self._fits(len(self._matrix), db) else None

    def _changes(
        self, executor: Executor, place: LogPlace
    ) -> tuple[set[int] | None, list[tuple[int, bytes]], LogPlace]:
        trusted = executor.trusted
        changed, end = self._log.since(trusted, place)
        rows: list[tuple[int, bytes]] = []
        if changed is not None and len(changed) > MOST_OF_SCOPE:
            changed = None
        if changed:
            for part in in_chunks(sorted(changed)):
                rows += self._rows.vectors(trusted, self._model_id, among=part)
        return changed, rows, end

    async def _load(self, db: DatabaseManager) -> Matrix | None:
        self._matrix = None

        def begin(executor: Executor) -> tuple[LogPlace, int]:
            trusted = executor.trusted
            return self._log.end(trusted), self._rows.count(trusted, self._model_id)

        place, count = await db.read(begin)
        if not self._fits(count, db):
            return None
        matrix = Matrix(self._dimensions)
        behind = 0
        while True:
            rows = await db.read(partial(self._read, behind=behind, among=None))
            matrix.put(*vectors_from(rows, self._dimensions))
            if len(rows) < PART:
                break
            behind = rows[-1][0]
        self._matrix, self._place = matrix, place
        return matrix

    def _fits(self, count: int, db: DatabaseManager) -> bool:
        return count * self._dimensions * 4 <= db.settings.search_memory_mib * MIB


async def _computed(matrix: Matrix, query: Vectors, count: int, among: Any) -> Best:
    """What a matrix finds, on a thread when it takes more than about a millisecond."""
    rows = len(matrix) if among is None else len(among)
    if rows * matrix.dimensions <= QUICK:
        return matrix.best(query, count, among)
    return await asyncio.to_thread(matrix.best, query, count, among)
