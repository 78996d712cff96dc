"""`VectorSearch`: the rows of a table whose texts are most like one.

Of few rows (somebody's hundred) the vectors are read and compared, so that nobody pays for other people's. Otherwise
they are found by the database's own index (`indexed_vectors`) where there is one, or in memory (`vector_memory`), which
follows the log of changes; where not even their signs have room in it, and in a transaction, the stored vectors are
read in parts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agent_system.managers.core.allowing import LOOKED_AT, MOST_FOUND, first_of
from agent_system.managers.core.indexed_vectors import IndexedVectors
from agent_system.managers.core.steps import in_chunks
from agent_system.managers.core.vector_memory import PART, VectorMemory, rank
from agent_system.search.matrix import best_of, likeness_of, vectors_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.allowing import Best
    from agent_system.managers.core.asking import Wanted
    from agent_system.search.embedding.embedder import Vectors
    from agent_system.search.vector_rows import VectorRows

    Condition: TypeAlias = Callable[[Executor], ColumnElement[bool]]
    Owners: TypeAlias = Callable[[Sequence[int]], Awaitable[Mapping[int, Any]]]

__all__ = ["VectorSearch"]

# Reading and comparing a vector takes 3 µs.
FEW_VECTORS = 1_000
# Among how many rows, from the newest, a scope is searched; SQLite allows 32,766 parameters in a statement.
MOST_OF_SCOPE = 30_000
# How many more rows are looked at than should be enough.
ROOM = 1.3
# So many of the best rows are looked at before those are searched for which the filters hold.
MOST_LOOKED_AT = 8_000


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
        self._memory = VectorMemory(rows, model_id, dimensions, engine)
        self.indexed = IndexedVectors(rows.index.vectors_by, model_id, dimensions, engine)
        """What the database itself finds."""

    @property
    def size_bytes(self) -> int:
        """How much memory is taken; 0 while nothing is kept in it."""
        return self._memory.size_bytes

    async def find(
        self,
        db: DatabaseManager,
        query: Vectors,
        wanted: Wanted,
        owners: Owners | None = None,
        enough: int = MOST_FOUND,
    ) -> list[tuple[Any, float]]:
        """The keys of the rows whose vectors are most like one, the most alike first, and how alike they are.

        Args:
            db: The database, which may be bound to a scope.
            query: (dimensions,) float32, of length 1.
            wanted: Among which rows.
            owners: What finds those of these rows that have some vectors; None: a unit of work does.
            enough: With so many of them the caller can do; more may be found.
        """
        condition = wanted.conditions
        if not wanted.names_a_scope and not db.is_scoped:
            return await self._find_in_all(db, query, condition, owners, enough)
        return await self._find_in_scope(db, query, condition, MOST_OF_SCOPE)

    async def _find_in_scope(
        self, db: DatabaseManager, query: Vectors, condition: Condition, most: int | None
    ) -> list[tuple[Any, float]]:
        def work(executor: Executor) -> tuple[dict[int, Any], list[tuple[int, bytes]] | None]:
            own = self._rows.of_scope(executor, self._model_id, condition(executor), most)
            # Their numbers first: to sort the vectors of 10,000 rows takes 190 ms, and to sort their numbers 20.
            are_few = len(own) <= FEW_VECTORS
            return own, self._rows.of_numbers(executor.trusted, self._model_id, list(own)) if are_few else None

        own, vectors = await db.read(work)
        if vectors is None:
            best = await self._best(db, query, MOST_FOUND, list(own))
        else:
            best = rank(vectors, self._dimensions, query, MOST_FOUND)
        return [(own[number], likeness) for number, likeness in zip(*best, strict=True)]

    async def _find_in_all(
        self, db: DatabaseManager, query: Vectors, condition: Condition, owners: Owners | None, enough: int
    ) -> list[tuple[Any, float]]:
        count = first_of(enough)
        while count <= MOST_LOOKED_AT:
            best = await self._best(db, query, count, None)
            found = await self._let_through(db, best, condition, owners)
            if len(found) >= enough or len(best[0]) < count:
                return found[:MOST_FOUND]
            if enough < MOST_FOUND:
                # The filters let few through: how few, tells a longer look.
                count, enough = LOOKED_AT, MOST_FOUND
                continue
            # As many as should do if the next ones are let through as these were.
            count = max(2 * count, int(ROOM * count * enough / (len(found) + 1)))
        # The filters let few rows through, or none that are alike: so all of those are compared, and no others.
        return await self._find_in_scope(db, query, condition, None)

    async def _best(self, db: DatabaseManager, query: Vectors, count: int, among: list[int] | None) -> Best:
        numbers = None if among is None else np.asarray(among, np.int64)
        # What only comes near finds no worse ones because fewer are wanted.
        best = await self.indexed.best(db, query, max(count, LOOKED_AT)) if among is None else None
        if best is None:
            best = await self._memory.best(db, query, count, numbers)
        return await self._scan(db, query, count, among) if best is None else best

    async def _let_through(
        self, db: DatabaseManager, best: Best, condition: Condition, owners: Owners | None = None
    ) -> list[tuple[Any, float]]:
        def work(executor: Executor) -> dict[int, Any]:
            wanted = condition(executor)
            keys: dict[int, Any] = {}
            for part in in_chunks(best[0]):
                keys.update(self._rows.keys_of(executor, part, wanted))
            return keys

        keys: Mapping[int, Any] = {}
        if best[0]:
            # Many are no business of the loop's thread.
            keys = await db.read(work) if owners is None or len(best[0]) > LOOKED_AT else await owners(best[0])
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
        limit = None if among is not None else PART
        return self._rows.vectors(executor.trusted, self._model_id, behind=behind, limit=limit, among=among)
