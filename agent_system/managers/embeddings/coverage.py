"""`Coverage`: how many vectors there are, and how they are searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select

from agent_system.managers.core.vector_memory import Way, way_of
from agent_system.models import metadata
from agent_system.search.vector_rows import model_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.vector_indexes import VectorIndexes
    from agent_system.settings import DatabaseSettings

__all__ = ["OWNERS", "Coverage", "counted", "coverage_of", "is_model"]

OWNERS: Mapping[str, str] = {
    "memories": "memory_id",
    "messages": "message_id",
    "context_documents": "context_document_id",
}
"""The column of `embeddings` that leads to each table."""

_EMBEDDINGS = metadata.tables["embeddings"]
_MODELS = metadata.tables["embedding_models"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """How many vectors one model has."""

    model: str
    """The embedder's name: `provider/name`."""
    dimensions: int
    """How many numbers each has."""
    vectors: Mapping[str, int]
    """How many there are, by table."""
    ways: Mapping[str, Way]
    """How those are found that are alike, by table."""


def coverage_of(executor: Executor, indexes: VectorIndexes, settings: DatabaseSettings) -> list[Coverage]:
    """How many vectors there are, by model and table, and how they are searched; the oldest models first."""
    sound = (index for index in indexes.listed(executor.trusted) if index.is_sound)
    indexed = {(index.owner, index.model_id): index.rows for index in sound}
    return [
        Coverage(
            model=f"{row[1]}/{row[2]}",
            dimensions=row[3],
            vectors=counts,
            ways={
                table: way_of(count, row[3], indexed.get((OWNERS[table], row[0]), 0), settings)
                for table, count in counts.items()
            },
        )
        for row, counts in counted(executor, [])
    ]


def is_model(model: Embedder | str) -> list[ColumnElement[bool]]:
    """What must hold for a model: an embedder's, or that of a name with or without its provider."""
    if isinstance(model, str):
        full_name: ColumnElement[bool] = _MODELS.c.provider.concat("/").concat(_MODELS.c.name) == model
        return [full_name | (_MODELS.c.name == model)]
    return [_MODELS.c[name] == value for name, value in model_key(model).items()]


def counted(executor: Executor, conditions: list[ColumnElement[bool]]) -> list[tuple[Any, dict[str, int]]]:
    """Key, provider, name and dimensions of models, and how many vectors each has by table."""
    counts = [
        func.coalesce(func.sum(case((_EMBEDDINGS.c[owner].is_not(None), 1), else_=0)), 0) for owner in OWNERS.values()
    ]
    names = (_MODELS.c.id, _MODELS.c.provider, _MODELS.c.name, _MODELS.c.dimensions)
    joined = _MODELS.outerjoin(_EMBEDDINGS, _EMBEDDINGS.c.model_id == _MODELS.c.id)
    statement = select(*names, *counts).select_from(joined).where(*conditions).group_by(*names).order_by(_MODELS.c.id)
    rows: Any = executor.execute(statement).all()
    return [(row, dict(zip(OWNERS, map(int, row[4:]), strict=True))) for row in rows]
