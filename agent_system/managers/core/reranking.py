"""`Reranking`: how like a text the rows are that words have found, of which only these vectors are read.

When words find many rows, those that only vectors find would come after them (`Asked.words_lead`). So there is no need
to compare the vectors of the whole table: a few are read, 10 µs each where they have to be fetched from the file. With
the weights that are usual, vectors lift a row by no more than seven places into the first ten, or by twenty over rows
that have none; of 1,000 questions 0.888 find their answer among the ten best with 32, and 0.886 with 50.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import bindparam, select

from agent_system.database.dialects.lookups import rows_of_keys
from agent_system.database.plans import compile_plan
from agent_system.models import metadata
from agent_system.search.embedding.embedder import embedded
from agent_system.search.matrix import best_of, likeness_of, vectors_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Dialect

    from agent_system.database.manager import DatabaseManager
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.vector_rows import VectorRows

__all__ = ["RERANKED", "Reranking"]

RERANKED = 32
"""So many of the best rows are compared."""


class Reranking:
    """Compares vectors of rows of one table whose keys are numbers.

    Args:
        rows: Their stored vectors.
        dialect: SQLAlchemy's dialect.
    """

    def __init__(self, rows: VectorRows, dialect: Dialect) -> None:
        self._rows = rows
        table, owner = metadata.tables["embeddings"], rows.owner
        binds = [bindparam(f"key_{number}", type_=owner.type) for number in range(RERANKED)]
        model = table.c.model_id == bindparam("model_id", type_=table.c.model_id.type)
        found = rows_of_keys(dialect.name, select(owner, table.c.vector), owner, binds, model)
        self._plan = compile_plan(found, dialect)
        self._models: dict[tuple[str, int], int] = {}

    async def alike(
        self, db: DatabaseManager, embedder: Embedder, text: str, keys: Sequence[int]
    ) -> list[tuple[int, float]]:
        """Those of some rows that have vectors, the most alike first, and how alike they are.

        Args:
            db: The database, which may be bound to a scope.
            embedder: In whose model.
            text: What they are compared with.
            keys: The keys of the rows, from one to `RERANKED`.

        Raises:
            EmbeddingError: The text has no vector.
        """
        name = (embedder.name, embedder.dimensions)
        model_id = self._models.get(name)
        if model_id is None:
            model_id = await db.read(lambda executor: self._rows.model(executor.trusted, embedder))
        if model_id is None:
            return []
        (query,) = await embedded(embedder, [text])
        padded = [*keys, *[None] * (RERANKED - len(keys))]
        values = {f"key_{number}": key for number, key in enumerate(padded)}
        rows = await db.fetch(self._plan, self._plan.encode_once({**values, "model_id": model_id}))
        numbers, vectors = vectors_from([(row[0], row[1]) for row in rows], embedder.dimensions)
        # Known from now on, unless the model may be taken back, or is gone.
        if rows and not db.in_transaction:
            self._models[name] = model_id
        else:
            self._models.pop(name, None)
        found = best_of(np.asarray(numbers, np.int64), likeness_of(vectors, query), RERANKED)
        return list(zip(*found, strict=True))
