"""Knowledge usage: which documents agents were given, read, named or turned down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.core.pruning import delete_in_parts
from agent_system.managers.core.where import conditions
from agent_system.managers.documents.context_documents import ContextDocumentManager
from agent_system.models import KnowledgeUsage, metadata
from agent_system.types import KnowledgeUse, LifecycleStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from agent_system.managers.core.pagination import Page
    from agent_system.managers.core.where import Where
    from agent_system.models import ContextDocument

__all__ = ["DocumentUse", "KnowledgeUsageManager"]

_documents = metadata.tables["context_documents"]
_usage = metadata.tables["knowledge_usage"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentUse:
    """How often a document was used."""

    document_id: UUID
    name: str
    uses: int
    by_usage: dict[KnowledgeUse, int]
    """The same by what was done with it; what was never done is not listed."""
    average_relevance: float | None
    """Of the uses that somebody judged; None when nobody did."""
    last_used_at: datetime | None
    """None when it never was."""


class KnowledgeUsageManager(Manager[KnowledgeUsage]):
    """Knowledge usage: which documents agents were given, read, named or turned down; rows are never changed."""

    entity = KnowledgeUsage

    @cached_property
    def _context_documents(self) -> ContextDocumentManager:
        return ContextDocumentManager(self._db, clock=self._clock)

    async def record(
        self,
        document_ids: Iterable[UUID],
        usage_type: KnowledgeUse | str = KnowledgeUse.ASSEMBLED,
        *,
        task_id: Any = None,
        agent_id: Any = None,
        user_id: Any = None,
        relevance: float | None = None,
    ) -> builtins.list[KnowledgeUsage]:
        """Write down that documents were used together, such as those that a context was assembled of.

        Args:
            relevance: How well they fitted, 0 to 1; None when nobody judged.

        Raises:
            ForeignKeyError: There is no such document, task or agent.
            ValidationError: A value was refused.
        """
        now = self._clock()
        use = {"usage_type": usage_type, "task_id": task_id, "agent_id": agent_id, "relevance": relevance}
        use["user_id"] = user_id
        return await self.create_many([{"document_id": one, "created_at": now, **use} for one in document_ids])

    async def of_document(self, document_id: Any, limit: int = 100, after: str | None = None) -> Page[KnowledgeUsage]:
        """Return one page of the uses of a document, the newest first."""
        return await self.list({"document_id": document_id}, "-created_at", limit, after)

    async def most_used(
        self, limit: int = 10, where: Where = None, *, since: datetime | None = None
    ) -> builtins.list[DocumentUse]:
        """Return the documents that were used most, by one statement.

        Args:
            where: Only such uses; see `list`.
            since: The first moment that counts.
        """
        wanted = conditions(self.plans, where)
        if since is not None:
            wanted.append(_usage.c.created_at >= aware(since, "since"))
        statement = _uses().where(*wanted).group_by(_documents.c.id, _documents.c.name)
        return await self._read(statement.order_by(func.count(_usage.c.id).desc(), _documents.c.name).limit(limit))

    async def unused(self, since: datetime, limit: int = 100) -> builtins.list[ContextDocument]:
        """Return the active documents that nobody has used since a moment, the oldest first."""
        used = select(_usage.c.document_id).where(_usage.c.created_at >= aware(since, "since"))
        statement = (
            select(*_documents.columns)
            .where(_documents.c.status == LifecycleStatus.ACTIVE, _documents.c.id.not_in(used))
            .order_by(_documents.c.id)
            .limit(limit)
        )
        return await self._context_documents.select(statement)

    async def cleanup(self, older_than: timedelta = timedelta(days=90)) -> int:
        """Delete the uses that are older, by default than 90 days; returns how many there were."""
        return await delete_in_parts(self._db, _usage, [_usage.c.created_at < self._clock() - older_than])

    async def _read(self, statement: Any) -> builtins.list[DocumentUse]:
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        uses = []
        for document_id, name, count, relevance, latest, *counts in rows:
            by_usage = {kind: number for kind, number in zip(KnowledgeUse, counts, strict=True) if number}
            uses.append(
                DocumentUse(
                    document_id=document_id,
                    name=name,
                    uses=count,
                    by_usage=by_usage,
                    average_relevance=relevance,
                    last_used_at=latest,
                )
            )
        return uses


def _uses() -> Any:
    counts = [func.count().filter(_usage.c.usage_type == kind) for kind in KnowledgeUse]
    figures = (func.count(_usage.c.id), func.avg(_usage.c.relevance), func.max(_usage.c.created_at))
    wanted = select(_documents.c.id, _documents.c.name, *figures, *counts)
    return wanted.select_from(_documents.join(_usage, _usage.c.document_id == _documents.c.id))
