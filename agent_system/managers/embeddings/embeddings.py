"""`EmbeddingManager`: making vectors later, counting them, and clearing them without touching a text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import delete, select

from agent_system.errors import ValidationError
from agent_system.managers.embeddings.coverage import OWNERS, Coverage, counted, coverage_of, is_model
from agent_system.managers.embeddings.indexing import build_indexes, drop_indexes
from agent_system.managers.users.persons import PersonLookup
from agent_system.models import metadata
from agent_system.search.vector_indexes import vector_indexes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.searching import RowSearch
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.vector_indexes import VectorIndexes

__all__ = ["Backfill", "EmbeddingManager"]

BATCH = 256
# Vectors that one transaction deletes.
PART = 10_000

_EMBEDDINGS = metadata.tables["embeddings"]
_MODELS = metadata.tables["embedding_models"]


class Searched(Protocol):
    """A manager whose rows have vectors."""

    @property
    def plans(self) -> TablePlans[Any]:
        """The compiled statements of its table."""

    @property
    def index(self) -> RowSearch[Any]:
        """What searches its rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfill:
    """How far a backfill is."""

    table: str
    """The table whose texts are at work."""
    done: int
    """Texts that were worked off, of all tables."""
    total: int
    """Texts that had no vector when it began, of all tables."""


