"""Knowledge gaps: what agents needed to know and no document told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.errors import TransitionError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.where import conditions
from agent_system.models import KnowledgeGap, metadata
from agent_system.types import KnowledgeGapStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.managers.core.where import Where

__all__ = ["KnowledgeGapManager"]

_gaps = metadata.tables["knowledge_gaps"]


class KnowledgeGapManager(Manager[KnowledgeGap]):
    """Knowledge gaps: what agents needed to know and no document told; of one topic at most one is open per owner.

    Example:
        >>> gap = await em.knowledge_gaps.record("How deploys are rolled back", task_id=task.id)
        >>> await em.knowledge_gaps.resolve(gap.id, document_id=document.id)
    """

    entity = KnowledgeGap

    async def record(self, topic: str, description: str | None = None, **fields: Any) -> KnowledgeGap:
        """Write down that something was missing; a topic that is missing already is counted once more instead.

        Args:
            topic: What it is about, in a few words, without regard to case.
            description: What exactly was missing.
            fields: Other columns: category, task_id, agent_id, user_id, meta.

        Raises:
            ValidationError: A value was refused.
            ForeignKeyError: There is no such task, agent or user.
        """
        now = self._clock()
        values = self.new_values({"topic": topic, "description": description, "last_seen_at": now, **fields})
        insert = self.insertion(values)
        owner = values["user_id"]
        is_same = (
            _gaps.c.topic_key == values["topic_key"],
            _gaps.c.user_id.is_(None) if owner is None else _gaps.c.user_id == owner,
            _gaps.c.status == KnowledgeGapStatus.OPEN,
        )
        statement = select(*_gaps.columns).where(*is_same).with_for_update()

        def work(executor: Executor) -> dict[str, Any]:
            row = executor.execute(statement).first()
            if row is None:
                insert(executor)
                return values
            found = dict(zip(self.plans.hydrate.keys, row, strict=True))
            changes = {"occurrence_count": found["occurrence_count"] + 1, "last_seen_at": now}
            if found["description"] is None and description is not None:
                changes["description"] = values["description"]
            return self.store.change(executor, {"id": found["id"]}, changes)

        return self.plans.hydrate.build(await self.run_racing(work, values))

    async def find_open(self, where: Where = None, limit: int = 100) -> builtins.list[KnowledgeGap]:
        """Return the open gaps, what was missed most often first."""
        wanted = [_gaps.c.status == KnowledgeGapStatus.OPEN, *conditions(self.plans, where)]
        order = (_gaps.c.occurrence_count.desc(), _gaps.c.id)
        return await self.select(self.query().where(*wanted).order_by(*order).limit(limit))

    async def resolve(
        self,
        id: UUID,  # noqa: A002
        *,
        document_id: Any = None,
        resolution: str | None = None,
    ) -> KnowledgeGap:
        """Close a gap because it is known now; missed again, the topic is a gap of its own.

        Args:
            document_id: The document that tells it.

        Raises:
            NotFoundError: There is no such gap.
            TransitionError: It is closed already.
            ForeignKeyError: There is no such document.
        """
        changes = {"resolved_by_document_id": document_id, "resolution": resolution}
        return await self.update(id, {"status": KnowledgeGapStatus.RESOLVED, **changes})

    async def dismiss(self, id: UUID, reason: str | None = None) -> KnowledgeGap:  # noqa: A002
        """Close a gap because it need not be known. Raises as `resolve` does."""
        return await self.update(id, {"status": KnowledgeGapStatus.DISMISSED, "resolution": reason})

    async def statistics(self, where: Where = None) -> dict[KnowledgeGapStatus, int]:
        """Count the gaps of each status; all of them are listed."""
        counted = select(_gaps.c.status, func.count()).where(*conditions(self.plans, where)).group_by(_gaps.c.status)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(counted).all())
        return dict.fromkeys(KnowledgeGapStatus, 0) | {row[0]: row[1] for row in rows}

    def check_change(self, _executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Let nobody change the end of what is closed, and say when it was closed.

        Raises:
            TransitionError: It is closed already.
        """
        status = changes.get("status", before["status"])
        if before["status"] is not KnowledgeGapStatus.OPEN and "status" in changes:
            message = f"knowledge gap {before['id']} is {before['status']}: it stays so"
            raise TransitionError(
                message,
                entity=self.store.name,
                entity_id=before["id"],
                current=str(before["status"]),
                wanted=str(status),
                allowed=(),
            )
        if status is not KnowledgeGapStatus.OPEN:
            changes.setdefault("resolved_at", self._clock())
