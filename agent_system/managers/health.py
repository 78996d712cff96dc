"""How the whole system is: the engine's figures, and the work that waits or stands still."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, select, table, text

from agent_system.database.migrations import head_revision
from agent_system.errors import DatabaseError
from agent_system.managers.conversations.stale_streams import is_stale_stream
from agent_system.models import metadata
from agent_system.search.vector_indexes import vector_indexes
from agent_system.types import JobStatus, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from agent_system.database.dialects.base import EngineHealth
    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager

__all__ = ["SystemHealth", "measure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemHealth:
    """Figures for the person on call; those of the engine are attributes too."""

    engine_health: EngineHealth
    """The engine's own figures."""
    revision: str | None = None
    """The schema's revision; None when the database did not answer."""
    head_revision: str
    """The newest revision of this version of the package."""
    queue_backlog: int | None = None
    """Jobs that wait; None when the database did not answer, as below."""
    queue_running: int | None = None
    """Jobs that a worker has."""
    queue_stalled: int | None = None
    """Jobs whose worker has lost its lease; the next claim takes them."""
    queue_dead_letters: int | None = None
    """Jobs that failed for good and wait for a person."""
    tasks_running: int | None = None
    """Agents' tasks that are running."""
    streams_stalled: int | None = None
    """Messages that have been streaming for more than an hour without a new chunk."""
    vector_indexes: int | None = None
    """Indexes of vectors that the database keeps itself (PostgreSQL with pgvector); without one they are compared in
    memory: `em.embeddings.coverage()` tells how."""

    @property
    def cache_hit_ratio(self) -> float | None:
        """Share of the lookups of hot tables that the cache answered; None before the first."""
        asked = self.engine_health.hot_cache_hits + self.engine_health.hot_cache_misses
        return self.engine_health.hot_cache_hits / asked if asked else None

    def as_dict(self) -> dict[str, Any]:
        """All figures by name, the engine's first."""
        own = asdict(self)
        engine: dict[str, Any] = own.pop("engine_health")
        return engine | own | {"cache_hit_ratio": self.cache_hit_ratio}

    def __getattr__(self, name: str) -> Any:
        """Give the engine's figures under their own names."""
        return getattr(self.engine_health, name)


async def measure(db: DatabaseManager, clock: Callable[[], datetime]) -> SystemHealth:
    """Measure how the system is; a database that does not answer is a figure too, and no error.

    Raises:
        NotConnectedError: The manager is not connected.
    """
    engine = await db.health()
    head = head_revision()
    if not engine.cold_storage_connected:
        return SystemHealth(engine_health=engine, head_revision=head)
    statement, indexes = _figures(clock()), vector_indexes(db.dialect.name)

    def work(executor: Executor) -> dict[str, Any]:
        result = executor.execute(statement)
        figures = dict(zip(result.keys(), result.one(), strict=True))
        return figures | {"vector_indexes": sum(index.is_sound for index in indexes.listed(executor))}

    try:
        return SystemHealth(engine_health=engine, head_revision=head, **await db.read(work))
    except DatabaseError:
        # It went away in between, or its schema is not ours.
        return SystemHealth(engine_health=engine, head_revision=head)


def _figures(now: datetime) -> Select[Any]:
    jobs, tasks, messages = (metadata.tables[name] for name in ("queue", "tasks", "messages"))
    counted = {
        "queue_backlog": (jobs, jobs.c.status == JobStatus.PENDING),
        "queue_running": (jobs, jobs.c.status == JobStatus.IN_PROGRESS),
        "queue_stalled": (jobs, jobs.c.lease_expires_at < now),
        "queue_dead_letters": (jobs, jobs.c.status == JobStatus.FAILED),
        "tasks_running": (tasks, tasks.c.status == TaskStatus.RUNNING),
        "streams_stalled": (messages, is_stale_stream(now)),
    }
    figures = [
        select(func.count()).select_from(of).where(which).scalar_subquery().label(name)
        for name, (of, which) in counted.items()
    ]
    revision = select(text("version_num")).select_from(table("alembic_version")).scalar_subquery().label("revision")
    return select(revision, *figures)