class EmbeddingManager:
    """The vectors of memories, messages and context documents, in any number of models.

    Args:
        db: The database.
        managers: Those whose rows have vectors.
        embedder: The embedder that is used when none is named.

    Example:
        >>> em = EntityManager(db, embedder=WordLlamaEmbedder())
        >>> await em.embeddings.backfill(progress=lambda now: print(now.done, "of", now.total))
    """

    def __init__(
        self,
        db: DatabaseManager,
        managers: Sequence[Searched],
        embedder: Embedder | None = None,
    ) -> None:
        self._db = db
        self._managers = tuple(managers)
        self.embedder = embedder

    async def backfill(
        self,
        embedder: Embedder | None = None,
        *,
        batch: int = BATCH,
        progress: Callable[[Backfill], None] | None = None,
        tables: Sequence[str] | None = None,
    ) -> int:
        """Make all vectors that are missing; returns how many were written.

        Each lot is committed by itself: what was stopped goes on where it was when it is called again. A text that
        changes meanwhile is left for the next call.

        Args:
            embedder: In whose model; None: the facade's.
            batch: How many texts are embedded and written at a time.
            progress: Called after each lot.
            tables: Of which tables; None: memories, messages and context_documents.

        Raises:
            EmbeddingError: The embedder failed; what was written stays.
            ValidationError: There is no embedder, an unknown table, or a batch below 1.
        """
        used = self._used(embedder)
        if batch < 1:
            message = f"batch must be at least 1, not {batch}"
            raise ValidationError(message, field="batch")
        searches = self._of_tables(tables)
        total = sum([await search.vectors.count_missing(used) for search in searches.values()])
        done = written = 0
        for table, search in searches.items():

            def told(count: int, table: str = table) -> None:
                nonlocal done
                done += count
                if progress is not None:
                    progress(Backfill(table=table, done=done, total=max(total, done)))

            written += await search.vectors.backfill(used, batch, told)
        return written

    async def count_missing(self, embedder: Embedder | None = None) -> int:
        """How many texts have no vector in an embedder's model (None: the facade's).

        Raises:
            ValidationError: There is no embedder.
        """
        used = self._used(embedder)
        return sum([await search.vectors.count_missing(used) for search in self._of_tables(None).values()])

    async def drop_stale(self) -> int:
        """Delete the vectors of texts that are not what they were made of; returns how many.

        Triggers do so with every change of a text; this is for databases that were changed without them.
        """
        return sum([await search.vectors.drop_stale() for search in self._of_tables(None).values()])

    async def clear(self, *, user_id: str | UUID | None = None, model: Embedder | str | None = None) -> int:
        """Delete vectors, and no text; returns how many.

        Args:
            user_id: Only those of the person's texts, under whichever linked identity; None: of everybody's.
            model: Only those of this model: an embedder, or its name; None: of all models.
        """
        deleted = 0
        while True:
            part = await self._db.write(lambda executor: self._clear_some(executor, user_id, model))
            deleted += part
            if part < PART:
                return deleted

    async def coverage(self) -> list[Coverage]:
        """How many vectors there are, by model and table, and how they are searched; the oldest models first."""
        return await self._db.read(lambda executor: coverage_of(executor, self._indexes, self._db.settings))

    # The database's own index.

    async def build_index(self, model: Embedder | str | None = None) -> list[str]:
        """Build what lets PostgreSQL find vectors that are alike by itself: indexes by HNSW, of its extension pgvector.

        It takes minutes for a million vectors, beside those who read and write, and writing a vector takes longer with
        it. An index is used while it has more than `exact_vectors` vectors; it is kept by the server. SQLite has none.

        Args:
            model: Of this model, however many vectors there are: an embedder, or its name. None: of each model and
                table with more than `exact_vectors`.

        Returns:
            The names of the indexes, also of those that were there already.

        Raises:
            ConfigurationError: There is no pgvector 0.8 or newer, or the role may not install it.
            ConflictError: Somebody else is at it.
            TransactionError: A transaction is open.
        """
        least = self._db.settings.exact_vectors if model is None else 0
        is_wanted = [] if model is None else is_model(model)
        rows = await self._db.read(lambda executor: counted(executor, is_wanted))
        targets = [
            (row[0], row[3], OWNERS[table])
            for row, counts in rows
            for table, count in counts.items()
            if count > least and row[3] <= self._indexes.most_dimensions
        ]
        built = await build_indexes(self._db, self._indexes, targets) if targets else []
        self._look_again()
        return built

    async def drop_index(self, model: Embedder | str | None = None) -> list[str]:
        """Drop the database's own indexes, of one model or of all (None), and no vector; returns their names.

        Raises:
            ConflictError: Somebody else is building or dropping.
            TransactionError: A transaction is open.
        """

        def work(executor: Executor) -> list[str]:
            wanted = select(_MODELS.c.id).where(*([] if model is None else is_model(model)))
            models = set(executor.execute(wanted).scalars())
            listed = self._indexes.listed(executor.trusted)
            return [index.name for index in listed if model is None or index.model_id in models]

        names = await self._db.read(work)
        if names:
            await drop_indexes(self._db, self._indexes, names)
        self._look_again()
        return names

    def _look_again(self) -> None:
        for manager in self._managers:
            manager.index.vectors.look_again()

    @cached_property
    def _indexes(self) -> VectorIndexes:
        return vector_indexes(self._db.dialect.name)

    def _clear_some(self, executor: Executor, user_id: Any, model: Embedder | str | None) -> int:
        conditions: list[ColumnElement[bool]] = []
        if user_id is not None:
            conditions.append(_EMBEDDINGS.c.user_id.in_(self._persons.ids(executor, user_id)))
        if model is not None:
            conditions.append(_EMBEDDINGS.c.model_id.in_(select(_MODELS.c.id).where(*is_model(model))))
        numbers = select(_EMBEDDINGS.c.id).where(*conditions).order_by(_EMBEDDINGS.c.id).limit(PART)
        # Looked up first, so that a scope sees its own rows only, twice.
        ids = list(executor.execute(numbers).scalars())
        if ids:
            executor.execute(delete(_EMBEDDINGS).where(_EMBEDDINGS.c.id.in_(ids)))
        return len(ids)

    def _used(self, embedder: Embedder | None) -> Embedder:
        used = embedder if embedder is not None else self.embedder
        if used is None:
            message = "there is no embedder: EntityManager(db, embedder=...), or embedder=... here"
            raise ValidationError(message, field="embedder")
        return used

    def _of_tables(self, tables: Sequence[str] | None) -> dict[str, RowSearch[Any]]:
        searches = {manager.plans.table.name: manager.index for manager in self._managers}
        for table in tables or ():
            if table not in searches:
                message = f"{table!r} has no vectors; there are: {', '.join(searches)}"
                raise ValidationError(message, field="tables")
        return {name: searches[name] for name in (searches if tables is None else tables)}

    @cached_property
    def _persons(self) -> PersonLookup:
        return PersonLookup(self._db.dialect)
