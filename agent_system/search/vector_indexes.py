"""What an engine itself can keep to find vectors that are alike: on PostgreSQL an index, on SQLite nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from agent_system.search.postgresql_vectors import HnswIndexes, StoredIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.database.executor import Executor

__all__ = ["StoredIndex", "VectorIndexes", "vector_indexes"]


class VectorIndexes(Protocol):
    """The indexes of a database."""

    most_dimensions: int
    """Vectors of more numbers have no index; 0: there are none at all."""

    def is_offered(self, executor: Executor) -> bool:
        """Whether there could be indexes in this database."""

    def listed(self, executor: Executor) -> list[StoredIndex]:
        """Those that are there, by name."""

    def nearest(
        self, executor: Executor, of: StoredIndex, dimensions: int, query: bytes, count: int, least_rows: int
    ) -> list[tuple[int, bytes]] | None:
        """Numbers and bytes of the vectors that are most like one; None when the index is gone or of too few."""

    async def prepare(self, connection: AsyncConnection, memory_mib: int) -> None:
        """Make what indexes need."""

    async def build(self, connection: AsyncConnection, model_id: int, dimensions: int, owner: str) -> str:
        """Build the index of a model and a table beside those who read and write, unless it is there."""

    async def drop(self, connection: AsyncConnection, name: str) -> None:
        """Drop an index, if there is one of this name."""


class _None:
    """SQLite has none."""

    most_dimensions = 0

    def is_offered(self, executor: Executor) -> bool:
        del executor
        return False

    def listed(self, executor: Executor) -> list[StoredIndex]:
        del executor
        return []

    def nearest(
        self, executor: Executor, of: StoredIndex, dimensions: int, query: bytes, count: int, least_rows: int
    ) -> list[tuple[int, bytes]] | None:
        del executor, of, dimensions, query, count, least_rows
        return None

    async def prepare(self, connection: AsyncConnection, memory_mib: int) -> None:
        del connection, memory_mib

    async def build(self, connection: AsyncConnection, model_id: int, dimensions: int, owner: str) -> str:
        del connection, model_id, dimensions, owner
        return ""

    async def drop(self, connection: AsyncConnection, name: str) -> None:
        del connection, name


_INDEXES: Mapping[str, Callable[[], VectorIndexes]] = {"sqlite": _None, "postgresql": HnswIndexes}


def vector_indexes(engine: str) -> VectorIndexes:
    """The indexes of a database.

    Args:
        engine: The name of SQLAlchemy's dialect.
    """
    return _INDEXES[engine]()
