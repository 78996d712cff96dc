"""`RowVectors`: the vectors of a manager's rows: written with the texts or later, and searched."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from agent_system.errors import EmbeddingError, ForeignKeyError
from agent_system.managers.core.allowing import MOST_FOUND
from agent_system.managers.core.failures import may_be_missing
from agent_system.managers.core.vector_search import VectorSearch
from agent_system.managers.core.vector_writing import WithVectors
from agent_system.search.embedding.embedder import embedded
from agent_system.search.vector_rows import NewVector, VectorRows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor, Work
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.asking import Wanted
    from agent_system.managers.core.base import Manager
    from agent_system.managers.core.vector_search import Owners
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.index import TextIndex
    from agent_system.search.vector_rows import TextRow

    Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]

__all__ = ["RowVectors"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Rows whose vectors are looked through for stale ones in one transaction.
PART = 1_000


class RowVectors:
    """The vectors of a manager's rows.

    Args:
        manager: Whose rows.
        db: Its database.
        index: Their index.
        clock: Where the time of new rows comes from.
    """

    def __init__(
        self, manager: Manager[Any], db: DatabaseManager, index: TextIndex, clock: Callable[[], datetime]
    ) -> None:
        self._manager = manager
        self._db = db
        self._index = index
        self._clock = clock
        self._models: dict[tuple[str, int], int] = {}
        # By the key of their model; all facades share them.
        self._searches: dict[int, VectorSearch] = db.shared.get(("vectors", index.name), dict)

    @cached_property
    def rows(self) -> VectorRows:
        """What units of work read and write."""
        return VectorRows(self._index, self._manager.plans.dialect, self._clock)

    # Writing.

    def run(
        self,
        run: Callable[[Work[T], Values], Awaitable[T]],
        work: Work[T],
        values: Values,
        embedder: Embedder | None,
    ) -> Awaitable[T]:
        """Run a writing unit of work that also writes the vectors of the texts that it writes.

        An embedder that fails keeps nobody from writing: the vectors are missing then, until `backfill` makes them. A
        text that is known only when it is written (that of a stream at its end) gets its vector right afterwards.

        Args:
            run: What runs units of work.
            work: The unit of work; rows that it changed are its result, or the values themselves.
            values: What is to be written.
            embedder: What makes vectors; None: none are written.
        """
        # Without a coroutine of its own where there is nothing to do.
        return run(work, values) if embedder is None else self._run(run, work, values, embedder)

    async def _run(
        self, run: Callable[[Work[T], Values], Awaitable[T]], work: Work[T], values: Values, embedder: Embedder
    ) -> T:
        many = [values] if isinstance(values, Mapping) else values
        vectors = await self._vectors_of(embedder, [row["content"] for row in many if row.get("content")])
        name = (embedder.name, embedder.dimensions)
        both = WithVectors(work, many, self.rows, embedder, vectors, self._models.get(name))
        try:
            result = await run(both, values)
        except ForeignKeyError as exc:
            if both.known is None or not may_be_missing("model_id", exc):
                raise
            # Somebody has deleted the model.
            self._models.pop(name, None)
            both.known = None
            result = await run(both, values)
        # Known from now on, unless the model may be taken back.
        if both.known is None and both.model_id is not None and not self._db.in_transaction:
            self._models[name] = both.model_id
        if both.late and vectors is not None:
            try:
                await self._fill(embedder, both.late)
            except EmbeddingError:
                missing = len(both.late)
                logger.warning("%s has no vectors of %d texts of %s", embedder.name, missing, self._index.table_name)
        return result

    async def _vectors_of(self, embedder: Embedder, texts: Sequence[str]) -> dict[str, bytes] | None:
        """The vectors by text; None when there are none to be had."""
        wanted = list(dict.fromkeys(texts))
        try:
            vectors = await embedded(embedder, wanted)
        except EmbeddingError as exc:
            logger.warning("%d texts of %s stay without vectors: %s", len(wanted), self._index.table_name, exc)
            return None
        return {text: vector.tobytes() for text, vector in zip(wanted, vectors, strict=True)}

    async def _fill(self, embedder: Embedder, rows: Sequence[TextRow]) -> int:
        """Write the vectors of rows that are there already; of a text that has changed meanwhile none is written."""
        vectors = await embedded(embedder, [row.text for row in rows])
        by_key = {row.key: vector.tobytes() for row, vector in zip(rows, vectors, strict=True)}

        def work(executor: Executor) -> int:
            trusted = executor.trusted
            model_id = self.rows.ensure_model(trusted, embedder)
            same = self.rows.unchanged(executor, rows)
            return self.rows.write(trusted, model_id, (NewVector(row, by_key[row.key]) for row in same))

        return await self._db.write(work)

    # Filling in later.

    async def count_missing(self, embedder: Embedder) -> int:
        """How many texts have no vector of an embedder's model."""
        return await self._db.read(
            lambda executor: self.rows.count_without(executor, self._model(executor, embedder) or 0)
        )

    async def backfill(self, embedder: Embedder, batch: int, told: Callable[[int], None]) -> int:
        """Make the vectors that are missing; returns how many were written.

        Args:
            embedder: What makes them.
            batch: So many texts at a time, each lot in a transaction of its own.
            told: Called with how many rows of each lot were worked off.

        Raises:
            EmbeddingError: The embedder failed; what was written stays, and another call goes on.
        """
        written = 0
        behind: Any = None
        while True:
            rows = await self._db.read(
                lambda executor: self.rows.without(executor, self._model(executor, embedder) or 0, behind, batch)  # noqa: B023
            )
            if not rows:
                return written
            written += await self._fill(embedder, rows)
            behind = rows[-1].key
            told(len(rows))

    async def drop_stale(self) -> int:
        """Delete the vectors of texts that are not what they were made of; returns how many."""
        dropped, behind = 0, 0
        while True:
            last, count = await self._db.write(lambda executor: self.rows.drop_stale(executor, behind, PART))  # noqa: B023
            dropped += count
            if last is None:
                return dropped
            behind = last

    # Searching.

    async def find(
        self,
        embedder: Embedder,
        text: str,
        wanted: Wanted,
        owners: Owners | None = None,
        enough: int = MOST_FOUND,
    ) -> list[tuple[Any, float]]:
        """The keys of the rows whose texts are most like one, the most alike first, and how alike they are.

        Args:
            embedder: In whose model.
            text: What they are compared with.
            wanted: Among which rows.
            owners: What finds those of these rows that have some vectors, in less time than a unit of work takes.
            enough: With so many of them the caller can do; more may be found.

        Raises:
            EmbeddingError: The text has no vector.
        """
        if not text.strip():
            return []
        name = (embedder.name, embedder.dimensions)
        model_id = self._models.get(name)
        if model_id is None:
            model_id = await self._db.read(lambda executor: self._model(executor, embedder))
        if model_id is None:
            return []
        (query,) = await embedded(embedder, [text])
        search = self._searches.get(model_id)
        if search is None:
            engine = self._manager.plans.dialect.name
            search = self._searches[model_id] = VectorSearch(self.rows, model_id, embedder.dimensions, engine)
        found = await search.find(self._db, query, wanted, owners, enough)
        # Known from now on, unless the model may be taken back, or is gone.
        if found and not self._db.in_transaction:
            self._models[name] = model_id
        else:
            self._models.pop(name, None)
        return found

    @property
    def size_bytes(self) -> int:
        """How much memory the vectors take that are kept in it."""
        return sum(search.size_bytes for search in self._searches.values())

    def look_again(self) -> None:
        """Ask again whether the database has an index of vectors."""
        for search in self._searches.values():
            search.indexed.look_again()

    def _model(self, executor: Executor, embedder: Embedder) -> int | None:
        return self.rows.model(executor.trusted, embedder)
