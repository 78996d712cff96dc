"""Documents: the plans, analyses and other papers of the project, and which of them are still in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.managers.core.base import Manager
from agent_system.managers.core.store import differing
from agent_system.managers.core.where import conditions
from agent_system.models import Document
from agent_system.types import DocumentStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence

    from agent_system.database.executor import Executor
    from agent_system.managers.core.pagination import Page
    from agent_system.managers.core.where import Where

__all__ = ["DocumentManager"]


class DocumentManager(Manager[Document]):
    """Documents: the papers of the project by their paths, one row per owner and path.

    What agents are given to read are `em.context_documents`.

    Example:
        >>> plan = await em.documents.register("docs/plan.md", task_id=task.id)
        >>> await em.documents.archive(plan.id, "done")
    """

    entity = Document

    async def register(self, path: str, **fields: Any) -> Document:
        """Return the document of this path, which is written when it is not there yet; a second time changes nothing.

        Args:
            path: Path of the document.
            fields: Other columns of a new one: task_id, user_id, notes, meta.

        Raises:
            ValidationError: A value was refused.
        """
        values = self.new_values({"path": path, **fields})
        insert = self.insertion(values)
        matching = {"path": path, "user_id": values["user_id"]}

        def work(executor: Executor) -> dict[str, Any]:
            key = self.store.find_key(executor, matching)
            found = None if key is None else self.store.get(executor, key)
            if found is None:
                insert(executor)
            return found or values

        return self.plans.hydrate.build(await self.run_racing(work, values))

    async def get_by_path(self, path: str, user_id: Any = None) -> Document | None:
        """Return the document of this path, or None; without an owner the one that all share."""
        return await self.find_one(path=path, user_id=user_id)

    async def find_by_status(
        self, status: DocumentStatus | str = DocumentStatus.ACTIVE, limit: int = 100, after: str | None = None
    ) -> Page[Document]:
        """Return one page of the documents in a status, the last changed first."""
        return await self.list({"status": status}, "-updated_at", limit, after)

    async def of_task(self, task_id: Any) -> builtins.list[Document]:
        """Return the documents that a task made, in the order of writing."""
        return (await self.list({"task_id": task_id}, limit=10_000)).items

    async def archive(self, id: int, notes: str | None = None) -> Document:  # noqa: A002
        """Put a document out of use; notes tell why and replace those that it has.

        Raises:
            NotFoundError: There is no such document.
        """
        return await self._set(id, DocumentStatus.ARCHIVED, notes)

    async def restore(self, id: int, notes: str | None = None) -> Document:  # noqa: A002
        """Put a document to use again. Raises as `archive` does."""
        return await self._set(id, DocumentStatus.ACTIVE, notes)

    async def mark_deleted(self, id: int, notes: str | None = None) -> Document:  # noqa: A002
        """Remember that a document is no longer there. Raises as `archive` does."""
        return await self._set(id, DocumentStatus.DELETED, notes)

    async def statistics(self, where: Where = None) -> dict[DocumentStatus, int]:
        """Count the documents of each status; all of them are listed."""
        status = self.plans.columns["status"]
        statement = select(status, func.count()).where(*conditions(self.plans, where)).group_by(status)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return dict.fromkeys(DocumentStatus, 0) | {row[0]: row[1] for row in rows}

    def fill_in(self, values: dict[str, Any]) -> None:
        """Say since when a document that is archived from the first is so."""
        if values["status"] is DocumentStatus.ARCHIVED and values["archived_at"] is None:
            values["archived_at"] = values["created_at"]

    def check_change(self, _executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Keep `archived_at` with the status, whichever verb changes it."""
        status = changes.get("status", before["status"])
        if status != before["status"]:
            changes.setdefault("archived_at", self._clock() if status is DocumentStatus.ARCHIVED else None)

    async def _set(self, id_: int, status: DocumentStatus, notes: str | None) -> Document:
        def changes(row: Mapping[str, Any]) -> dict[str, Any]:
            return differing(row, status=status, **({} if notes is None else {"notes": notes}))

        return await self.revise(id_, changes)
